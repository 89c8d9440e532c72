"""A resolver that answers from a table, for tests of what is made of the answers."""

from __future__ import annotations

from collections.abc import Mapping

from appliance.dnscheck.lookup import Answer, Outcome

SERVFAIL = Answer(Outcome.FAILED)
SILENCE = Answer(Outcome.SILENT)

Zone = Mapping[tuple[str, str], list[str] | Answer]


class TableResolver:
    """Answers from `zone`; names that are not in it do not exist."""

    def __init__(self, zone: Zone) -> None:
        self._zone = zone
        self.asked: list[tuple[str, str]] = []

    async def ask(self, name: str, kind: str) -> Answer:
        self.asked.append((name, kind))
        entry = self._zone.get((name, kind))
        if isinstance(entry, Answer):
            return entry
        if entry:
            return Answer(Outcome.FOUND, tuple(entry))
        there = any(known == name for known, _ in self._zone)
        return Answer(Outcome.NO_DATA if there else Outcome.NO_NAME)
