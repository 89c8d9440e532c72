"""Picking what is new: by content, whatever the source renames, and never twice."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from appliance.errors import Unavailable
from appliance.migration.mail import maildir, names, uidlist
from appliance.migration.mail.here import FolderHere, folders
from appliance.migration.mail.ledger import Ledger
from appliance.migration.mail.names import Folder
from appliance.migration.mail.stage import Lane, Stage, Staged, require_space
from appliance.migration.mail.staging import Mailbox, guid, parts_of, stage_folder
from appliance.migration.mail.wire import digest
from tests.unit.migration.test_maildir import deliver

HERE = {"INBOX": FolderHere(messages=2, next_uid=9)}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger") as opened:
        yield opened


def staged(
    tmp_path: Path, ledger: Ledger, here: dict[str, FolderHere], strays: Counter[str] | None = None
) -> tuple[Staged, Stage]:
    stage = Stage(tmp_path / "stage", (os.geteuid(), os.getegid()))
    stage.open()
    tree = maildir.scan(tmp_path / "source")
    (part,) = parts_of(tree, "source")
    interrupted: dict[Folder, int] = {} if strays is None else {names.INBOX: 9}
    mailbox = Mailbox(ledger, here, interrupted, lambda *_: Counter(strays or {}))
    found = stage_folder(part, stage, mailbox)
    stage.hand_over()
    return found, stage


def files(stage: Stage, lane: Lane) -> dict[str, tuple[bytes, int]]:
    """Content and time of arrival of what lies in a lane, by flags."""
    found = {}
    for path in (stage.root / lane).rglob("cur/*"):
        found[path.name.rpartition(":2,")[2]] = (path.read_bytes(), int(path.stat().st_mtime))
    return found


def test_an_untouched_folder_is_taken_whole_with_its_uids(tmp_path: Path, ledger: Ledger) -> None:
    deliver(tmp_path / "source", "1.a:2,RS", b"one\n", at=1_300_000_001)
    deliver(tmp_path / "source", "2.b:2,Sa", b"two\n", at=1_300_000_002)
    (tmp_path / "source/dovecot-uidlist").write_bytes(b"3 V77 N9\n5 :1.a\n7 :2.b\n")
    (tmp_path / "source/dovecot-keywords").write_text("0 work\n")
    found, stage = staged(tmp_path, ledger, {})
    assert files(stage, Lane.WHOLE) == {"RS": (b"one\n", 1_300_000_001), "Sa": (b"two\n", 1_300_000_002)}
    known = uidlist.parse((stage.root / "whole/dovecot-uidlist").read_bytes())
    assert known is not None
    assert known.validity == 77
    assert sorted(known.uids.values()) == [5, 7]
    assert set(found.fresh) == {guid((), digest(b"one\r\n"), 0), guid((), digest(b"two\r\n"), 0)}


def test_a_folder_in_use_gets_what_is_new_behind_what_is_there(tmp_path: Path, ledger: Ledger) -> None:
    deliver(tmp_path / "source", "1.a:2,S", b"one\n")
    _, stage = staged(tmp_path, ledger, HERE)
    assert not files(stage, Lane.WHOLE)
    assert files(stage, Lane.APPEND) == {"S": (b"one\n", 1_300_000_000)}


def test_sizes_stand_in_the_names(tmp_path: Path, ledger: Ledger) -> None:
    deliver(tmp_path / "source", "1.a,S=1,W=1:2,S", b"one\ntwo\n")
    _, stage = staged(tmp_path, ledger, {})
    (path,) = (stage.root / "whole/cur").iterdir()
    assert ",S=8,W=10:2,S" in path.name


def test_a_message_that_lf_would_change_goes_the_exact_way(tmp_path: Path, ledger: Ledger) -> None:
    deliver(tmp_path / "source", "1.a:2,S", b"one\r\r\n")
    _, stage = staged(tmp_path, ledger, {})
    assert not files(stage, Lane.WHOLE)
    assert files(stage, Lane.EXACT) == {"S": (b"one\r\r\n", 1_300_000_000)}


def test_what_was_brought_or_is_here_is_not_staged_again(tmp_path: Path, ledger: Ledger) -> None:
    deliver(tmp_path / "source", "1.a:2,S", b"one\n")
    deliver(tmp_path / "source", "2.b:2,S", b"two\n")
    deliver(tmp_path / "source", "3.c:2,S", b"three\r\n")
    ledger.bring((), {digest(b"one\n"): 1})
    here = FolderHere(1, 2, {guid((), digest(b"two\n"), 0): 1})
    found, stage = staged(tmp_path, ledger, {"INBOX": here})
    assert found.in_source == 3
    assert [each.digest for each in found.fresh.values()] == [digest(b"three\n")]
    assert found.present == {digest(b"one\n"): 1, digest(b"two\n"): 1}
    assert not list(stage.root.glob("incoming*"))


def test_equal_messages_are_counted(tmp_path: Path, ledger: Ledger) -> None:
    for number in range(3):
        deliver(tmp_path / "source", f"{number}.x:2,S", b"same\n")
    ledger.bring((), {digest(b"same\n"): 1})
    found, _ = staged(tmp_path, ledger, HERE)
    assert {each.number for each in found.fresh.values()} == {1, 2}


def test_after_an_interruption_messages_are_known_by_their_content(tmp_path: Path, ledger: Ledger) -> None:
    for number in range(3):
        deliver(tmp_path / "source", f"{number}.x:2,S", b"same\n")
    found, _ = staged(tmp_path, ledger, HERE, Counter({digest(b"same\n"): 2}))
    assert {each.number for each in found.fresh.values()} == {2}
    assert found.present == {digest(b"same\n"): 2}


def test_unchanged_files_are_not_read_again(tmp_path: Path, ledger: Ledger) -> None:
    path = deliver(tmp_path / "source", "1.a:2,S", b"one\n")
    first, _ = staged(tmp_path, ledger, HERE)
    path.write_bytes(b"eno\n")
    os.utime(path, (1_300_000_000, 1_300_000_000))
    second, _ = staged(tmp_path, ledger, HERE)
    assert first.fresh == second.fresh


def test_the_source_is_left_as_it_was(tmp_path: Path, ledger: Ledger) -> None:
    deliver(tmp_path / "source", "1.a", b"one\n")
    before = sorted((str(p), p.stat().st_mtime_ns, p.stat().st_nlink) for p in (tmp_path / "source").rglob("*"))
    staged(tmp_path, ledger, {})
    assert sorted((str(p), p.stat().st_mtime_ns, p.stat().st_nlink) for p in (tmp_path / "source").rglob("*")) == before


def test_a_volume_without_room_refuses(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        require_space(tmp_path, 2**60)


def test_what_doveadm_says_of_a_mailbox_is_understood() -> None:
    found = folders(
        "mailbox\tmessages\tuidnext\nINBOX\t2\t7\n项目/a\t0\t1\n", "guid\tuid\tmailbox\nab\t3\tINBOX\ncd\t6\tINBOX\n"
    )
    assert found == {"INBOX": FolderHere(2, 7, {"ab": 3, "cd": 6}), "项目/a": FolderHere(0, 1, {})}
    assert found["项目/a"].untouched
    assert not found["INBOX"].untouched


class BringingAgainAndAgain(RuleBasedStateMachine):
    """A source that grows and renames its files, a mailbox whose owner deletes, runs that are cut short at any point.

    After every run that ends, each message that was ever in the source has come exactly once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="posthouse-staging-"))
        deliver(self.folder / "source", "0.first:2,S", b"first\n")
        self.arrived: Counter[str] = Counter({})
        self.ever: Counter[str] = Counter({digest(b"first\n"): 1})
        self.here: dict[str, int] = {}
        self.nameless: Counter[str] = Counter()
        self.next_uid = 1
        self.names = 0
        self.complete = False
        self.cut_short = False

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @rule(content=st.sampled_from([b"a\n", b"b\n", b"c\r\r\n"]))
    def add(self, content: bytes) -> None:
        self.names += 1
        deliver(self.folder / "source", f"{self.names}.x:2,", content)
        self.ever[digest(content)] += 1
        self.complete = False

    @rule()
    def rename_everything(self) -> None:
        for path in list((self.folder / "source/cur").iterdir()):
            self.names += 1
            path.rename(path.with_name(f"{self.names}.renamed:2,S"))

    @precondition(lambda self: not self.cut_short)
    @rule()
    def the_owner_deletes_all(self) -> None:
        self.here.clear()
        self.nameless.clear()

    @rule(share=st.integers(0, 100), nameless=st.booleans(), noted=st.booleans())
    def run(self, share: int, nameless: bool, noted: bool) -> None:
        """A run delivers a share of what is staged. `nameless`: its last message lost its GUID; `noted`: it ends."""
        with Ledger(self.folder / "ledger") as ledger:
            stage = Stage(self.folder / "stage", (os.geteuid(), os.getegid()))
            stage.open()
            tree = maildir.scan(self.folder / "source")
            (part,) = parts_of(tree, "source")
            here = {"INBOX": FolderHere(len(self.here), max(self.next_uid, 2), dict(self.here))}
            interrupted = ledger.interrupted()
            mailbox = Mailbox(ledger, here, interrupted, lambda *_: Counter(self.nameless))
            found = stage_folder(part, stage, mailbox)
            ledger.begin_delivery({(): self.next_uid} if found.fresh else {})
            todo = list(found.fresh.items())
            delivered = todo if noted else todo[: len(todo) * share // 100]
            for identity, fresh in delivered:
                self.arrived[fresh.digest] += 1
                self.here[identity] = self.next_uid
                self.next_uid += 1
            self.cut_short = not noted
            if not noted:
                if nameless and delivered:
                    identity, fresh = delivered[-1]
                    del self.here[identity]
                    self.nameless[fresh.digest] += 1
                return
            copies = Counter(found.present)
            copies.update(fresh.digest for _, fresh in delivered)
            ledger.bring((), copies)
            ledger.end_delivery()
            self.nameless.clear()
            self.complete = True

    @invariant()
    def nothing_came_twice_and_nothing_is_missing(self) -> None:
        if self.complete:
            assert self.arrived >= self.ever
        for content, count in self.arrived.items():
            assert count <= self.ever[content]


TestBringingAgainAndAgain = BringingAgainAndAgain.TestCase
TestBringingAgainAndAgain.settings = settings(max_examples=30, stateful_step_count=15, deadline=None)
