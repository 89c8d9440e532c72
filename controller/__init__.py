"""What a cluster decides: which node owns which group, and what happens when one falls silent.

`election`   who leads; every write of a leader is guarded by its leadership
`view`       everything seen of the store, as frozen facts
`observers`  who is silent, by the word of the other nodes
`placement`  which node should own which group, purely
`failover`   asks the takeover protocol about each group and carries out what it says
`fencing`    programs of fence-agents, and how far the fencing of each node is
`events`     the decision log
`controller` the loop that ties them together; `main` the entry

Decisions are in docs/developers/cluster.md. Nothing here knows the node agent: both meet in the store.
"""
