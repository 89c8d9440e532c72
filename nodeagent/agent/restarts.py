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
            found = json.loads(LEDGER.read_text())
        except (OSError, ValueError, RecursionError):
            found = None
        self._done: dict[str, int] = found if isinstance(found, dict) else {}

    def is_due(self, instance: InstanceId, generation: int | None) -> bool:
        """Whether this request (None: there is none) was not carried out yet.

        A counter below the one carried out comes from a store that was restored from a backup: what is asked
        for after that counts as well.
        """
        return generation is not None and generation != self._done.get(str(instance), 0)

    def done(self, instance: InstanceId, generation: int | None) -> None:
        """Note a request as carried out."""
        if generation is not None and self.is_due(instance, generation):
            self._done[str(instance)] = generation
            write_atomically(LEDGER, json.dumps(self._done))
