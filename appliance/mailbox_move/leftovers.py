"""Which homes moves may have left behind in a group's volume: a note for each, made before the first copy.

VOLUME/moving/ID, of root, with the mailbox's address; removed when the home is gone or the move came to nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from appliance import durable_files, paths
from appliance.cluster.names import GroupName
from appliance.directory.model import Mailbox

_ID: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)


def folder(group: GroupName) -> Path:
    """Where the notes of a group are."""
    return paths.volume(group) / "moving"


def note(group: GroupName, mailbox: Mailbox) -> None:
    """From now on the home of the mailbox in this group may have to be removed. Raises OSError."""
    folder(group).mkdir(mode=0o700, exist_ok=True)
    durable_files.replace(folder(group) / mailbox.id, mailbox.address.encode(), 0o600)


def forget(group: GroupName, mailbox: Mailbox) -> None:
    """Nothing of it is left."""
    (folder(group) / mailbox.id).unlink(missing_ok=True)


def noted(group: GroupName) -> Iterator[tuple[str, str]]:
    """Identity and address, as it was then, of each mailbox that is noted."""
    try:
        notes = sorted(folder(group).iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return
    for each in notes:
        if _ID.fullmatch(each.name):
            with suppress(OSError):
                yield each.name, each.read_text(errors="replace")
