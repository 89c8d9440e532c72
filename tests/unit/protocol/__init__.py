"""The takeover protocol: tables of its decisions, and the executable model (docs/developers/takeover.md).

`clockwork`  simulated time, drifting clocks, processes that can be stopped between any two of their effects
`links`      the store behind links that delay, lose and cut, and that can be made to lie
`machines`   machines, watchdogs, volumes and fence agents
`drivers`    the keeper and the taker: loops that do nothing but ask the real code and carry out what it says
`model`      all of it as a hypothesis state machine, with the promises that are checked at every instant
`mutations`  the same code with one line broken
"""
