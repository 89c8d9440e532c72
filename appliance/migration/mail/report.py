"""What a run brought: per mailbox and folder, with what went wrong in the reader's words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from appliance.cluster.report import Notice


@dataclass(frozen=True)
class FolderReport:
    """A folder: messages in the source, brought by this run, and in the mailbox afterwards; bytes brought."""

    folder: str
    source: int
    brought: int
    here: int
    bytes: int


@dataclass(frozen=True)
class MailboxReport:
    """A mailbox. `seconds` is how long it took. It is complete when there are no problems."""

    address: str
    source: str
    folders: tuple[FolderReport, ...] = ()
    seconds: float = 0.0
    problems: tuple[Notice, ...] = ()
    notes: tuple[Notice, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.problems

    @property
    def messages(self) -> int:
        return sum(folder.brought for folder in self.folders)

    @property
    def bytes(self) -> int:
        return sum(folder.bytes for folder in self.folders)


@dataclass
class Delivered:
    """What one delivery did, as it is gathered."""

    folders: list[FolderReport] = field(default_factory=list)
    problems: list[Notice] = field(default_factory=list)
    notes: list[Notice] = field(default_factory=list)

    def add(self, later: Delivered) -> Delivered:
        """This and a later delivery of the same source as one: counts of messages brought add up."""
        before: Mapping[str, FolderReport] = {each.folder: each for each in self.folders}
        folders = [
            FolderReport(
                each.folder,
                each.source,
                each.brought + (before[each.folder].brought if each.folder in before else 0),
                each.here,
                each.bytes + (before[each.folder].bytes if each.folder in before else 0),
            )
            for each in later.folders
        ]
        return Delivered(folders, later.problems, later.notes)


def all_ok(reports: Iterable[MailboxReport]) -> bool:
    """Whether every mailbox is complete."""
    return all(report.ok for report in reports)
