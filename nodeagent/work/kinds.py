"""The kinds of scheduled work: which program does it, and what it may touch.

A kind's program is `python -m MODULE GROUP [NAME=VALUE]…`. It can be cut off anywhere, as by a loss of power, and is
asked again at the next scheduled time; it prints what it did, never a secret, and ends with 0 when all went well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from appliance import paths
from appliance.cluster.names import EngineName, GroupName, InstanceId
from appliance.cluster.work import MOVE_MAILBOX

#: Properties of systemd.exec(5) for every kind: its group's volume and nothing else. `{group}` is the group.
_CONFINED: Final = (
    "Nice=10",
    "IOSchedulingClass=idle",
    "MemoryHigh=256M",
    "NoNewPrivileges=yes",
    "ProtectSystem=strict",
    "ReadWritePaths=/srv/posthouse/{group}",
    "ProtectHome=yes",
    "PrivateTmp=yes",
    "PrivateDevices=yes",
    "ProtectProc=invisible",
    "ProtectKernelModules=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelTunables=yes",
    "ProtectControlGroups=yes",
    "ProtectHostname=yes",
    "ProtectClock=yes",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "LockPersonality=yes",
    "SystemCallArchitectures=native",
)


@dataclass(frozen=True)
class Kind:
    """`needs`: an engine that the group must have here. `properties` come after those of every kind, and win."""

    module: str
    properties: tuple[str, ...]
    needs: EngineName | None = None

    def confinement(self, group: GroupName) -> tuple[str, ...]:
        """The properties of the unit in which it runs. Pure."""
        return tuple(each.format(group=group) for each in (*_CONFINED, *self.properties))

    def fits(self, group: GroupName) -> bool:
        """Whether the group has on this node what the kind works on."""
        return self.needs is None or paths.config(InstanceId(self.needs, group)).exists()


#: By the name in the store; the names stand in appliance.cluster.work too, for those who write there.
KINDS: Final[Mapping[str, Kind]] = {
    "purge": Kind(
        "appliance.directory.purge",
        ("CapabilityBoundingSet=CAP_DAC_OVERRIDE", "PrivateNetwork=yes", "RestrictAddressFamilies=AF_UNIX"),
        EngineName("dovecot"),
    ),
    # it ends sessions, sees who has files open, runs rsync as the account of all mail, and speaks to other nodes
    MOVE_MAILBOX: Kind(
        "nodeagent.moves.program",
        (
            "Nice=0",
            "IOSchedulingClass=best-effort",
            "CapabilityBoundingSet=CAP_DAC_OVERRIDE CAP_KILL CAP_SETUID CAP_SETGID CAP_SYS_PTRACE",
            "ReadWritePaths=/run/posthouse",
            "ProtectProc=default",
            "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
        ),
        EngineName("dovecot"),
    ),
}
