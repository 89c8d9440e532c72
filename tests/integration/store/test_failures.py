"""What the store's client does when servers are killed, frozen, restored, or not what they claim to be."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from pathlib import Path

import pytest

from appliance.cluster.names import Seconds
from appliance.coordination.store import Compacted, Store, StoreUnavailable
from tests.integration.etcd_server import make_keys
from tests.integration.store.watching import SLACK, assert_unavailable_within, calls, collect, eventually
from tests.integration.store_process import StoreProcess, wait_until_ready


def test_every_call_to_a_dead_server_ends_within_its_deadline(server: StoreProcess, store: Store, prefix: str) -> None:
    server.kill()
    for call in calls(store, prefix).values():
        assert_unavailable_within(call, 0.5)
    server.start()


def test_every_call_to_a_frozen_server_ends_within_its_deadline(
    server: StoreProcess, store: Store, prefix: str
) -> None:
    server.freeze()
    for call in calls(store, prefix).values():
        error = assert_unavailable_within(call, 0.5)
        assert error.key in {"store-no-answer", "store-unreachable"}
        assert server.endpoint in str(error)


def test_the_default_deadline_holds_for_a_frozen_server(server: StoreProcess, prefix: str, store: Store) -> None:
    server.freeze()
    with server.store(deadline=1.0) as hasty:
        started = time.monotonic()
        with pytest.raises(StoreUnavailable):
            hasty.get(prefix)
        assert 0.9 < time.monotonic() - started < 1.0 + SLACK


def test_calls_work_again_right_after_a_restart(server: StoreProcess, store: Store, prefix: str) -> None:
    store.put(prefix + "a", "kept")
    server.kill()
    assert_unavailable_within(calls(store, prefix)["get"], 0.3)
    server.start()
    record = store.get(prefix + "a", deadline=Seconds(15))
    assert record is not None
    assert record.value == "kept"


def test_a_call_during_a_restart_waits_for_the_server(server: StoreProcess, store: Store, prefix: str) -> None:
    server.kill()
    # Until the broken connection is noticed, a call can still be lost on it; a write is never sent twice.
    assert_unavailable_within(calls(store, prefix)["get"], 0.3)
    restart = threading.Timer(0.5, server.start)
    restart.start()
    assert store.put(prefix + "a", "1", deadline=Seconds(20)) > 0
    restart.join()


def test_a_watch_goes_on_after_a_restart_without_a_gap(server: StoreProcess, store: Store, prefix: str) -> None:
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
    server: StoreProcess, store: Store, prefix: str
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


def test_closing_a_watch_on_a_frozen_server_takes_no_time(server: StoreProcess, store: Store, prefix: str) -> None:
    watch = store.watch(prefix, after=0)
    server.freeze()
    started = time.monotonic()
    watch.close()
    assert time.monotonic() - started < SLACK


def test_a_restored_store_with_an_older_history_is_told(
    server: StoreProcess, store: Store, prefix: str, tmp_path: Path
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
    server: StoreProcess, store: Store, prefix: str, caplog: pytest.LogCaptureFixture
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


def test_a_client_without_the_authority_s_certificate_is_refused(server: StoreProcess, tmp_path: Path) -> None:
    make_keys(tmp_path)
    [stranger] = type(server).members_of(tmp_path, tmp_path, 1)
    stranger.client_port = server.client_port
    with stranger.store() as refused:
        assert_unavailable_within(lambda deadline: refused.get("/a", deadline=deadline), 1.0)


def test_a_node_s_certificate_cannot_pass_for_the_store(
    tmp_path: Path, pki: Path, server: StoreProcess, store: Store
) -> None:
    fake = tmp_path / "pki"
    fake.mkdir()
    for pair in ("crt", "key"):
        (fake / f"etcd.{pair}").write_bytes((pki / f"node.{pair}").read_bytes())
    (fake / "ca.crt").write_bytes((pki / "ca.crt").read_bytes())
    [impostor] = type(server).members_of(tmp_path, fake, 1)
    impostor.start()
    [deceived] = type(server).members_of(tmp_path, pki, 1)
    deceived.client_port = impostor.client_port
    try:
        with deceived.store() as client:
            assert_unavailable_within(lambda deadline: client.get("/a", deadline=deadline), 2.0)
    finally:
        impostor.kill()
