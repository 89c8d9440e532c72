"""The store's promises, one suite for every backend: reads, transactions, watches."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import replace
from typing import Any

import pytest

from appliance.cluster.names import Seconds
from appliance.coordination.store import Compacted, Delete, Field, Guard, Put, Store, StoreUnavailable
from tests.integration.store.watching import SLACK, collect, eventually
from tests.integration.store_process import StoreProcess, free_port, wait_until_ready

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
    for module in ("etcd", "zookeeper", "zookeeper_watch"):
        monkeypatch.setattr(f"appliance.coordination.{module}.PAGE", 7)
    names = [f"{number:03}" for number in range(50)]
    store.transact([], [Put(prefix + name, name) for name in names])
    records, _ = store.list(prefix)
    assert [record.value for record in records] == names


def test_an_empty_listing_has_a_revision_too(store: Store, prefix: str) -> None:
    latest = store.put(prefix[:-1] + "-other", "x")
    assert store.list(prefix) == ([], latest)


def test_a_snapshot_has_what_stands_below_each_prefix(
    store: Store, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("etcd", "zookeeper", "zookeeper_watch"):
        monkeypatch.setattr(f"appliance.coordination.{module}.PAGE", 7)
    names = [f"{number:03}" for number in range(20)]
    store.transact([], [Put(prefix + "a/" + name, name) for name in names])
    store.put(prefix + "b", "alone")
    many, alone, none = store.snapshot([prefix + "a/", prefix + "b", prefix + "c"])
    assert [record.value for record in many] == names
    assert [record.value for record in alone] == ["alone"]
    assert list(none) == []


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


@pytest.mark.parametrize("field", [Field.CREATE_REVISION, Field.MOD_REVISION])
@pytest.mark.parametrize("writes", [1, 2, 3])
def test_a_key_made_anew_and_written_as_often_is_not_the_old_one(
    store: Store, prefix: str, field: Field, writes: int
) -> None:
    def make() -> int:
        for _ in range(writes):
            store.put(prefix + "a", "same")
        record = store.get(prefix + "a")
        assert record is not None
        return int(getattr(record, field.value))

    old = make()
    store.delete(prefix + "a")
    assert not store.transact([Guard(prefix + "a", field, old)], [Put(prefix + "a", "stolen")]).succeeded
    new = make()
    assert not store.transact([Guard(prefix + "a", field, old)], [Delete(prefix + "a")]).succeeded
    assert store.transact([Guard(prefix + "a", field, new)], [Delete(prefix + "a")]).succeeded


def test_writers_that_meet_lose_no_step(server: StoreProcess, store: Store, prefix: str) -> None:
    store.put(prefix + "count", "0")

    def count(times: int) -> None:
        with server.store(deadline=20) as own:
            while times:
                seen = own.get(prefix + "count")
                assert seen is not None
                guard = Guard(seen.key, Field.MOD_REVISION, seen.mod_revision)
                times -= own.transact([guard], [Put(seen.key, str(int(seen.value) + 1))]).succeeded

    threads = [threading.Thread(target=count, args=(20,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    record = store.get(prefix + "count")
    assert record is not None
    assert record.value == "80"


def test_a_listing_while_others_write_is_one_moment(server: StoreProcess, store: Store, prefix: str) -> None:
    """Two keys are always written together, so no moment has them different."""
    over = threading.Event()

    def write() -> None:
        with server.store(deadline=20) as own:
            for number in itertools.takewhile(lambda _: not over.is_set(), itertools.count()):
                together: list[Put | Delete] = [Put(prefix + "a", str(number)), Put(prefix + "z", str(number))]
                own.transact([], together if number % 5 else [Delete(prefix + "a"), Delete(prefix + "z")])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(100):
            records, revision = store.list(prefix)
            assert len({record.value for record in records}) <= 1
            assert len(records) in {0, 2}
            assert all(record.mod_revision <= revision for record in records)
    finally:
        over.set()
        writer.join()


def test_deleting_what_is_not_there_makes_no_revision(store: Store, prefix: str) -> None:
    before = store.put(prefix + "a", "1")
    assert store.delete(prefix + "nothing") == before
    assert store.transact([], [Delete(prefix + "a"), Delete(prefix + "a")]).revision == before + 1


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


def test_of_many_that_compete_one_wins(server: StoreProcess, store: Store, prefix: str) -> None:
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


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        pytest.param([Put("a", "1"), Put("a", "2")], "duplicate key", id="put-twice"),
        pytest.param([Put("a", "1"), Delete("a")], "duplicate key", id="put-and-deleted"),
        pytest.param([Put(f"{number}", "") for number in range(129)], "too many operations", id="many"),
        pytest.param([Put("a", "x" * 1_600_000)], "too large", id="large"),
    ],
)
def test_a_request_that_the_store_refuses_is_told_as_such(
    store: Store, prefix: str, changes: list[Put | Delete], word: str
) -> None:
    below = [replace(change, key=prefix + change.key) for change in changes]
    with pytest.raises(StoreUnavailable) as caught:
        store.transact([], below)
    assert caught.value.key == "store-refused"
    assert word in str(caught.value)
    assert store.list(prefix)[0] == []


def test_a_value_that_grows_when_it_is_stored_is_written_or_refused(store: Store, prefix: str) -> None:
    value = '"' * 460_000
    try:
        store.put(prefix + "a", value)
    except StoreUnavailable as error:
        assert error.key == "store-refused"  # noqa: PT017 - one backend takes it, the other does not
        assert store.get(prefix + "a") is None
    else:
        record = store.get(prefix + "a")
        assert record is not None
        assert record.value == value


def test_the_largest_transaction_is_carried_out(store: Store, prefix: str) -> None:
    value = "驿" * 1200
    assert store.transact([], [Put(f"{prefix}{number:03}", value) for number in range(128)]).succeeded
    assert [record.value for record in store.list(prefix)[0]] == [value] * 128


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
    monkeypatch.setattr("appliance.coordination.following.BACKLOG", 2)
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
    monkeypatch.setattr("appliance.coordination.following.BACKLOG", 1)
    watch = store.watch(prefix, after=0)
    for number in range(50):
        store.put(prefix + "a", str(number))
    watch.close()
    assert list(watch) == []


def test_closing_the_store_ends_everything_and_leaks_no_thread(server: StoreProcess, store: Store, prefix: str) -> None:
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


def test_a_watch_from_a_compacted_revision_says_so(server: StoreProcess, store: Store, prefix: str) -> None:
    old = store.put(prefix + "a", "1")
    for number in range(5):
        latest = store.put(prefix + "a", str(number))
    server.compact(store, latest)
    watch = store.watch(prefix, after=old)
    with pytest.raises(Compacted):
        collect(watch, 1)
    watch.close()


def test_compaction_does_not_disturb_a_watch_that_is_up_to_date(
    server: StoreProcess, store: Store, prefix: str
) -> None:
    _, revision = store.list(prefix)
    watch = store.watch(prefix, after=revision)
    first = store.put(prefix + "a", "1")
    assert [event.revision for event in collect(watch, 1)] == [first]
    server.compact(store, first)
    second = store.put(prefix + "a", "2")
    assert [event.revision for event in collect(watch, 1)] == [second]
    watch.close()


def test_compaction_while_the_watch_was_cut_off_is_told(server: StoreProcess, store: Store, prefix: str) -> None:
    start = store.put(prefix + "a", "0")
    watch = store.watch(prefix, after=start)
    server.kill()
    known_port, server.client_port = server.client_port, free_port()
    server.start()
    with server.store() as elsewhere:
        wait_until_ready(elsewhere)
        server.compact(elsewhere, max(elsewhere.put(prefix + "a", str(number)) for number in range(3)))
    server.kill()
    server.client_port = known_port
    server.start()
    with pytest.raises(Compacted):
        collect(watch, 1)
    watch.close()
