"""Scheduled work of groups, as the agent of a group's owner carries it out: docs/developers/cluster.md."""
