"""Removing the mail of mailboxes that were deleted long enough ago.

Run by the unit posthouse-purge@GROUP, which the node agent starts where the group is, and by
`posthouse mailbox purge`. Nothing outside `VOLUME/mailboxes/xx/ID` can be reached:
the path must be the one that the identity gives, and every step goes through the
handle of the folder above without following links.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from appliance import paths
from appliance.cluster.names import GroupName, group_name
from appliance.directory.addresses import domain_name
from appliance.directory.mailboxes import Mailboxes
from appliance.directory.model import Mailbox, home
from appliance.directory.service import DirectoryService
from appliance.errors import BadInput, NotFound, PosthouseError, Unavailable


class NotRemoved(PosthouseError):
    """The mail of a mailbox could not be removed; the mailbox is not forgotten."""


_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def purge_due(
    directory: DirectoryService, volume: Path, group: GroupName, now: datetime | None = None
) -> Iterator[Mailbox]:
    """Purge the group's mailboxes whose time has passed; yield each when its mail is gone.

    What an earlier run began is completed as well. Raises Unavailable when the volume is
    not there; nothing is forgotten then. One that cannot be removed is tried again the next
    time, holds up no other, and is raised as NotRemoved in the end.
    """
    moment = now or datetime.now(UTC)
    due = [
        mailbox
        for mailbox in directory.mailboxes.deleted()
        if mailbox.group == group and _is_due(directory, mailbox, moment)
    ]
    for mailbox in due:
        directory.mailboxes.doom(mailbox)
    yield from _finish(directory.mailboxes, volume, group)


def purge_one(directory: DirectoryService, volume: Path, name: str) -> Mailbox:
    """Purge one deleted mailbox now, by its identity or address. Raises BadInput, NotFound, Unavailable."""
    mailbox = directory.mailboxes.find_deleted(name)
    with _mailboxes_of(volume):
        if not directory.mailboxes.doom(mailbox):
            raise NotFound("mailbox-not-deleted", address=mailbox.address)
    _purge(directory.mailboxes, volume, mailbox)
    return mailbox


def remove_home(volume: Path, mailbox: Mailbox) -> None:
    """Remove the home of a mailbox, and what a migration kept of it, if any.

    Raises BadInput for a path that is not its own, Unavailable, OSError.
    """
    if mailbox.path != home(mailbox.id):
        raise BadInput("path", "mailbox-bad-path", path=mailbox.path, id=mailbox.id)
    with _mailboxes_of(volume) as mailboxes, suppress(FileNotFoundError):
        shelf = os.open(mailbox.id[:2], _FOLDER, dir_fd=mailboxes)
        try:
            shutil.rmtree(mailbox.id, dir_fd=shelf)
            os.fsync(shelf)
        finally:
            os.close(shelf)
    _remove_migration(volume, mailbox)


def _remove_migration(volume: Path, mailbox: Mailbox) -> None:
    """Remove what a migration keeps of a mailbox: its ledger, and copies of its mail."""
    with suppress(FileNotFoundError):
        folder = os.open(volume / "migration", _FOLDER)
        try:
            shutil.rmtree(mailbox.id, dir_fd=folder)
            os.fsync(folder)
        finally:
            os.close(folder)


def _finish(mailboxes: Mailboxes, volume: Path, group: GroupName) -> Iterator[Mailbox]:
    failed: list[NotRemoved] = []
    for mailbox in list(mailboxes.doomed(group)):
        try:
            _purge(mailboxes, volume, mailbox)
        except NotRemoved as error:
            failed.append(error)
        else:
            yield mailbox
    if failed:
        raise failed[0]


def _purge(mailboxes: Mailboxes, volume: Path, mailbox: Mailbox) -> None:
    try:
        remove_home(volume, mailbox)
    except (OSError, RecursionError) as error:  # shutil.rmtree goes down as deep as the folders
        raise NotRemoved("mailbox-not-removed", path=str(volume / mailbox.path), detail=str(error)) from error
    mailboxes.forget(mailbox)


def _is_due(directory: DirectoryService, mailbox: Mailbox, now: datetime) -> bool:
    if mailbox.deleted_at is None:
        return False
    try:
        rules = directory.rules.of(domain_name(mailbox.address.rpartition("@")[2]))
    except NotFound:
        rules = directory.rules.of_system()
    return mailbox.deleted_at + rules.retention <= now


@contextmanager
def _mailboxes_of(volume: Path) -> Iterator[int]:
    """The volume's folder of mailboxes, as an open handle."""
    try:
        handle = os.open(volume / "mailboxes", _FOLDER)
    except OSError as error:
        raise Unavailable("mailbox-volume-missing", path=str(volume), detail=error.strerror or "") from error
    try:
        yield handle
    finally:
        os.close(handle)


def main() -> None:
    """`python -m appliance.directory.purge GROUP`: purge what is due, say how many that were."""
    group = group_name(sys.argv[1])
    with DirectoryService.connect() as directory:
        count = sum(1 for _ in purge_due(directory, paths.volume(group), group))
    if count:
        print(f"removed the mail of {count} deleted mailboxes")


if __name__ == "__main__":
    main()
