"""What was brought into one mailbox already, so that a later run brings only what is new.

A message is known by its folder and the digest of its content, not by its file name or
UID: whatever a source renames, nothing comes twice; and what its owner deletes here does
not come back. One SQLite file a mailbox, beside its work folder on the volume.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from appliance.migration.mail.names import Folder

_SCHEMA = """
CREATE TABLE IF NOT EXISTS brought (folder TEXT, digest TEXT, copies INTEGER NOT NULL, PRIMARY KEY (folder, digest))
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen (source TEXT, folder TEXT, name BLOB, size INTEGER, arrived INTEGER, digest TEXT,
    virtual INTEGER, exact INTEGER, PRIMARY KEY (source, folder, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS delivering (folder TEXT PRIMARY KEY, first_uid INTEGER NOT NULL) WITHOUT ROWID;
"""
_VERSION = 1


@dataclass(frozen=True)
class Fingerprint:
    """A message file that was read: its content's digest, its size as IMAP shows it, whether LF would change it."""

    digest: str
    virtual: int
    exact: bool


def _key(folder: Folder) -> str:
    return "\x1f".join(folder)


def _folder(key: str) -> Folder:
    return tuple(key.split("\x1f")) if key else ()


class Ledger:
    """The ledger of a mailbox; a context manager. Every method that writes is one durable transaction."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Self:
        self._path.touch(mode=0o600)
        self._base = sqlite3.connect(self._path, isolation_level=None)
        self._base.execute("PRAGMA synchronous = FULL")
        self._base.executescript(_SCHEMA)
        self._base.execute(f"PRAGMA user_version = {_VERSION}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._base.close()

    def copies(self, folder: Folder) -> dict[str, int]:
        """How many copies of each digest were brought into the folder."""
        return dict(self._base.execute("SELECT digest, copies FROM brought WHERE folder = ?", (_key(folder),)))

    def bring(self, folder: Folder, copies: Mapping[str, int]) -> None:
        """Note that so many copies of each digest are in the folder by now; a number never falls."""
        rows = [(_key(folder), digest, count) for digest, count in copies.items()]
        self._write(
            "INSERT INTO brought VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET copies = max(copies, excluded.copies)", rows
        )

    def fingerprints(self, source: str, folder: Folder) -> dict[bytes, tuple[int, int, Fingerprint]]:
        """By file name: size, time of arrival and fingerprint of the files that were read before."""
        query = "SELECT name, size, arrived, digest, virtual, exact FROM seen WHERE source = ? AND folder = ?"
        with closing(self._base.execute(query, (source, _key(folder)))) as rows:
            return {
                name: (size, arrived, Fingerprint(digest, virtual, bool(exact)))
                for name, size, arrived, digest, virtual, exact in rows
            }

    def remember(self, source: str, folder: Folder, found: Mapping[bytes, tuple[int, int, Fingerprint]]) -> None:
        """Keep fingerprints, so that an unchanged file is not read again."""
        rows = [
            (source, _key(folder), name, size, arrived, each.digest, each.virtual, each.exact)
            for name, (size, arrived, each) in found.items()
        ]
        self._write("INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def begin_delivery(self, first_uids: Mapping[Folder, int]) -> None:
        """Note that messages are about to be delivered, from these UIDs on; stands until `end_delivery`."""
        self._write("INSERT OR IGNORE INTO delivering VALUES (?, ?)", [(_key(f), uid) for f, uid in first_uids.items()])

    def end_delivery(self) -> None:
        """The delivery is over, and what arrived is noted."""
        self._base.execute("DELETE FROM delivering")

    def interrupted(self) -> dict[Folder, int]:
        """The folders, with their first UIDs, of a delivery whose end was not noted; empty normally."""
        return {_folder(key): uid for key, uid in self._base.execute("SELECT folder, first_uid FROM delivering")}

    def _write(self, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
        self._base.execute("BEGIN IMMEDIATE")
        try:
            self._base.executemany(statement, rows)
        except BaseException:
            self._base.execute("ROLLBACK")
            raise
        self._base.execute("COMMIT")
