"""What a mailbox holds here, folder by folder, before and after a delivery."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class FolderHere:
    """A folder of the mailbox. `guids`: its messages' GUIDs with their UIDs. A folder that is missing is empty."""

    messages: int = 0
    next_uid: int = 1
    guids: Mapping[str, int] = field(default_factory=dict)

    @property
    def untouched(self) -> bool:
        """True when no message was ever in it: it can take over UIDs from elsewhere."""
        return self.messages == 0 and self.next_uid <= 1


#: By the folder's name as IMAP shows it, in Unicode.
Here = Mapping[str, FolderHere]


def folders(status: str, fetched: str) -> dict[str, FolderHere]:
    """Read `doveadm -f tab mailbox status 'messages uidnext'` and `doveadm -f tab fetch 'guid uid mailbox'`.

    Raises ValueError when it is not of that form.
    """
    guids: dict[str, dict[str, int]] = {}
    for line in fetched.splitlines()[1:]:
        guid, uid, name = line.split("\t", 2)
        guids.setdefault(name, {})[guid] = int(uid)
    found = {}
    for line in status.splitlines()[1:]:
        name, messages, next_uid = line.rsplit("\t", 2)
        found[name] = FolderHere(int(messages), int(next_uid), guids.get(name, {}))
    return found
