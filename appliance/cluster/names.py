"""Names of nodes, groups, engines and instances, and the bounds they keep.

Group names become systemd instance and slice names, folder names and store
keys, so they are kept to lower-case letters and digits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NewType

from appliance.errors import BadInput

NodeName = NewType("NodeName", str)
GroupName = NewType("GroupName", str)
EngineName = NewType("EngineName", str)
Seconds = NewType("Seconds", float)

#: The group of what every node runs for itself (etcd, slapd). It never moves.
LOCAL_GROUP = GroupName("local")
#: The one group of a small installation: everything on one volume and one address.
MAIL_GROUP = GroupName("mail")

_GROUP = re.compile(r"[a-z][a-z0-9]{0,14}")
_NODE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def group_name(text: str) -> GroupName:
    """Return `text` as a group name; raise BadInput unless it is 1-15 of [a-z0-9], a letter first."""
    if not _GROUP.fullmatch(text):
        raise BadInput("group", "bad-group-name", value=text)
    return GroupName(text)


def node_name(text: str) -> NodeName:
    """Return `text` as a node name; raise BadInput unless it is one RFC 1123 label in lower case."""
    if not _NODE.fullmatch(text):
        raise BadInput("node", "bad-node-name", value=text)
    return NodeName(text)


@dataclass(frozen=True, order=True)
class InstanceId:
    """One engine of one group, written `ENGINE@GROUP` everywhere: units, folders, store, command line."""

    engine: EngineName
    group: GroupName

    def __str__(self) -> str:
        return f"{self.engine}@{self.group}"

    @property
    def unit(self) -> str:
        """The systemd unit that runs it."""
        return f"posthouse-{self.engine}@{self.group}.service"

    @classmethod
    def parse(cls, text: str) -> InstanceId:
        """Read `ENGINE@GROUP`; raise BadInput when it is not of that form."""
        engine, at, group = text.partition("@")
        if not at or not _GROUP.fullmatch(engine):
            raise BadInput("instance", "bad-instance-name", value=text)
        return cls(EngineName(engine), group_name(group))
