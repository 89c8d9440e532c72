"""Keys of the coordination store, all below one prefix that carries the schema's version."""

from __future__ import annotations

from appliance.cluster.names import GroupName, InstanceId, NodeName

PREFIX = "/posthouse/v1/"
#: What should be: every agent watches this, so nothing that changes often stands below it.
DESIRED = PREFIX + "desired/"
NODES = DESIRED + "nodes/"
GROUPS = DESIRED + "groups/"
SETTINGS = DESIRED + "settings/"
RESTARTS = DESIRED + "restarts/"
STOPPED = DESIRED + "stopped/"
WISHES = DESIRED + "wishes/"
DRAINED = DESIRED + "drained/"
FENCE_SPECS = DESIRED + "fences/"
TIMING = DESIRED + "timing"
WORK = DESIRED + "work/"
#: Certificates of removed servers, and the signed list of them (appliance/pki/revocation.py).
REVOKED = DESIRED + "revoked"
#: The node whose directory takes writes now.
DIRECTORY_WRITER = DESIRED + "directory-writer"
#: Who owns what.
SESSIONS = PREFIX + "sessions/"
OWNERS = PREFIX + "owners/"
#: What the leading controller decides.
LEADER = PREFIX + "leader"
PLACEMENTS = PREFIX + "placements/"
FENCES = PREFIX + "fences/"
FENCE_CHECKS = PREFIX + "fence-checks/"
POWER_ONS = PREFIX + "power-ons/"
EVENTS = PREFIX + "events/"
CONTROLLER = PREFIX + "controller"
RUNS = PREFIX + "runs/"
#: The certificates that each node was given, to revoke them when it is removed. Control nodes' alone.
CERTIFICATES = PREFIX + "certificates/"
#: What is, and what people say is.
STATUS = PREFIX + "status/"
OBSERVATIONS = PREFIX + "observations/"
ACKNOWLEDGEMENTS = PREFIX + "acknowledgements/"
FENCE_REQUESTS = PREFIX + "fence-requests/"


def node(name: NodeName) -> str:
    """The node's own record."""
    return NODES + name


def group(name: GroupName) -> str:
    """The group's desired state."""
    return GROUPS + name


def session(name: NodeName) -> str:
    """The node's session, renewed by its keeper."""
    return SESSIONS + name


def owner(name: GroupName) -> str:
    """Who owns the group."""
    return OWNERS + name


def setting(scope: str, owner_name: str, parameter: str) -> str:
    """One setting: scope `system` (owner `-`), `node` or `group`."""
    return f"{SETTINGS}{scope}/{owner_name}/{parameter}"


def restart(instance: InstanceId, node_name: NodeName) -> str:
    """Generation counter: raising it asks the node to restart the instance once."""
    return f"{RESTARTS}{node_name}/{instance}"


def stopped(instance: InstanceId, node_name: NodeName) -> str:
    """Stands while an operator wants the instance stopped on the node."""
    return f"{STOPPED}{node_name}/{instance}"


def status(name: NodeName) -> str:
    """What the node's agent reports."""
    return STATUS + name


def wish(name: GroupName) -> str:
    """What an operator wants of the group."""
    return WISHES + name


def drained(name: NodeName) -> str:
    """Stands while an operator wants the node empty."""
    return DRAINED + name


def fence_spec(name: NodeName) -> str:
    """How the node is fenced."""
    return FENCE_SPECS + name


def placement(name: GroupName) -> str:
    """Where the controller wants the group."""
    return PLACEMENTS + name


def fence(name: NodeName) -> str:
    """How far the fencing of the node is."""
    return FENCES + name


def fence_check(name: NodeName) -> str:
    """What the node's fence answered last."""
    return FENCE_CHECKS + name


def power_ons(name: NodeName) -> str:
    """When the node was switched on again after it was cut off."""
    return POWER_ONS + name


def observation(observer: NodeName) -> str:
    """Whom this observer cannot reach."""
    return OBSERVATIONS + observer


def acknowledgement(name: NodeName) -> str:
    """The operator's word that the node is off."""
    return ACKNOWLEDGEMENTS + name


def fence_request(name: NodeName) -> str:
    """An operator wants the node fenced."""
    return FENCE_REQUESTS + name


def certificate(name: NodeName, serial: str) -> str:
    """A certificate that the node was given."""
    return f"{CERTIFICATES}{name}/{serial}"


def work(name: GroupName, work_name: str) -> str:
    """Scheduled work of the group."""
    return f"{WORK}{name}/{work_name}"


def run(name: GroupName, work_name: str, run_id: str) -> str:
    """One run of scheduled work, ordered by the leader and carried out by the group's owner."""
    return f"{RUNS}{name}/{work_name}/{run_id}"


def event(at: float, by: NodeName, number: int) -> str:
    """A line of the decision log. Sorts by time: milliseconds of Unix time, then who wrote it, then in which order."""
    return f"{EVENTS}{int(at * 1000):013d}-{by}-{number:06d}"
