"""Handing staged mail to Dovecot and seeing what arrived: the middle of every kind of migration.

    stage -> note that a delivery begins -> dsync and copy -> ask the mailbox what is there
          -> note what arrived -> note that the delivery is over

Killed anywhere in between, the next run asks the mailbox first: messages that carry our
GUIDs, or the same content, count as brought.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from appliance.cluster.report import Notice
from appliance.migration.mail import names
from appliance.migration.mail.dovecot import Dovecot, complaint
from appliance.migration.mail.here import FolderHere
from appliance.migration.mail.ledger import Ledger
from appliance.migration.mail.names import Folder
from appliance.migration.mail.report import Delivered, FolderReport
from appliance.migration.mail.stage import Lane, Stage, Staged
from appliance.migration.mail.staging import Mailbox, Part, guid, stage_folder

#: Called with a message key and facts whenever something is to be shown.
Progress = Callable[[str, dict[str, str | int]], None]


def deliver(
    parts: Sequence[Part],
    subscribed: frozenset[Folder] | None,
    *,
    dovecot: Dovecot,
    stage: Stage,
    ledger: Ledger,
    progress: Progress,
) -> Delivered:
    """Bring what is new of `parts`. `subscribed` None: subscribe to all of them. Raises Unavailable."""
    return _Delivery(dovecot, stage, ledger, progress).run(parts, subscribed)


class _Delivery:
    """One delivery into one mailbox."""

    def __init__(self, dovecot: Dovecot, stage: Stage, ledger: Ledger, progress: Progress) -> None:
        self._dovecot = dovecot
        self._stage = stage
        self._ledger = ledger
        self._progress = progress
        self._done = Delivered()

    def run(self, parts: Sequence[Part], subscribed: frozenset[Folder] | None) -> Delivered:
        here = self._dovecot.here()
        self._stage.open()
        try:
            staged = self._stage_all(parts, here)
            first_uids = {each.folder: _at(here, each).next_uid for each in staged if each.fresh}
            self._ledger.begin_delivery(first_uids)
            self._stage.hand_over()
            self._take(staged)
            after = self._dovecot.here()
            for each in staged:
                self._conclude(each, _at(after, each))
            self._ledger.end_delivery()
            self._subscribe(staged, here, subscribed)
        finally:
            self._stage.clear()
        return self._done

    def _stage_all(self, parts: Sequence[Part], here: dict[str, FolderHere]) -> list[Staged]:
        mailbox = Mailbox(self._ledger, here, self._ledger.interrupted(), self._strays(here))
        staged = []
        for part in parts:
            self._progress("migrate-progress-reading", {"folder": names.shown(part.folder)})
            try:
                each = stage_folder(part, self._stage, mailbox)
            except OSError as error:
                facts: dict[str, str | int | float] = {
                    "folder": names.shown(part.folder),
                    "detail": str(error.strerror),
                }
                self._done.problems.append(Notice(key="migrate-folder-unreadable", facts=facts))
                continue
            self._done.problems += each.problems
            self._done.notes += each.notes
            staged.append(each)
        return staged

    def _strays(self, here: dict[str, FolderHere]) -> Callable[[Folder, int, frozenset[str]], Counter[str]]:
        def strays(folder: Folder, first_uid: int, ours: frozenset[str]) -> Counter[str]:
            name = names.shown(folder)
            guids = here.get(name, FolderHere()).guids
            unknown = sorted(uid for known, uid in guids.items() if uid >= first_uid and known not in ours)
            return self._dovecot.digests(name, unknown) if unknown else Counter()

        return strays

    def _take(self, staged: Iterable[Staged]) -> None:
        """Let Dovecot take the stage, lane by lane."""
        staged = list(staged)
        count = sum(len(each.fresh) for each in staged)
        self._progress("migrate-progress-delivering", {"count": count})
        whole = [each for each in staged if Lane.WHOLE in each.lanes]
        if whole:
            without_inbox = names.INBOX not in {each.folder for each in whole}
            done = self._dovecot.take_whole(self._stage.root / Lane.WHOLE, without_inbox=without_inbox)
            self._done.problems += complaint(done, "dsync")
        for each in staged:
            for lane in (Lane.APPEND, Lane.EXACT):
                if lane in each.lanes and each.lanes[lane].lines:
                    count = len(each.lanes[lane].lines)
                    folder = names.shown(each.folder)
                    place = each.lanes[lane].place
                    done = self._dovecot.copy(self._stage.root / lane, place, folder, count, exact=lane is Lane.EXACT)
                    self._done.problems += complaint(done, folder)

    def _conclude(self, staged: Staged, after: FolderHere) -> None:
        """Note what arrived in a folder, and tell what did not."""
        arrived = staged.fresh.keys() & after.guids.keys()
        copies = dict(staged.present)
        for fresh in staged.fresh.values():
            copies.setdefault(fresh.digest, 0)
        for digest, number in copies.items():
            while guid(staged.folder, digest, copies[digest]) in arrived:
                copies[digest] += 1
            assert copies[digest] >= number
        self._ledger.bring(staged.folder, {digest: number for digest, number in copies.items() if number})
        folder = names.shown(staged.folder)
        missing = len(staged.fresh) - len(arrived)
        if missing:
            self._done.problems.append(Notice(key="migrate-not-arrived", facts={"folder": folder, "count": missing}))
        size = sum(staged.fresh[each].size for each in arrived)
        self._done.folders.append(FolderReport(folder, staged.in_source, len(arrived), after.messages, size))

    def _subscribe(
        self, staged: Iterable[Staged], before: dict[str, FolderHere], subscribed: frozenset[Folder] | None
    ) -> None:
        """Subscribe to folders that this delivery made, if the source did, or does not say."""
        made = [each.folder for each in staged if each.folder and names.shown(each.folder) not in before]
        wanted = [names.shown(folder) for folder in made if subscribed is None or folder in subscribed]
        if wanted:
            self._done.problems += complaint(self._dovecot.subscribe(wanted), "subscribe")


def _at(here: dict[str, FolderHere], staged: Staged) -> FolderHere:
    return here.get(names.shown(staged.folder), FolderHere())
