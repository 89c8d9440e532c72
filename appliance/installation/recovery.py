"""`posthouse cluster recover`: the store goes on with this server alone, on the operator's word that the rest is off.

For two servers without a witness, and where a majority is lost for good. A majority exists so that of two halves at
most one goes on; the operator, who sees the other servers off, takes its place. What the others had accepted and this
member had not yet is lost with them; a majority had confirmed nothing without at least one of them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable
from pathlib import Path

from appliance import paths
from appliance.cluster import keys
from appliance.cluster.model import Node, Role
from appliance.cluster.names import LOCAL_GROUP, EngineName, InstanceId, NodeName, Seconds
from appliance.cluster.report import NodeReport
from appliance.coordination import connect, etcd_alone
from appliance.coordination.access import Keys
from appliance.coordination.etcd import EtcdStore
from appliance.coordination.store import StoreUnavailable
from appliance.errors import BadInput, PosthouseError
from appliance.installation import cluster_state
from appliance.installation.steps import Step, systemctl
from appliance.node_file import DEFAULT_ENDPOINT, NodeFile, StoreAccess
from appliance.node_file import write as write_node_file
from appliance.operations import nodes as operations

_ETCD = InstanceId(EngineName("etcd"), LOCAL_GROUP)
_AGENT, _CONTROLLER = "posthouse-agent.service", "posthouse-controller.service"
_READY_WITHIN = Seconds(90.0)
_ANSWERS_WITHIN = Seconds(10.0)
#: Writes of the store in a second, above what is measured: of the leader, and of each node (session, report, events).
_WRITES, _WRITES_OF_A_NODE = 5.0, 2.0
#: The fewest and the most revisions that are left out: some seconds and some minutes of the recovery.
_FEWEST, _MOST = 10_000, 500_000


def lost_voters(me: NodeFile) -> tuple[NodeName, ...]:
    """The other voters, as this server last knew them. Raises PosthouseError where recovering is not to be thought of:
    this server is no control node, or the store has its majority."""
    cluster_state.need_etcd(me)
    if me.address is None or Role.CONTROL not in me.roles:
        raise PosthouseError("cluster-recover-no-member")
    try:
        with connect(me) as store:
            store.get(keys.node(me.name))
        raise PosthouseError("cluster-recover-not-needed")
    except StoreUnavailable:
        pass
    return tuple(sorted(node.name for node in kept_nodes() if node.voter and node.name != me.name))


def kept_nodes(file: Path = paths.KEPT) -> list[Node]:
    """The nodes as the agent of this server last read them: a member without its majority may not serve reads."""
    try:
        kept = json.loads(file.read_text())
        return [Node.model_validate_json(value) for key, value, *_ in kept if key.startswith(keys.NODES)]
    except (OSError, ValueError) as error:
        raise PosthouseError("cluster-recover-nothing-kept", path=str(file)) from error


def check(wanted: Collection[NodeName], off: Collection[NodeName]) -> None:
    """Raise BadInput unless the operator named exactly the other voters as off."""
    if set(wanted) != set(off):
        raise BadInput("off", "cluster-recover-others", wanted=", ".join(sorted(wanted)), given=", ".join(sorted(off)))


def steps(me: NodeFile, off: Collection[NodeName]) -> Iterable[Step]:
    """Every step, in order."""
    yield Step("recover-step-stop", _stop)
    yield Step("recover-step-member", _begin_anew)
    yield Step("recover-step-endpoints", lambda: _own_endpoint(me))
    yield Step("recover-step-start", _start)
    yield Step("recover-step-acknowledge", lambda: _acknowledge(me, off))


def _stop() -> bool:
    """Nobody else may start the member while it is run by hand."""
    systemctl("stop", _CONTROLLER, check=False)
    systemctl("stop", _AGENT)
    systemctl("stop", _ETCD.unit)
    return True


def _begin_anew() -> bool:
    try:
        etcd_alone.begin_anew(paths.config(_ETCD) / "etcd.env", "etcd", _READY_WITHIN, beyond_what_was)
    except BaseException:
        systemctl("start", _AGENT, check=False)
        raise
    return True


def beyond_what_was(endpoint: str) -> None:
    """Have the store's revision pass every one that the others may have given: epochs must never come again.

    docs/decisions/0084-revisions-after-a-recovery.md. Raises StoreUnavailable.
    """
    with EtcdStore([endpoint], Keys.read(), deadline=_ANSWERS_WITHIN) as store:
        nodes, reports = len(store.list(keys.NODES)[0]), store.list(keys.STATUS)[0]
    told = [at for record in reports if (at := _reported_at(record.value)) is not None]
    etcd_alone.advance(endpoint, missed(nodes, time.time() - max(told, default=0.0)))


def missed(nodes: int, behind: float) -> int:
    """How many revisions a member may have missed, as a bound. `behind`: seconds since the newest report that it has.
    Pure."""
    rate = _WRITES + _WRITES_OF_A_NODE * nodes
    return int(min(max(behind * rate, _FEWEST), _MOST))


def _reported_at(text: str) -> float | None:
    """When a node wrote its report, Unix time by its clock: each does so every ten seconds."""
    try:
        return NodeReport.model_validate_json(text).reported_at
    except ValueError:
        return None


def _own_endpoint(me: NodeFile) -> bool:
    write_node_file(me.model_copy(update={"store": StoreAccess(endpoints=(DEFAULT_ENDPOINT,))}))
    return True


def _start() -> bool:
    systemctl("start", _ETCD.unit)
    systemctl("start", _AGENT)
    systemctl("start", _CONTROLLER, check=False)
    return True


def _acknowledge(me: NodeFile, off: Collection[NodeName]) -> bool:
    """The others vote no more, get no group and may be removed, and what they owned may be taken: the operator said
    that they are off."""
    alone = me.model_copy(update={"store": StoreAccess(endpoints=(DEFAULT_ENDPOINT,))})
    with connect(alone, deadline=Seconds(10.0)) as store:
        for name in sorted(off):
            cluster_state.change(store, name, voter=False)
            operations.drain(store, name)
            try:
                operations.acknowledge(store, name)
            except operations.NothingToAcknowledge:
                continue
    return True
