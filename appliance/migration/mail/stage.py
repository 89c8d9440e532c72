"""The place on the volume where messages wait for Dovecot to take them.

Three lanes, each a Maildir++ tree of its own:

`whole`   folders that are missing or untouched here: taken by dsync, with their UIDs
`append`  folders in use here: copied behind what is there, whose UIDs stay
`exact`   messages that storing with LF would change: copied and stored with CRLF
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from appliance.cluster.report import Notice
from appliance.errors import Unavailable
from appliance.migration.mail import flags, names, uidlist
from appliance.migration.mail.names import Folder
from appliance.settings.units import about_size

#: Left free on the volume, whatever is staged.
_RESERVE = 512 * 2**20


class Lane(StrEnum):
    """How a staged folder is taken."""

    WHOLE = "whole"
    APPEND = "append"
    EXACT = "exact"


@dataclass(frozen=True)
class Fresh:
    """A message that is not here yet: the digest of its content, its number among equal ones, its size on the wire."""

    digest: str
    number: int
    size: int


@dataclass
class StagedLane:
    """What one lane holds of a folder. `place`: the folder's name in a lane that copies."""

    path: Path
    place: str
    lines: list[uidlist.Line] = field(default_factory=list)
    letters: flags.Letters = field(default_factory=flags.Letters)


@dataclass
class Staged:
    """A folder after staging. `present`: copies by digest that are here; `fresh`: by GUID, what waits in the lanes."""

    folder: Folder
    in_source: int = 0
    fresh: dict[str, Fresh] = field(default_factory=dict)
    present: dict[str, int] = field(default_factory=dict)
    lanes: dict[Lane, StagedLane] = field(default_factory=dict)
    problems: list[Notice] = field(default_factory=list)
    notes: list[Notice] = field(default_factory=list)


class Stage:
    """The stage of one mailbox; made anew for each delivery. `owner`: uid and gid that mail belongs to."""

    def __init__(self, root: Path, owner: tuple[int, int]) -> None:
        self.root = root
        self._owner = owner
        self._folders = 0

    def clear(self) -> None:
        """Remove it with all that is in it."""
        if self.root.exists():
            shutil.rmtree(self.root)

    def open(self) -> None:
        """Make it empty; only root can enter until `hand_over`."""
        self.clear()
        self.root.mkdir(mode=0o700)
        for lane in Lane:
            _make_maildir(self.root / lane)

    def hand_over(self) -> None:
        """Give all of it to the account that owns mail."""
        for path, _, _ in os.walk(self.root, topdown=False):
            for file in _roots_files(path):
                os.chown(file, *self._owner, follow_symlinks=False)
            os.chown(path, *self._owner, follow_symlinks=False)

    def lane(self, staged: Staged, lane: Lane) -> StagedLane:
        """The folder's place in a lane, made when first asked for. Raises OSError, for a name too long."""
        if lane not in staged.lanes:
            self._folders += 1
            place = f"f{self._folders}"
            path = self.root / lane
            if lane is not Lane.WHOLE:
                path = path / f".{place}"
            elif staged.folder:
                path = path / os.fsdecode(names.to_maildir(staged.folder))
            if path != self.root / lane:
                _make_maildir(path)
                (path / "maildirfolder").touch()
            staged.lanes[lane] = StagedLane(path, place)
        return staged.lanes[lane]

    def finish(self, staged: Staged, validity: int) -> None:
        """Write the lists of UIDs and keywords of a folder whose messages are all in place."""
        for lane in staged.lanes.values():
            (lane.path / "dovecot-uidlist").write_bytes(uidlist.write(validity, secrets.token_hex(16), lane.lines))
            if lane.letters.by_keyword:
                (lane.path / "dovecot-keywords").write_bytes(lane.letters.file())
            if lane.letters.lost:
                facts: dict[str, str | int | float] = {"count": len(lane.letters.lost)}
                facts["folder"] = names.shown(staged.folder)
                staged.notes.append(Notice(key="migrate-too-many-keywords", facts=facts))

    def incoming(self) -> Path:
        """Where a message is copied to until it is known whether it is wanted."""
        return self.root / f"incoming-{secrets.token_hex(8)}"

    def require_space(self, size: int) -> None:
        """Raise Unavailable unless the volume has room for `size` bytes more, and some to spare."""
        require_space(self.root, size)


def require_space(folder: Path, size: int) -> None:
    """Raise Unavailable unless the folder's file system has room for `size` bytes more, and some to spare."""
    free, needed = shutil.disk_usage(folder).free, size + _RESERVE
    if free < needed:
        raise Unavailable("migrate-no-space", free=about_size(free), needed=about_size(needed))


def _roots_files(path: str) -> Iterator[str]:
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_uid == 0:
                yield entry.path


def _make_maildir(path: Path) -> None:
    path.mkdir(mode=0o700)
    for part in ("cur", "new", "tmp"):
        (path / part).mkdir(mode=0o700)
