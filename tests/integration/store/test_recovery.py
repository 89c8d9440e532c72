"""A member without its majority begins anew, alone, and no epoch comes again. On real etcd."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from appliance import paths
from appliance.cluster import keys
from appliance.cluster.model import Node, Role
from appliance.cluster.names import GroupName, NodeName, Seconds
from appliance.cluster.report import NodeReport
from appliance.coordination import etcd_alone
from appliance.coordination.store import Compacted, Store, StoreUnavailable
from appliance.installation import recovery
from tests.integration.etcd_server import EtcdServer, free_port, make_keys, wait_until_ready

LEFT, OWNER = NodeName("left"), keys.owner(GroupName("mail"))
WITHIN = Seconds(60.0)


class Small(EtcdServer):
    """A member of which the store may be small."""

    quota = 16 << 20

    def command(self) -> list[str]:
        return [*super().command(), "--quota-backend-bytes", str(self.quota)]


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Small]:
    make_keys(tmp_path / "pki")
    monkeypatch.setattr(paths, "PKI", tmp_path / "pki")
    monkeypatch.setattr(etcd_alone, "PROGRAM", shutil.which("etcd"))
    made = Small(tmp_path, tmp_path / "pki")
    yield made
    made.kill()


@pytest.fixture
def members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[EtcdServer]]:
    pki = tmp_path / "pki"
    make_keys(pki)
    monkeypatch.setattr(paths, "PKI", pki)
    monkeypatch.setattr(etcd_alone, "PROGRAM", shutil.which("etcd"))
    made = EtcdServer.members_of(tmp_path, pki, 3)
    yield made
    for member in made:
        member.kill()


def environment(member: EtcdServer) -> Path:
    """The file of variables by which its unit would run it; it listens somewhere else as well."""
    words = member.command()
    switches = {"--client-cert-auth", "--peer-client-cert-auth"}
    said: dict[str, str] = {}
    for at, word in enumerate(words):
        if word.startswith("--"):
            said["ETCD_" + word[2:].upper().replace("-", "_")] = "true" if word in switches else words[at + 1]
    said["ETCD_LISTEN_CLIENT_URLS"] += f",https://127.0.0.2:{free_port()}"
    file = member.folder / "etcd.env"
    file.write_text("".join(f"{name}={value}\n" for name, value in said.items()))
    return file


def report(at: float) -> str:
    said = NodeReport(
        node=LEFT, release="0.1.0", reported_at=at, store_connected=True, owned_groups=(), instances=()
    )  # fmt: skip
    return said.model_dump_json()


def lagging(members: list[EtcdServer], missing: int) -> int:
    """Have the first one miss so many revisions, then lose the others; the last revision there was."""
    left, *lost = members
    for member in members:
        member.start()
    with left.store_of(members, deadline=10) as store:
        wait_until_ready(store, 40)
        store.put(keys.node(LEFT), Node(name=LEFT, roles=frozenset({Role.CONTROL})).model_dump_json())
        store.put(keys.status(LEFT), report(time.time()))
        store.put(OWNER, "before")
        for _ in range(3):  # how far the log is committed stands on the disk with the next entry only
            store.put(keys.status(LEFT), report(time.time()))
    with left.store(deadline=10) as store:  # it has what was written until now
        assert store.get(OWNER) is not None
    left.kill()
    with left.store_of(lost, deadline=10) as store:
        wait_until_ready(store, 40)
        for number in range(missing):
            last = store.put(OWNER, str(number))
    for member in lost:
        member.kill()
    return last


def test_what_is_written_after_a_recovery_is_newer_than_all_that_was(members: list[EtcdServer]) -> None:
    last = lagging(members, 300)
    left = members[0]
    etcd_alone.begin_anew(environment(left), "root", WITHIN, recovery.beyond_what_was)
    left.start()
    with left.store(deadline=10) as store:
        wait_until_ready(store, 40)
        record = store.get(OWNER)
        assert record is not None
        assert record.value == "before", "what only the lost ones had is lost"
        assert store.create(keys.session(LEFT), "{}").revision > last + 1_000
        watch = store.watch(keys.OWNERS, after=last)
        with pytest.raises(Compacted):
            next(iter(watch))
        watch.close()


def test_a_member_that_begins_anew_meets_nobody_meanwhile(members: list[EtcdServer]) -> None:
    lagging(members, 1)
    left = members[0]
    file = environment(left)
    elsewhere = next(line for line in file.read_text().splitlines() if "LISTEN_CLIENT" in line).rpartition(",")[2]

    def look(_: str) -> None:
        left_elsewhere = EtcdServer(left.folder, left.pki, client_port=int(elsewhere.rpartition(":")[2]))
        with left_elsewhere.store(deadline=1) as store, pytest.raises(StoreUnavailable):
            store.get(OWNER)

    etcd_alone.begin_anew(file, "root", WITHIN, look)


def fill(store: Store, key: Callable[[int], str]) -> int:
    """Write until it takes no more; the last revision."""
    revisions = (store.put(key(number), f"{number} " + "x" * (1 << 20)) for number in range(Small.quota >> 19))
    taken: list[int] = []
    with pytest.raises(StoreUnavailable) as full:
        taken.extend(revisions)
    assert full.value.key == "store-full"
    return max(taken, default=0)


def test_a_member_that_was_full_of_history_has_room_after_a_recovery(small: Small) -> None:
    """etcd had raised its alarm, which stays whatever becomes of the history, until somebody takes it back."""
    small.start()
    with small.store(deadline=10) as store:
        wait_until_ready(store, 40)
        store.put(keys.status(LEFT), report(time.time()))
        last = fill(store, lambda _: OWNER)
    small.kill()
    etcd_alone.begin_anew(environment(small), "root", WITHIN, recovery.beyond_what_was)
    small.start()
    with small.store(deadline=10) as store:
        wait_until_ready(store, 40)
        assert store.create(keys.session(LEFT), "{}").revision > last + 10_000
        record = store.get(OWNER)
        assert record is not None
        assert len(record.value) > 1 << 20


def test_however_many_revisions_are_left_out_their_history_stays_small(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.quota = 512 << 10
    monkeypatch.setattr(etcd_alone, "_COMPACT_EVERY", 500)
    monkeypatch.setattr(etcd_alone, "_MORE_ROOM", 0)
    small.start()
    with small.store(deadline=10) as store:
        wait_until_ready(store, 40)
        last = store.put(OWNER, "before")
    small.kill()
    etcd_alone.begin_anew(environment(small), "root", WITHIN, advance)
    small.start()
    with small.store(deadline=10) as store:
        wait_until_ready(store, 40)
        assert store.put(OWNER, "after") > last + 10_000


def test_a_member_whose_data_alone_need_its_room_recovers_and_says_that_it_is_full(small: Small) -> None:
    """No epoch comes again; that it holds too much is another matter, and is told when somebody writes."""
    small.start()
    with small.store(deadline=10) as store:
        wait_until_ready(store, 40)
        store.put(keys.status(LEFT), report(time.time()))
        fill(store, lambda number: f"{keys.EVENTS}{number:02}")
        kept, last = store.list(keys.EVENTS)
    small.kill()
    etcd_alone.begin_anew(environment(small), "root", WITHIN, recovery.beyond_what_was)
    small.start()
    with small.store(deadline=10) as store:
        wait_until_ready(store, 40)
        found, revision = store.list(keys.EVENTS)
        assert [each.value for each in found] == [each.value for each in kept]
        assert revision > last + 10_000
        fill(store, lambda number: f"{keys.EVENTS}more{number:02}")


def advance(endpoint: str) -> None:
    etcd_alone.advance(endpoint, 10_000)


@pytest.mark.parametrize(
    ("nodes", "behind", "expected"),
    [
        pytest.param(3, timedelta(seconds=5), 10_000, id="seconds: the fewest"),
        pytest.param(3, timedelta(seconds=-5), 10_000, id="a clock that is behind"),
        pytest.param(3, timedelta(hours=1), 39_600, id="an hour of three nodes"),
        pytest.param(20, timedelta(hours=1), 162_000, id="an hour of twenty"),
        pytest.param(3, timedelta(days=30), 500_000, id="a month: the most"),
    ],
)
def test_how_many_revisions_may_have_been_missed(nodes: int, behind: timedelta, expected: int) -> None:
    assert recovery.missed(nodes, behind.total_seconds()) == expected
