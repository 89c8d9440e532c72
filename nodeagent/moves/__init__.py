"""How a mailbox's files reach another group's volume, on this node or another: docs/developers/cluster.md."""
