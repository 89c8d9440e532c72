"""Three members, and what happens to them while clients write: an answer in time or an error, never a false success."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.cluster.names import Seconds
from appliance.coordination.store import Delete, Field, Guard, Put, Store, StoreUnavailable
from tests.integration.store.cluster import StoreCluster
from tests.integration.store.ledger import Ledger
from tests.integration.store.paused_client import SESSION
from tests.integration.store.watching import assert_unavailable_within, calls, collect, eventually
from tests.integration.store_process import StoreProcess, wait_until_ready

# A fault of one member: the others go on, and writers get answers again


def kill_follower(cluster: StoreCluster) -> None:
    cluster.followers()[0].kill()


def kill_leader(cluster: StoreCluster) -> None:
    cluster.leader().kill()


def freeze_follower(cluster: StoreCluster) -> None:
    cluster.followers()[0].freeze()


def freeze_leader(cluster: StoreCluster) -> None:
    cluster.leader().freeze()


def hang_the_leaders_disk(cluster: StoreCluster) -> None:
    cluster.leader().hang_disk()


@pytest.mark.parametrize("fault", [kill_follower, kill_leader, freeze_leader, hang_the_leaders_disk])
def test_a_fault_of_one_member_costs_calls_but_no_write_and_no_event(
    cluster: StoreCluster, prefix: str, fault: Callable[[StoreCluster], None]
) -> None:
    with cluster.store() as reader:
        with Ledger(cluster.store, prefix) as ledger:
            watch = reader.watch(prefix, after=ledger.start, idle=Seconds(0.2))
            eventually(lambda: len(ledger.told) > 10)
            fault(cluster)
            told = len(ledger.told)
            eventually(lambda: len(ledger.told) > told + 20, 30.0)
            cluster.mend()
            told = len(ledger.told)
            eventually(lambda: len(ledger.told) > told + 20, 30.0)
        wait_until_ready(reader)
        ledger.audit(reader)
        ledger.audit_events(collect(watch, 1, until=reader.put(prefix + "last", "")))
        watch.close()
        ledger.audit_events(ledger.events(reader))


# No majority: nobody is told that anything was written


@pytest.mark.parametrize("way", ["killed", "frozen"])
def test_without_a_majority_every_call_is_an_error_in_time(cluster: StoreCluster, prefix: str, way: str) -> None:
    with Ledger(cluster.store, prefix) as ledger:
        eventually(lambda: len(ledger.told) > 10)
        for member in cluster.followers():
            member.kill() if way == "killed" else member.freeze()
        with cluster.store() as store:
            # The leader needs a moment to know; what it answers until then is decided by the audit.
            eventually(lambda: fails(store, prefix), 20.0)
            told = len(ledger.told)
            for call in calls(store, prefix + "none/").values():
                assert_unavailable_within(call, 0.5)
        assert len(ledger.told) == told
        cluster.mend()
        eventually(lambda: len(ledger.told) > told + 20, 30.0)
    with cluster.store() as store:
        wait_until_ready(store)
        ledger.audit(store)


def fails(store: Store, prefix: str) -> bool:
    try:
        store.put(prefix + "probe", "", deadline=Seconds(0.5))
    except StoreUnavailable:
        return True
    return False


# A leader that was away and does not know it yet


@pytest.mark.parametrize("way", ["frozen", "disk"])
def test_a_former_leader_tells_nothing_stale_and_carries_out_nothing(
    cluster: StoreCluster, prefix: str, way: str
) -> None:
    former = cluster.leader()
    others = [member for member in cluster.members if member is not former]
    with cluster.store(former) as behind, cluster.store(*others) as majority:
        old = behind.put(prefix + "owner", "old")
        answers: list[Any] = []
        asked = threading.Event()

        def ask(call: Callable[[], Any]) -> None:
            asked.set()
            try:
                answers.append(call())
            except StoreUnavailable as error:
                answers.append(error)

        former.freeze() if way == "frozen" else former.hang_disk()
        new = taken_over(majority, prefix + "owner", old)
        guards = [Guard(prefix + "owner", Field.MOD_REVISION, old)]
        late = [
            lambda: behind.get(prefix + "owner", deadline=Seconds(8)),
            lambda: behind.list(prefix, deadline=Seconds(8))[0],
            lambda: behind.transact(guards, [Delete(prefix + "owner")], deadline=Seconds(8)),
            lambda: behind.transact(guards, [Put(prefix + "owner", "stale")], deadline=Seconds(8)),
        ]
        threads = [threading.Thread(target=ask, args=(call,)) for call in late]
        for thread in threads:
            thread.start()
        asked.wait(5)
        cluster.release()
        for thread in threads:
            thread.join(20)
        told(answers, new)
        record = majority.get(prefix + "owner", deadline=Seconds(10))
        assert record is not None
        assert (record.value, record.mod_revision) == ("new", new)


def taken_over(store: Store, key: str, old: int) -> int:
    """Write once, whatever got no answer: an unguarded write can wait in the frozen leader and come after the last."""
    for _ in range(40):
        try:
            store.transact([Guard(key, Field.MOD_REVISION, old)], [Put(key, "new")], deadline=Seconds(1.0))
            record = store.get(key, deadline=Seconds(1.0))
        except StoreUnavailable:
            continue
        if record is not None and record.mod_revision != old:
            return record.mod_revision
    raise AssertionError("the majority takes no writes")


def told(answers: list[Any], new: int) -> None:
    """Each is an error, or knows the new owner."""
    assert len(answers) == 4
    for answer in answers:
        if isinstance(answer, StoreUnavailable):
            continue
        if hasattr(answer, "succeeded"):
            assert not answer.succeeded
        else:
            records = answer if isinstance(answer, list) else [answer]
            assert [record.mod_revision for record in records] == [new]


# A client that stood still


def test_a_client_paused_beyond_its_session_goes_on_and_misses_nothing(
    backend: type[StoreProcess], cluster: StoreCluster, pki: Path, prefix: str
) -> None:
    ports = [str(member.client_port) for member in cluster.members]
    program = [sys.executable, "-m", "tests.integration.store.paused_client", backend.__name__, str(pki), prefix]
    client = subprocess.Popen([*program, *ports], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def step(word: str) -> dict[str, Any]:
        assert client.stdin is not None
        client.stdin.write(word + "\n")
        client.stdin.flush()
        return answer()

    def answer() -> dict[str, Any]:
        assert client.stdout is not None
        return dict(json.loads(client.stdout.readline()))

    try:
        assert answer()["revision"] > 0
        first = step("write")
        assert first["succeeded"]
        client.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, client.pid, os.WSTOPPED)
        with cluster.store() as store:
            quiet = store.watch(prefix, after=first["revision"], idle=Seconds(SESSION * 1.5))
            assert list(itertools.islice(quiet, 1)) == [[]]
            quiet.close()
            other = store.put(prefix + "other", "meanwhile")
            foreign = store.put(prefix + "mine", "taken")
        client.send_signal(signal.SIGCONT)
        second = step("write")
        assert second.get("error") or not second["succeeded"]
        if not second.get("error"):
            assert step(str(foreign))["watched"] == [first["revision"], other, foreign]
    finally:
        client.kill()
        client.communicate()
