"""A node's fence as operators set it: it is asked once whether the node is on, before anybody relies on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from appliance.cluster import keys
from appliance.cluster.decided import FenceCheck, FenceProblem, FenceSpec, ProtocolTiming
from appliance.cluster.names import NodeName
from appliance.coordination.store import Store
from appliance.errors import PosthouseError
from appliance.fencing import agent
from appliance.operations import overview
from appliance.operations.overview import NodeState
from appliance.ownership.records import session_seen
from appliance.ownership.taker import OVERDUE

#: A reading may take so long at most, seconds, whatever an order may.
READING = 10.0


class FenceUnfit(PosthouseError):
    """The fence does not say of the node what is true of it: it is on another plug, or not reached at all."""


@dataclass(frozen=True)
class FenceAnswer:
    """What the fence says of its node."""

    on: bool
    said: str


def ask(
    store: Store, spec: FenceSpec, secrets: Mapping[str, str], folders: tuple[str, ...] = agent.FOLDERS
) -> FenceAnswer:
    """Ask the fence whether its node is on; the program is run on this node. `secrets`: its parameters unsealed.

    Raises FenceFailed when the program is not installed here, FenceUnfit when it gives no answer, or says anything
    but "on" of a node that is alive.
    """
    program = agent.find(spec.agent, folders)
    answer = agent.run(program, "status", {**spec.parameters, **secrets}, min(spec.timeout, READING))
    off, facts = agent.is_off(answer), {"agent": spec.agent, "node": spec.node, "detail": answer.said or "-"}
    if off is None:
        status = "-" if answer.status is None else str(answer.status)
        raise FenceUnfit("node-fence-no-answer", status=status, **facts)
    if off and is_alive(store, spec.node):
        raise FenceUnfit("node-fence-reads-off", **facts)
    return FenceAnswer(not off, answer.said)


def is_alive(store: Store, name: NodeName) -> bool:
    """Whether the node has a session and answers the others."""
    return any(line.name == name and line.state is NodeState.ALIVE for line in overview.read(store).nodes)


class Quiet:
    """Whether a node that reads off has renewed nothing for so long that a living one would have."""

    def __init__(self, store: Store, name: NodeName, epoch: int) -> None:
        self._store = store
        self._name = name
        self._epoch = epoch
        timing = store.get(keys.TIMING)
        self._renew = (ProtocolTiming.model_validate_json(timing.value) if timing else ProtocolTiming()).renew
        self._seen: tuple[int, float] | None = None

    def certain(self, now: float) -> bool:
        """Look at the session, which read off before; `now` is monotonic."""
        record = self._store.get(keys.session(self._name))
        if record is None or session_seen(record).epoch != self._epoch:
            return True
        if self._seen is None or self._seen[0] != record.mod_revision:
            self._seen = record.mod_revision, now
        return now - self._seen[1] >= self._renew + OVERDUE


def misses(store: Store, name: NodeName) -> bool:
    """Whether the node's fence, as it is set now, is known to hit something else."""
    spec, check = store.get(keys.fence_spec(name)), store.get(keys.fence_check(name))
    if spec is None or check is None:
        return False
    found = FenceCheck.model_validate_json(check.value)
    return found.problem is FenceProblem.MISSES and found.spec == spec.mod_revision
