"""Which node should own which group: a pure function from what is known to what should be.

`situation`  the facts it decides from, and the choice it makes for each group
`bundles`    groups that belong together, decided as one
`board`      who is where while it decides: limits, separation, spreading
`decide`     the decision itself: stay, find a home, move, in that order

Rules and reasons: docs/developers/cluster.md. Nothing here reads a clock, a file or the store.
"""
