"""A store in memory for tables of cases about settings: guarded transactions, no watches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from appliance.cluster.names import Seconds
from appliance.coordination.store import Delete, Field, Guard, Outcome, Put, Record, Store, Watch


class MemoryStore(Store):
    """`before_transaction` runs once before the next transaction, as another writer would."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.revision = 1
        self.before_transaction: Callable[[], None] | None = None

    def get(self, key: str, *, deadline: Seconds | None = None) -> Record | None:
        return self.records.get(key)

    def transact(
        self, guards: Sequence[Guard], changes: Sequence[Put | Delete], *, deadline: Seconds | None = None
    ) -> Outcome:
        interruption, self.before_transaction = self.before_transaction, None
        if interruption:
            interruption()
        if not all(self._holds(guard) for guard in guards):
            return Outcome(False, self.revision)
        self.revision += 1
        for change in changes:
            if isinstance(change, Delete):
                self.records.pop(change.key, None)
            else:
                old = self.records.get(change.key)
                created = old.create_revision if old else self.revision
                self.records[change.key] = Record(change.key, change.value, created, self.revision)
        return Outcome(True, self.revision)

    def watch(self, prefix: str, *, after: int, idle: Seconds = Seconds(1.0)) -> Watch:
        raise NotImplementedError

    def close(self) -> None: ...

    def _holds(self, guard: Guard) -> bool:
        record = self.records.get(guard.key)
        if guard.field is Field.VALUE:
            return record is not None and record.value == guard.expected
        revisions = (record.create_revision, record.mod_revision) if record else (0, 0)
        return revisions[guard.field is Field.MOD_REVISION] == guard.expected

    def list(self, prefix: str, *, deadline: Seconds | None = None) -> tuple[list[Record], int]:
        found = [self.records[key] for key in sorted(self.records) if key.startswith(prefix)]
        return found, self.revision
