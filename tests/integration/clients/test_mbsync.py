"""mbsync keeps a mailbox and a local Maildir the same, both ways: folders with Chinese names, flags, deletions."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from imapclient import IMAPClient, imap_utf7

from tests.integration.clients.desk import Desk
from tests.integration.letters import written
from tests.integration.mail_clients import Account, MailNode, mark

FOLDERS = ("草稿箱", "项目/二〇二六", "项目", "客户 & 伙伴", "v1.2")
#: mbsync marks every message it copies, to find it again if it is interrupted.
_MARK = re.compile(rb"X-TUID: .*\n")


class Copy:
    """A person's local copy of a mailbox, as mbsync keeps it in ~/mail."""

    def __init__(self, desk: Desk, account: Account) -> None:
        self.desk = desk
        self.root = desk.home / "mail"
        self.root.mkdir()
        desk.keep(
            ".mbsyncrc",
            f"IMAPStore far\nHost {desk.server}\nUser {account.address}\nPass {account.password}\nSSLType IMAPS\n"
            f"SSLVersions TLSv1.3 TLSv1.2\nSystemCertificates no\nCertificateFile {desk.ca_file}\nTimeout 20\n\n"
            f"MaildirStore near\nPath {self.root}/\nInbox {self.root}/INBOX\nSubFolders Verbatim\n\n"
            "Channel mail\nFar :far:\nNear :near:\nPatterns *\nCreate Both\nRemove Both\nExpunge Both\nSyncState *\n",
        )

    def sync(self) -> None:
        """Bring both sides together."""
        self.desk.run("mbsync", "--all")

    def files(self) -> set[str]:
        """Every message with its folder and flags, as file names."""
        return {str(file.relative_to(self.root)) for part in ("cur", "new") for file in self.root.rglob(f"{part}/*")}

    def folder(self, name: str) -> Path:
        coded: bytes = imap_utf7.encode(name)
        return self.root / coded.decode()

    def message(self, folder: str, word: str) -> Path | None:
        """The file of the message with that word, if there is one."""
        files = (file for part in ("cur", "new") for file in (self.folder(folder) / part).glob("*"))
        return next((file for file in files if word.encode() in file.read_bytes()), None)

    def add(self, folder: str, message: bytes) -> None:
        """What another local program does that files a message."""
        (self.folder(folder) / "cur" / f"{mark()}.desk:2,S").write_bytes(message.replace(b"\r\n", b"\n"))

    def set_flags(self, folder: str, word: str, flags: str) -> None:
        file = self.message(folder, word)
        assert file is not None
        file.rename(file.parent.parent / "cur" / (file.name.partition(":2,")[0] + ":2," + flags))


@pytest.fixture
def imap(mail: MailNode, wang: Account) -> Callable[[], IMAPClient]:
    """Another program of the same person, signed in afresh."""

    def signed_in() -> IMAPClient:
        client = IMAPClient(mail.node.address, ssl_context=mail.context, timeout=20)
        client.login(wang.address, wang.password)
        return client

    return signed_in


def nothing_more_to_do(made: Copy, imap: Callable[[], IMAPClient]) -> bool:
    """Whether another run changes no message, flag or folder on either side."""

    def both() -> tuple[set[str], dict[str, dict[bytes, int]]]:
        with imap() as client:
            names = [name for flags, _, name in client.list_folders() if b"\\Noselect" not in flags]
            return made.files(), {name: client.folder_status(name, ["UIDNEXT", "HIGHESTMODSEQ"]) for name in names}

    before = both()
    made.sync()
    return before == both()


@pytest.fixture
def copy(desk: Desk, wang: Account, imap: Callable[[], IMAPClient]) -> tuple[Copy, dict[str, str]]:
    """A mailbox with a message in each folder, synced; and the words by which to know the messages."""
    words = {}
    with imap() as client:
        for folder in FOLDERS:
            client.create_folder(folder)
        for folder in (*FOLDERS, "INBOX"):
            words[folder] = mark()
            client.append(folder, written(wang.address, wang.address, words[folder], subject=folder))
    made = Copy(desk, wang)
    made.sync()
    return made, words


def flags_on_server(client: IMAPClient, folder: str, word: str) -> set[bytes] | None:
    """The message's flags but for \\Recent, or None when it is not there."""
    client.select_folder(folder, readonly=True)
    found = client.search(["TEXT", word])
    return set(client.get_flags(found)[found[0]]) - {b"\\Recent"} if found else None


def test_every_folder_and_message_comes_here_unchanged_and_then_there_is_nothing_to_do(
    copy: tuple[Copy, dict[str, str]], wang: Account, imap: Callable[[], IMAPClient]
) -> None:
    made, words = copy
    for folder, word in words.items():
        file = made.message(folder, word)
        assert file is not None, folder
        sent = written(wang.address, wang.address, word, subject=folder)
        assert _MARK.sub(b"", file.read_bytes()) == sent.replace(b"\r\n", b"\n")
    assert nothing_more_to_do(made, imap)


def test_a_folder_and_a_message_made_here_go_there(
    copy: tuple[Copy, dict[str, str]], wang: Account, imap: Callable[[], IMAPClient]
) -> None:
    made, _ = copy
    sent = written(wang.address, wang.address, word := mark())
    for part in ("cur", "new", "tmp"):
        (made.folder("发件箱/旧") / part).mkdir(parents=True)
    made.add("发件箱/旧", sent)
    made.sync()
    with imap() as client:
        assert flags_on_server(client, "发件箱/旧", word) == {b"\\Seen"}
        fetched = client.fetch(client.search(["TEXT", word]), ["BODY.PEEK[]"])
        assert [_MARK.sub(b"", each[b"BODY[]"]) for each in fetched.values()] == [sent]
    assert nothing_more_to_do(made, imap)


def test_flags_go_both_ways(copy: tuple[Copy, dict[str, str]], imap: Callable[[], IMAPClient]) -> None:
    made, words = copy
    made.set_flags("草稿箱", words["草稿箱"], "FRS")
    with imap() as client:
        client.select_folder("项目/二〇二六")
        client.add_flags(client.search(), [b"\\Answered", b"\\Draft"])
    made.sync()
    with imap() as client:
        there = flags_on_server(client, "草稿箱", words["草稿箱"])
        assert there == {b"\\Flagged", b"\\Answered", b"\\Seen"}
    here = made.message("项目/二〇二六", words["项目/二〇二六"])
    assert here is not None
    assert set(here.name.partition(":2,")[2]) == {"D", "R"}
    made.set_flags("草稿箱", words["草稿箱"], "S")
    made.sync()
    with imap() as client:
        assert flags_on_server(client, "草稿箱", words["草稿箱"]) == {b"\\Seen"}
    assert nothing_more_to_do(made, imap)


def test_what_is_deleted_on_one_side_is_gone_on_the_other(
    copy: tuple[Copy, dict[str, str]], imap: Callable[[], IMAPClient]
) -> None:
    made, words = copy
    deleted_here = made.message("INBOX", words["INBOX"])
    assert deleted_here is not None
    deleted_here.unlink()
    with imap() as client:
        client.select_folder("草稿箱")
        client.delete_messages(client.search())
        client.expunge()
    made.sync()
    with imap() as client:
        assert flags_on_server(client, "INBOX", words["INBOX"]) is None
    assert made.message("草稿箱", words["草稿箱"]) is None
    assert made.message("项目", words["项目"]) is not None
    assert nothing_more_to_do(made, imap)
