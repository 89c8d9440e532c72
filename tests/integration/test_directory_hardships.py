"""The directory in trouble: racing writers, interrupted steps, a slapd that hangs or is killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier

import pytest

from appliance.cluster.names import MAIL_GROUP
from appliance.directory import schema
from appliance.directory.bulk import Row
from appliance.directory.changes import EVERYTHING, NOTHING, Changed, ChangeFollower
from appliance.directory.connection import DirectoryUnavailable
from appliance.directory.model import DomainChange, MailboxChange, Status
from appliance.directory.purge import NotRemoved, purge_due, purge_one
from appliance.directory.service import DirectoryService
from appliance.errors import AlreadyExists, NotFound, PosthouseError, Unavailable
from tests.integration.slapd_server import HASH, SlapdServer, emptied, make, needs_slapd, running

pytestmark = needs_slapd()


@pytest.fixture(scope="module")
def server() -> Iterator[SlapdServer]:
    with running() as made:
        yield made


@pytest.fixture
def directory(server: SlapdServer) -> Iterator[DirectoryService]:
    """A directory with example.com and alice@example.com in it."""
    with emptied(server) as opened:
        opened.domains.create("example.com")
        make(opened, "alice@example.com")
        yield opened


CREATOR = """
import sys
from tests.integration.slapd_server import SlapdServer
from appliance.directory.entries import new_mailbox
from appliance.directory.addresses import mailbox_address
from appliance.directory.connection import DirectoryConnection
from appliance.directory.model import NewMailbox
from appliance.directory.service import DirectoryService
from appliance.errors import AlreadyExists
from appliance.settings.layers import SYSTEM, Layer
directory = DirectoryService(DirectoryConnection(sys.argv[1]), lambda: Layer(SYSTEM, {}))
directory.domains.find("example.com")
print("ready", flush=True)
sys.stdin.readline()
for number in range(50):
    wanted = directory.mailboxes.wanted(f"race{number}@example.com", name=sys.argv[2])
    try:
        directory.mailboxes.create(wanted)
        print("won", number)
    except AlreadyExists:
        print("lost", number)
"""


def test_two_processes_that_create_the_same_mailboxes_share_them_out(
    server: SlapdServer, directory: DirectoryService
) -> None:
    command = [sys.executable, "-c", CREATOR, server.uri]
    processes = [
        subprocess.Popen([*command, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for name in "ab"
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    said = [process.communicate("go\n", timeout=60)[0].split("\n") for process in processes]
    won = [{int(line.split()[1]) for line in lines if line.startswith("won")} for lines in said]
    assert won[0] | won[1] == set(range(50))
    assert not won[0] & won[1]
    for number in range(50):
        assert directory.mailboxes.find(f"race{number}@example.com").name == "ab"[number in won[1]]


def race(server: SlapdServer, *acts: Callable[[DirectoryService], object]) -> list[object]:
    """Let several services act at the same moment; what each returned or was refused with."""
    barrier = Barrier(len(acts))

    def run(act: Callable[[DirectoryService], object]) -> object:
        with server.service() as own:
            own.domains.search("warm")
            barrier.wait(10)
            try:
                return act(own)
            except PosthouseError as refused:
                return refused

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


@pytest.mark.parametrize("turn", range(5))
def test_a_domain_deleted_while_a_mailbox_is_made_leaves_no_orphan(
    server: SlapdServer, directory: DirectoryService, turn: int
) -> None:
    directory.domains.create("race.example")
    made, deleted = race(
        server, lambda own: make(own, "alice@race.example"), lambda own: own.domains.delete("race.example")
    )
    there = {domain.name for domain in directory.domains.all()}
    if isinstance(made, PosthouseError):
        assert isinstance(made, NotFound)
        assert (deleted, "race.example" in there) == (None, False)
    else:
        assert isinstance(deleted, PosthouseError)
        assert directory.mailboxes.find("alice@race.example").id
        assert "race.example" in there


@pytest.mark.parametrize("turn", range(5))
def test_restoring_and_purging_at_once_has_one_winner(
    server: SlapdServer, directory: DirectoryService, tmp_path: Path, turn: int
) -> None:
    gone = directory.mailboxes.delete("alice@example.com")
    home = tmp_path / gone.path
    home.mkdir(parents=True)
    restored, purged = race(
        server, lambda own: own.mailboxes.restore(gone.id), lambda own: purge_one(own, tmp_path, gone.id)
    )
    assert isinstance(restored, PosthouseError) != isinstance(purged, PosthouseError)
    assert home.exists() == isinstance(purged, PosthouseError)
    known = [box.address for box in directory.mailboxes.all()]
    assert known == ([] if isinstance(restored, PosthouseError) else ["alice@example.com"])


def test_two_who_rename_to_the_same_address_have_one_winner(server: SlapdServer, directory: DirectoryService) -> None:
    make(directory, "bob@example.com")
    outcomes = race(
        server,
        lambda own: own.mailboxes.rename("alice@example.com", "carol@example.com"),
        lambda own: own.mailboxes.rename("bob@example.com", "carol@example.com"),
    )
    assert [isinstance(outcome, AlreadyExists) for outcome in outcomes].count(True) == 1
    assert len({box.address for box in directory.mailboxes.all()} & {"alice@example.com", "bob@example.com"}) == 1


def test_mail_is_purged_when_its_time_has_passed_and_an_interrupted_purge_is_completed(
    server: SlapdServer, directory: DirectoryService, tmp_path: Path
) -> None:
    make(directory, "bob@example.com")
    make(directory, "carol@example.com")
    boxes = [directory.mailboxes.delete(f"{name}@example.com") for name in ("alice", "bob", "carol")]
    homes = [tmp_path / box.path for box in boxes]
    for home in homes:
        (home / "Maildir").mkdir(parents=True)
    with server.service({"mailbox.deleted_retention": json.dumps(3600)}) as hour:
        assert list(purge_due(hour, tmp_path, MAIL_GROUP)) == []
        assert hour.mailboxes.doom(boxes[0]), "a purge that ended here"
        assert [box.id for box in purge_due(hour, tmp_path, MAIL_GROUP)] == [boxes[0].id]
        hour.domains.change("example.com", DomainChange(status=Status.ACTIVE))
        hour.write_settings("domain", "example.com", {"mailbox.deleted_retention": "7200"})
    with server.service({"mailbox.deleted_retention": json.dumps(3600)}) as hour:
        soon = datetime.now(UTC) + timedelta(seconds=3601)
        assert list(purge_due(hour, tmp_path, MAIL_GROUP, soon)) == [], "the domain keeps mail for two hours"
        later = datetime.now(UTC) + timedelta(seconds=7201)
        with pytest.raises(Unavailable):
            list(purge_due(hour, tmp_path / "unmounted", MAIL_GROUP, later))
        assert {box.id for box in purge_due(hour, tmp_path, MAIL_GROUP, later)} == {boxes[1].id, boxes[2].id}
    assert not any(home.exists() for home in homes)
    assert list(directory.mailboxes.deleted()) == []
    with pytest.raises(NotFound):
        directory.mailboxes.restore(boxes[1].id)


def test_a_home_that_cannot_be_removed_holds_up_no_other_and_is_tried_again(
    directory: DirectoryService, tmp_path: Path
) -> None:
    """As a link that a process of vmail put in its place."""
    for name in ("bob", "carol"):
        make(directory, f"{name}@example.com")
    boxes = [directory.mailboxes.delete(f"{name}@example.com") for name in ("alice", "bob", "carol")]
    for box in boxes:
        (tmp_path / box.path).parent.mkdir(parents=True, exist_ok=True)
        assert directory.mailboxes.doom(box)
    elsewhere = tmp_path / "elsewhere"
    for home in (elsewhere, tmp_path / boxes[0].path, tmp_path / boxes[2].path):
        home.mkdir()
        (home / "file").touch()
    (tmp_path / boxes[1].path).symlink_to(elsewhere)
    with pytest.raises(NotRemoved):
        list(purge_due(directory, tmp_path, MAIL_GROUP))
    assert [box.id for box in directory.mailboxes.doomed(MAIL_GROUP)] == [boxes[1].id]
    assert (elsewhere / "file").exists()
    (tmp_path / boxes[1].path).unlink()
    assert [box.id for box in purge_due(directory, tmp_path, MAIL_GROUP)] == [boxes[1].id]


def test_the_follower_tells_every_change_once_and_nothing_else(
    server: SlapdServer, directory: DirectoryService
) -> None:
    directory.domains.create("例子.中国")
    with server.connection() as connection:
        follower = ChangeFollower(connection)
        assert follower.poll() == EVERYTHING
        assert follower.poll() == NOTHING
        steps: list[tuple[Callable[[], object], Changed]] = [
            (lambda: make(directory, "bob@例子.中国"), names("bob@xn--fsqu00a.xn--fiqs8s", "bob@例子.中国")),
            (
                lambda: directory.mailboxes.set_password("alice@example.com", password_hash=HASH),
                names("alice@example.com"),
            ),
            (
                lambda: directory.mailboxes.rename("alice@example.com", "liddell@example.com"),
                names("alice@example.com", "liddell@example.com"),
            ),
            (
                lambda: directory.mailboxes.change("liddell@example.com", MailboxChange(status=Status.DISABLED)),
                names("alice@example.com", "liddell@example.com"),
            ),
            (
                lambda: directory.mailboxes.delete("liddell@example.com"),
                names("alice@example.com", "liddell@example.com"),
            ),
            (
                lambda: directory.domains.change("example.com", DomainChange(status=Status.DISABLED)),
                Changed(domains=frozenset({"example.com"})),
            ),
        ]
        for act, told in steps:
            act()
            heard = follower.poll()
            assert heard.names >= told.names
            assert heard.domains >= told.domains
            assert not heard.everything
            assert follower.poll() == NOTHING


def names(*known: str) -> Changed:
    return Changed(names=frozenset(known))


def test_the_follower_misses_nothing_under_load(server: SlapdServer, directory: DirectoryService) -> None:
    heard: set[str] = set()
    with server.connection() as connection, server.service() as other, ThreadPoolExecutor(2) as pool:
        follower = ChangeFollower(connection)
        follower.poll()
        rows = [[Row(n, f"{name}{n}@example.com", password_hash=HASH) for n in range(150)] for name in "xy"]
        busy = [
            pool.submit(lambda: list(directory.create_mailboxes(rows[0]))),
            pool.submit(lambda: list(other.create_mailboxes(rows[1]))),
        ]
        while not all(each.done() for each in busy):
            heard |= follower.poll().names
        heard |= follower.poll().names
    assert {row.address for each in rows for row in each} <= heard


def cost_of(act: Callable[[], object], times: int) -> float:
    """Processor seconds of one call in this process."""
    before = time.process_time()
    for _ in range(times):
        act()
    return (time.process_time() - before) / times


def test_a_poll_that_finds_nothing_costs_next_to_nothing(server: SlapdServer, directory: DirectoryService) -> None:
    with server.connection() as connection:
        follower = ChangeFollower(connection)
        follower.poll()
        each = min(cost_of(follower.poll, 40) for _ in range(10))
    assert each * 4 < 0.003, "four polls a second take less than 0.3 % of a core"


def test_a_directory_that_hangs_is_reported_in_time_and_used_again_afterwards(server: SlapdServer) -> None:
    with server.connection(answer_deadline=1) as connection:
        assert connection.read(schema.SUFFIX)
        server.signal(signal.SIGSTOP)
        try:
            began = time.monotonic()
            with pytest.raises(DirectoryUnavailable):
                connection.read(schema.SUFFIX)
            assert time.monotonic() - began < 3
        finally:
            server.signal(signal.SIGCONT)
        assert connection.read(schema.SUFFIX)


def test_a_directory_that_is_down_is_reported_and_found_again_when_it_is_back(
    server: SlapdServer, directory: DirectoryService
) -> None:
    server.stop()
    with pytest.raises(DirectoryUnavailable, match="does not answer"):
        directory.mailboxes.find("alice@example.com")
    server.start()
    assert directory.mailboxes.find("alice@example.com")
    server.stop()
    server.start()
    assert directory.mailboxes.find("alice@example.com"), "a connection that died meanwhile is replaced"


def test_a_command_that_meets_a_restart_of_the_directory_waits_for_it(
    server: SlapdServer, directory: DirectoryService
) -> None:
    server.stop()
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(directory.mailboxes.find, "alice@example.com")
        server.start()
        assert found.result(timeout=10)


def create_until_killed(
    server: SlapdServer, directory: DirectoryService, rows: Iterable[Row], acknowledged: list[str], number: int
) -> None:
    for outcome in directory.create_mailboxes(rows):
        assert outcome.error is None
        acknowledged.append(outcome.row.address)
        if len(acknowledged) == number:
            server.stop(signal.SIGKILL)


def test_whatever_was_acknowledged_survives_a_kill_and_nothing_half_made_appears(tmp_path: Path) -> None:
    server = SlapdServer(tmp_path)
    server.set_up()
    acknowledged: list[str] = []
    for turn in range(3):
        server.start()
        with server.service() as directory:
            if not turn:
                directory.domains.create("example.com")
            rows = (Row(n, f"t{turn}n{n}@example.com", password_hash=HASH, name="Zoë") for n in range(100_000))
            with pytest.raises(DirectoryUnavailable):
                create_until_killed(server, directory, rows, acknowledged, 60 * (turn + 1))
    server.start()
    try:
        with server.service() as directory:
            boxes = {box.address: box for box in directory.mailboxes.all()}
            assert boxes.keys() >= set(acknowledged)
            assert all(box.has_password and box.name == "Zoë" and box.id in box.path for box in boxes.values())
            found = {box.address for box in directory.mailboxes.search("Zoë", limit=0).mailboxes}
            assert found == boxes.keys(), "the indexes agree with the entries"
        assert threading.active_count() == 1, "no connection left a thread behind"
    finally:
        server.stop()
