"""Every path of a node, in one place. Nothing else spells out a folder.

`/etc/posthouse`      what the operator or `posthouse init` gave: identity, keys
`/var/lib/posthouse`  what the agent rendered, node-local data and secrets
`/srv/posthouse/G`    the volume of group G (a mount point where it is shared)
`/run/posthouse`      sockets, markers of what this node owns
"""

from __future__ import annotations

from pathlib import Path

from appliance.cluster.names import LOCAL_GROUP, GroupName, InstanceId

PREFIX = Path("/opt/posthouse")
ETC = Path("/etc/posthouse")
NODE_FILE = ETC / "node.yaml"
PKI = ETC / "pki"
#: The list of revoked certificates (appliance/pki/revocation.py).
REVOKED = PKI / "revoked.crl"
#: The same for Postfix, which reads no such lists: fingerprints, as a table of texthash (DATABASE_README).
REVOKED_TABLE = PKI / "revoked.table"
STATE = Path("/var/lib/posthouse")
SECRETS = STATE / "secrets"
ENGINES = STATE / "engines"
#: What the agent last read of the desired state, for a boot without the store.
KEPT = STATE / "agent" / "desired.json"
RUN = Path("/run/posthouse")
OWNED = RUN / "owned"
VOLUMES = Path("/srv/posthouse")


def volume(group: GroupName) -> Path:
    """The folder where the group's volume is mounted, or simply lies."""
    return STATE / "local" if group == LOCAL_GROUP else VOLUMES / group


def engine_folder(instance: InstanceId) -> Path:
    """The folder with the instance's rendered generations; `current` in it is the one in force."""
    return ENGINES / str(instance)


def config(instance: InstanceId) -> Path:
    """The configuration folder in force, as units and rendered files name it."""
    return engine_folder(instance) / "current"


def run(instance: InstanceId) -> Path:
    """The instance's run-time folder: sockets and pid files."""
    return RUN / instance.group / instance.engine


def owned_marker(group: GroupName) -> Path:
    """Stands while the keeper says that this node owns the group; units refuse to start without it."""
    return OWNED / group


def groups_here() -> tuple[GroupName, ...]:
    """The groups with mail that this node owns, as its keeper says."""
    names = sorted(marker.name for marker in OWNED.glob("[a-z]*"))
    return tuple(GroupName(name) for name in names if name != LOCAL_GROUP)
