"""Which restart requests were carried out. A request is a generation counter, so it happens once.

The ledger survives the agent: an agent that restarts does not restart engines again.
"""

from __future__ import annotations

import json

from appliance import paths
from appliance.cluster.names import InstanceId
from nodeagent.ownership.memory import write_atomically

LEDGER = paths.STATE / "agent" / "restarts.json"


class RestartLedger:
    """Counters done, by instance."""

    def __init__(self) -> None:
        try:
            self._done: dict[str, int] = json.loads(LEDGER.read_text())
        except (OSError, ValueError):
            self._done = {}

    def is_due(self, instance: InstanceId, generation: int) -> bool:
        """Whether this request is newer than what was carried out."""
        return generation > self._done.get(str(instance), 0)

    def done(self, instance: InstanceId, generation: int) -> None:
        """Note a request as carried out."""
        if self.is_due(instance, generation):
            self._done[str(instance)] = generation
            write_atomically(LEDGER, json.dumps(self._done))
