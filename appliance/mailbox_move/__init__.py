"""Moving a mailbox from one service group to another while it is in use: docs/developers/mail-topology.md."""
