"""Which node has a group, for commands that work only there."""

from __future__ import annotations

from contextlib import suppress

from appliance.cluster import keys
from appliance.cluster.model import Ownership, ServiceGroup
from appliance.cluster.names import GroupName
from appliance.coordination import connect
from appliance.errors import PosthouseError, Unavailable
from appliance.operations.groups import only_node


def not_here(key: str, group: GroupName) -> Unavailable:
    """The refusal `key` of a command whose group is elsewhere; it names the node where the store tells it."""
    return Unavailable(key, group=group, node=_node_of(group) or "-")


def _node_of(group: GroupName) -> str | None:
    with suppress(PosthouseError, ValueError, OSError), connect() as store:
        owner = store.get(keys.owner(group))
        if owner is not None:
            return Ownership.model_validate_json(owner.value).node
        record = store.get(keys.group(group))
        if record is not None:
            return only_node(ServiceGroup.model_validate_json(record.value))
    return None
