"""The installation's timing as this node uses it: read from the store, kept on disk for the next boot."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import fields

from appliance import paths
from appliance.cluster.decided import ProtocolTiming
from appliance.cluster.names import Seconds
from appliance.cluster.timing import FenceMode, Timing
from appliance.errors import BadInput
from nodeagent.ownership.memory import write_atomically

log = logging.getLogger("posthouse.keeper")

KEPT = paths.STATE / "keeper" / "timing.json"


def checked(record: ProtocolTiming) -> tuple[Timing, FenceMode]:
    """The record's values, checked for its fence mode; raise BadInput naming the inequality that does not hold."""
    values = {each.name: Seconds(getattr(record, each.name)) for each in fields(Timing)}
    return Timing(**values).check_for(record.mode), record.mode


def kept() -> ProtocolTiming:
    """What this node used last, or the defaults."""
    try:
        record = ProtocolTiming.model_validate_json(KEPT.read_text())
        checked(record)
    except FileNotFoundError:
        return ProtocolTiming()
    except (OSError, ValueError, BadInput) as error:
        log.error("%s cannot be used, the defaults are: %s", KEPT, error)
        return ProtocolTiming()
    return record


class Timings:
    """The timing in force, and the next one.

    A new one comes into force while the node holds no shared group: what it has published rests on the old one.
    """

    def __init__(self, record: ProtocolTiming, keep: Callable[[Callable[[], None]], None]) -> None:
        self.record = record
        self.timing, self.mode = checked(record)
        self.refused: str | None = None
        self._keep = keep
        self._next: ProtocolTiming | None = None

    def seen(self, record: ProtocolTiming | None) -> None:
        """What the store says; None: nothing, or nothing that can be read."""
        if record is None or record == self.record:
            self._next, self.refused = None, None
            return
        try:
            checked(record)
        except BadInput as error:
            if self.refused != str(error):
                log.error("the timing in the store is refused, the last one stays in force: %s", error)
            self._next, self.refused = None, str(error)
        else:
            self._next, self.refused = record, None

    def change(self) -> bool:
        """Bring the next one into force, if there is one; whether there was."""
        record, self._next = self._next, None
        if record is None:
            return False
        self.record = record
        self.timing, self.mode = checked(record)
        log.info("timing in force: %s", record.model_dump_json(exclude={"schema_version"}))
        self._keep(lambda: write_atomically(KEPT, record.model_dump_json()))
        return True
