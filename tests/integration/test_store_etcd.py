"""The store's promises, checked against a real server: one suite for every backend.

A backend is a `StoreServer` that can be started, frozen and killed; the suite only
speaks the Store interface. Debian packages: etcd-server.
"""

from __future__ import annotations

import itertools
import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.cluster.names import Seconds
from appliance.coordination.connection import Keys
from appliance.coordination.etcd import EtcdStore
from appliance.coordination.rpc import rpc_pb2, rpc_pb2_grpc
from appliance.coordination.store import (
    Compacted,
    Delete,
    Event,
    Field,
    Guard,
    Put,
    Store,
    StoreUnavailable,
    Watch,
)
from tests.integration.etcd_server import EtcdServer, free_port, make_keys, start_cluster, wait_until_ready

pytestmark = pytest.mark.skipif(shutil.which("etcd") is None, reason="needs Debian's etcd-server")

#: What a call may take beyond its deadline on a busy two-core machine.
SLACK = 1.0


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    make_keys(folder)
    return folder


@pytest.fixture(scope="module", params=["etcd"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, pki: Path) -> Iterator[EtcdServer]:
    backends = {"etcd": EtcdServer}
    made = backends[request.param](tmp_path_factory.mktemp("data"), pki)
    made.start()
    yield made
    made.kill()


@pytest.fixture
def store(server: EtcdServer) -> Iterator[EtcdStore]:
    """A client of a running server; the server is mended when the test before broke it."""
    if server.process is None:
        server.start()
    server.thaw()
    with server.store() as made:
        wait_until_ready(made)
        yield made
        server.thaw()


_folders = itertools.count()


@pytest.fixture
def prefix() -> str:
    """A folder of keys for this test alone."""
    return f"/test{next(_folders)}/"


def collect(watch: Watch, count: int, within: float = 20.0, until: int = 0) -> list[Event]:
    """Read `count` events, and on to revision `until`; fail when they are not there in time."""
    ends = time.monotonic() + within
    seen: list[Event] = []
    for batch in watch:
        seen += batch
        if len(seen) >= count and seen[-1].revision >= until:
            break
        assert time.monotonic() < ends, f"only {len(seen)} of {count} events came: {seen[-3:]}"
    return seen


def eventually(truth: Callable[[], bool], within: float = 10.0) -> None:
    ends = time.monotonic() + within
    pause = threading.Event()
    while not truth():
        assert time.monotonic() < ends
        pause.wait(0.02)


def assert_unavailable_within(call: Callable[[Seconds], Any], deadline: float) -> StoreUnavailable:
    started = time.monotonic()
    with pytest.raises(StoreUnavailable) as caught:
        call(Seconds(deadline))
    assert time.monotonic() - started < deadline + SLACK
    return caught.value


def calls(store: Store, prefix: str) -> dict[str, Callable[[Seconds], Any]]:
    return {
        "get": lambda deadline: store.get(prefix, deadline=deadline),
        "list": lambda deadline: store.list(prefix, deadline=deadline),
        "put": lambda deadline: store.put(prefix + "x", "1", deadline=deadline),
        "create": lambda deadline: store.create(prefix + "y", "1", deadline=deadline),
        "delete": lambda deadline: store.delete(prefix + "x", deadline=deadline),
    }


# Reads and writes


def test_an_absent_key_reads_as_none(store: Store, prefix: str) -> None:
    assert store.get(prefix + "nothing") is None


def test_a_value_is_read_back_with_its_revisions(store: Store, prefix: str) -> None:
    created = store.put(prefix + "a", "驿站 1")
    changed = store.put(prefix + "a", "驿站 2")
    record = store.get(prefix + "a")
    assert record is not None
    assert (record.value, record.create_revision, record.mod_revision) == ("驿站 2", created, changed)
    assert changed > created


def test_a_deleted_and_rewritten_key_gets_a_new_create_revision(store: Store, prefix: str) -> None:
    store.put(prefix + "a", "1")
    store.delete(prefix + "a")
    assert store.get(prefix + "a") is None
    again = store.put(prefix + "a", "2")
    record = store.get(prefix + "a")
    assert record is not None
    assert record.create_revision == again


def test_a_listing_is_in_key_order_and_knows_its_revision(store: Store, prefix: str) -> None:
    for name in ("b", "a", "c/d"):
        store.put(prefix + name, name)
    outside = store.put(prefix[:-1] + "0", "the next key after everything below the prefix")
    records, revision = store.list(prefix)
    assert [record.value for record in records] == ["a", "b", "c/d"]
    assert revision == outside


def test_a_listing_longer_than_one_page_is_complete(store: Store, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.coordination.etcd.PAGE", 7)
    names = [f"{number:03}" for number in range(50)]
    store.transact([], [Put(prefix + name, name) for name in names])
    records, _ = store.list(prefix)
    assert [record.value for record in records] == names


def test_an_empty_listing_has_a_revision_too(store: Store, prefix: str) -> None:
    latest = store.put(prefix[:-1] + "-other", "x")
    assert store.list(prefix) == ([], latest)


# Transactions


def test_a_key_is_created_once(store: Store, prefix: str) -> None:
    first = store.create(prefix + "lock", "mine")
    second = store.create(prefix + "lock", "yours")
    assert first.succeeded
    assert not second.succeeded
    record = store.get(prefix + "lock")
    assert record is not None
    assert (record.value, record.create_revision) == ("mine", first.revision)


def guard_cases() -> list[Any]:
    absent, present = "absent", "present"
    return [
        pytest.param(absent, Field.CREATE_REVISION, 0, True, id="absent-create-0"),
        pytest.param(absent, Field.MOD_REVISION, 0, True, id="absent-mod-0"),
        pytest.param(absent, Field.CREATE_REVISION, 1, False, id="absent-create-1"),
        pytest.param(absent, Field.VALUE, "", False, id="absent-has-no-value"),
        pytest.param(present, Field.VALUE, "two", True, id="same-value"),
        pytest.param(present, Field.VALUE, "one", False, id="old-value"),
        pytest.param(present, Field.CREATE_REVISION, "created", True, id="same-create-revision"),
        pytest.param(present, Field.CREATE_REVISION, "changed", False, id="mod-is-not-create"),
        pytest.param(present, Field.MOD_REVISION, "changed", True, id="same-mod-revision"),
        pytest.param(present, Field.MOD_REVISION, "created", False, id="stale-mod-revision"),
        pytest.param(present, Field.CREATE_REVISION, 0, False, id="present-is-not-absent"),
    ]


@pytest.mark.parametrize(("key", "field", "expected", "holds"), guard_cases())
def test_a_guard_compares(  # noqa: PLR0917 - the columns of the table
    store: Store, prefix: str, key: str, field: Field, expected: int | str, holds: bool
) -> None:
    revisions = {"created": store.put(prefix + "present", "one"), "changed": store.put(prefix + "present", "two")}
    wanted = revisions.get(expected, expected) if isinstance(expected, str) else expected
    outcome = store.transact([Guard(prefix + key, field, wanted)], [Put(prefix + "done", "yes")])
    assert outcome.succeeded is holds
    assert (store.get(prefix + "done") is not None) is holds


def test_all_changes_happen_in_one_revision_or_none_does(store: Store, prefix: str) -> None:
    before = store.put(prefix + "old", "1")
    good = Guard(prefix + "old", Field.MOD_REVISION, before)
    bad = Guard(prefix + "old", Field.VALUE, "2")
    changes: list[Put | Delete] = [Put(prefix + "a", "1"), Put(prefix + "b", "1"), Delete(prefix + "old")]
    assert not store.transact([good, bad], changes).succeeded
    assert [record.key for record in store.list(prefix)[0]] == [prefix + "old"]
    outcome = store.transact([good], changes)
    records, _ = store.list(prefix)
    assert outcome.succeeded
    assert [(record.key, record.mod_revision) for record in records] == [
        (prefix + "a", outcome.revision),
        (prefix + "b", outcome.revision),
    ]


def test_of_many_that_compete_one_wins(server: EtcdServer, store: Store, prefix: str) -> None:
    winners: list[str] = []

    def compete(name: str) -> None:
        with server.store() as own:
            if own.create(prefix + "lock", name).succeeded:
                winners.append(name)

    threads = [threading.Thread(target=compete, args=(str(number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    record = store.get(prefix + "lock")
    assert record is not None
    assert winners == [record.value]


def test_a_request_that_the_store_refuses_is_told_as_such(store: Store, prefix: str) -> None:
    with pytest.raises(StoreUnavailable) as caught:
        store.transact([], [Put(prefix + "twice", "1"), Put(prefix + "twice", "2")])
    assert caught.value.key == "store-refused"
    assert "duplicate key" in str(caught.value)


# Watches


def test_a_watch_tells_what_changed_from_the_revision_on(store: Store, prefix: str) -> None:
    store.put(prefix + "before", "x")
    _, revision = store.list(prefix)
    watch = store.watch(prefix, after=revision)
    changed = store.put(prefix + "a", "1")
    store.put(prefix[:-1] + "-other", "outside")
    deleted = store.delete(prefix + "a")
    first, second = collect(watch, 2)
    watch.close()
    assert first.record is not None
    assert (first.key, first.record.value, first.revision) == (prefix + "a", "1", changed)
    assert (second.key, second.record, second.revision) == (prefix + "a", None, deleted)


def test_a_watch_tells_the_past_too(store: Store, prefix: str) -> None:
    revisions = [store.put(prefix + "a", str(number)) for number in range(5)]
    watch = store.watch(prefix, after=revisions[1])
    assert [event.revision for event in collect(watch, 3)] == revisions[2:]
    watch.close()


def test_one_transaction_arrives_as_one_batch(store: Store, prefix: str) -> None:
    _, revision = store.list(prefix)
    watch = store.watch(prefix, after=revision)
    store.transact([], [Put(f"{prefix}{number:02}", "x") for number in range(40)])
    batch = next(batch for batch in watch if batch)
    watch.close()
    assert len(batch) == 40
    assert len({event.revision for event in batch}) == 1


def test_a_thousand_events_come_in_order_and_once(store: Store, prefix: str) -> None:
    _, revision = store.list(prefix)
    watch = store.watch(prefix, after=revision)
    written = [store.put(f"{prefix}{number % 7}", str(number)) for number in range(1000)]
    events = collect(watch, 1000)
    watch.close()
    assert [event.revision for event in events] == written
    assert [event.record.value for event in events if event.record] == [str(number) for number in range(1000)]


def test_a_slow_reader_loses_nothing(store: Store, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.coordination.etcd_watch.BACKLOG", 2)
    _, revision = store.list(prefix)
    watch = store.watch(prefix, after=revision)
    written = [store.put(prefix + "a", str(number)) for number in range(300)]
    assert [event.revision for event in collect(watch, 300)] == written
    watch.close()


def test_a_quiet_watch_lets_its_reader_look_at_the_clock(store: Store, prefix: str) -> None:
    _, revision = store.list(prefix)
    watch = store.watch(prefix, after=revision, idle=Seconds(0.1))
    started = time.monotonic()
    quiet = list(itertools.islice(watch, 5))
    watch.close()
    assert quiet == [[], [], [], [], []]
    assert 0.4 < time.monotonic() - started < 0.5 + SLACK


def test_closing_a_watch_from_another_thread_ends_its_reader(store: Store, prefix: str) -> None:
    before = threading.active_count()
    watch = store.watch(prefix, after=0, idle=Seconds(60))
    reader = threading.Thread(target=lambda: list(watch))
    reader.start()
    watch.close()
    reader.join(5)
    assert not reader.is_alive()
    watch.close()
    assert list(watch) == []
    eventually(lambda: threading.active_count() <= before)


def test_closing_a_watch_whose_reader_fell_behind_ends_it(
    store: Store, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.coordination.etcd_watch.BACKLOG", 1)
    watch = store.watch(prefix, after=0)
    for number in range(50):
        store.put(prefix + "a", str(number))
    watch.close()
    assert list(watch) == []


def test_closing_the_store_ends_everything_and_leaks_no_thread(server: EtcdServer, store: Store, prefix: str) -> None:
    before = threading.active_count()
    own = server.store()
    own.get(prefix)
    watches = [own.watch(prefix, after=0, idle=Seconds(60)) for _ in range(5)]
    readers = [threading.Thread(target=lambda watch=watch: list(watch)) for watch in watches]
    for reader in readers:
        reader.start()
    own.put(prefix + "a", "1")
    own.close()
    for reader in readers:
        reader.join(5)
    eventually(lambda: threading.active_count() <= before)
    with pytest.raises(StoreUnavailable) as caught:
        own.get(prefix)
    assert caught.value.key == "store-closed"


def compact(store: EtcdStore, revision: int) -> None:
    rpc_pb2_grpc.KVStub(store._connection.channel).Compact(
        rpc_pb2.CompactionRequest(revision=revision, physical=True), timeout=10
    )


def test_a_watch_from_a_compacted_revision_says_so(store: EtcdStore, prefix: str) -> None:
    old = store.put(prefix + "a", "1")
    for number in range(5):
        latest = store.put(prefix + "a", str(number))
    compact(store, latest)
    watch = store.watch(prefix, after=old)
    with pytest.raises(Compacted):
        collect(watch, 1)
    watch.close()


def test_compaction_does_not_disturb_a_watch_that_is_up_to_date(store: EtcdStore, prefix: str) -> None:
    _, revision = store.list(prefix)
    watch = store.watch(prefix, after=revision)
    first = store.put(prefix + "a", "1")
    assert [event.revision for event in collect(watch, 1)] == [first]
    compact(store, first)
    second = store.put(prefix + "a", "2")
    assert [event.revision for event in collect(watch, 1)] == [second]
    watch.close()


def test_compaction_while_the_watch_was_cut_off_is_told(server: EtcdServer, store: EtcdStore, prefix: str) -> None:
    start = store.put(prefix + "a", "0")
    watch = store.watch(prefix, after=start)
    server.kill()
    known_port, server.client_port = server.client_port, free_port()
    server.start()
    with server.store() as elsewhere:
        wait_until_ready(elsewhere)
        compact(elsewhere, max(elsewhere.put(prefix + "a", str(number)) for number in range(3)))
    server.kill()
    server.client_port = known_port
    server.start()
    with pytest.raises(Compacted):
        collect(watch, 1)
    watch.close()


# Failures


def test_every_call_to_a_dead_server_ends_within_its_deadline(server: EtcdServer, store: Store, prefix: str) -> None:
    server.kill()
    for call in calls(store, prefix).values():
        assert_unavailable_within(call, 0.5)
    server.start()


def test_every_call_to_a_frozen_server_ends_within_its_deadline(server: EtcdServer, store: Store, prefix: str) -> None:
    server.freeze()
    for call in calls(store, prefix).values():
        error = assert_unavailable_within(call, 0.5)
        assert error.key in {"store-no-answer", "store-unreachable"}
        assert server.endpoint in str(error)


def test_the_default_deadline_holds_for_a_frozen_server(server: EtcdServer, prefix: str, store: Store) -> None:
    server.freeze()
    with server.store(deadline=1.0) as hasty:
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            hasty.get(prefix)
        assert 0.9 < time.monotonic() - started < 1.0 + SLACK


def test_calls_work_again_right_after_a_restart(server: EtcdServer, store: Store, prefix: str) -> None:
    store.put(prefix + "a", "kept")
    server.kill()
    assert_unavailable_within(calls(store, prefix)["get"], 0.3)
    server.start()
    record = store.get(prefix + "a", deadline=Seconds(15))
    assert record is not None
    assert record.value == "kept"


def test_a_call_during_a_restart_waits_for_the_server(server: EtcdServer, store: Store, prefix: str) -> None:
    server.kill()
    restart = threading.Timer(0.5, server.start)
    restart.start()
    assert store.put(prefix + "a", "1", deadline=Seconds(20)) > 0
    restart.join()


def test_a_watch_goes_on_after_a_restart_without_a_gap(server: EtcdServer, store: EtcdStore, prefix: str) -> None:
    start = store.put(prefix + "a", "0")
    watch = store.watch(prefix, after=start, idle=Seconds(0.2))
    first = store.put(prefix + "a", "1")
    assert [event.revision for event in collect(watch, 1)] == [first]
    server.kill()
    assert list(itertools.islice(watch, 3)) == [[], [], []]
    server.start()
    wait_until_ready(store)
    later = [store.put(prefix + "a", str(number)) for number in range(2, 5)]
    assert [event.revision for event in collect(watch, 3)] == later
    watch.close()


def test_a_watch_on_a_frozen_server_stays_silent_and_then_catches_up(
    server: EtcdServer, store: EtcdStore, prefix: str
) -> None:
    start = store.put(prefix + "a", "0")
    watch = store.watch(prefix, after=start, idle=Seconds(0.5))
    first = store.put(prefix + "a", "1")
    assert [event.revision for event in collect(watch, 1)] == [first]
    server.freeze()
    # Longer than the keepalive (6 s + 3 s): the connection is given up meanwhile.
    assert not any(itertools.islice(watch, 22))
    server.thaw()
    wait_until_ready(store)
    second = store.put(prefix + "a", "2")
    assert [event.revision for event in collect(watch, 1)] == [second]
    watch.close()


def test_closing_a_watch_on_a_frozen_server_takes_no_time(server: EtcdServer, store: EtcdStore, prefix: str) -> None:
    watch = store.watch(prefix, after=0)
    server.freeze()
    started = time.monotonic()
    watch.close()
    assert time.monotonic() - started < SLACK


def test_a_restored_store_with_an_older_history_is_told(
    server: EtcdServer, store: EtcdStore, prefix: str, tmp_path: Path
) -> None:
    revision = max(store.put(prefix + "a", str(number)) for number in range(20))
    watch = store.watch(prefix, after=revision)
    server.kill()
    kept, server.folder = server.folder, tmp_path
    server.start()  # an empty history, as after the restore of a backup
    try:
        with pytest.raises(Compacted):
            collect(watch, 1)
    finally:
        watch.close()
        server.kill()
        server.folder = kept
        server.start()


def test_an_interrupted_watch_tells_the_operator_what_it_does_next(
    server: EtcdServer, store: EtcdStore, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    revision = store.put(prefix + "a", "1")
    watch = store.watch(prefix, after=revision)
    store.put(prefix + "a", "2")
    collect(watch, 1)
    with caplog.at_level(logging.WARNING):
        server.kill()
        eventually(lambda: "subscribing again from revision" in caplog.text)
    watch.close()
    server.start()


# Who may talk to the store


def test_a_client_without_the_authority_s_certificate_is_refused(server: EtcdServer, tmp_path: Path) -> None:
    make_keys(tmp_path)
    stranger = EtcdServer(tmp_path, tmp_path, client_port=server.client_port).store()
    with stranger:
        assert_unavailable_within(lambda deadline: stranger.get("/a", deadline=deadline), 1.0)


def test_a_node_s_certificate_cannot_pass_for_the_store(
    tmp_path: Path, pki: Path, server: EtcdServer, store: Store
) -> None:
    fake = tmp_path / "pki"
    fake.mkdir()
    for pair in ("crt", "key"):
        (fake / f"etcd.{pair}").write_bytes((pki / f"node.{pair}").read_bytes())
    (fake / "ca.crt").write_bytes((pki / "ca.crt").read_bytes())
    impostor = EtcdServer(tmp_path, fake)
    impostor.start()
    client = EtcdServer(tmp_path, pki, client_port=impostor.client_port).store()
    with client:
        assert_unavailable_within(lambda deadline: client.get("/a", deadline=deadline), 2.0)
    impostor.kill()


# Several members


def test_a_frozen_member_costs_a_call_but_no_event(tmp_path: Path, pki: Path) -> None:
    members = start_cluster(tmp_path, pki, ["a", "b", "c"])
    try:
        with EtcdStore([member.endpoint for member in members], Keys.read(pki)) as store:
            wait_until_ready(store, 40)
            watch = store.watch("/m/", after=store.put("/m/a", "0"))
            written = [store.put("/m/a", "1")]
            for member in members:
                member.freeze()
                written += after_failures(lambda: store.put("/m/a", "2", deadline=Seconds(1.5)))
                member.thaw()
            seen = [event.revision for event in collect(watch, 1, until=written[-1])]
            # A write that got no answer may have happened: there can be more events than good answers.
            assert seen == sorted(set(seen))
            assert set(written) <= set(seen)
            watch.close()
    finally:
        for member in members:
            member.kill()


def after_failures(write: Callable[[], int], within: float = 20.0) -> list[int]:
    """Repeat a write until three went well in a row."""
    ends = time.monotonic() + within
    good: list[int] = []
    while len(good) < 3:
        try:
            good.append(write())
        except StoreUnavailable:
            assert time.monotonic() < ends
            good = []
    return good
