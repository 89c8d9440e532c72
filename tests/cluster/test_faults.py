"""The proof: whatever dies, hangs or is cut off, one node at most owns the group, and nothing acknowledged is lost.

`./run test cluster` runs the most telling faults; `--slow` all of them and a short walk; `--chaos MINUTES --seed N` a
random walk over them and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.cluster.faults import FAULTS, KEEPER, Fate, Fault, Undo, cut_off, walk
from tests.cluster.proof import Seen, proof
from tests.cluster.shared import PEOPLE, serving
from tests.lab import Lab, Node, wait_until
from tests.lab.cluster import GROUP, Cluster
from tests.lab.fence import Mode
from tests.load.ownership import OwnershipAuditor, Watched


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Iterator[Cluster]:
    """Three nodes that share a disk and serve the group `mail` on a virtual address, with people."""
    with serving(lab) as made:
        yield made


@pytest.fixture
def whole(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with nothing wrong; mended again after the test."""
    cluster.mend()
    cluster.recover()
    yield cluster
    cluster.mend()


def _case(fault: Fault) -> object:
    return pytest.param(fault, id=fault.name.replace(" ", "-"), marks=[pytest.mark.slow] * fault.slow)


@pytest.mark.timeout(420)
@pytest.mark.parametrize("fault", [_case(fault) for fault in FAULTS])
def test_nothing_is_lost_and_nobody_owns_twice(whole: Cluster, fault: Fault) -> None:
    with proof(whole, PEOPLE) as seen:
        go_through(whole, fault, seen)


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_a_random_walk_over_all_faults(whole: Cluster, chaos: tuple[float, int]) -> None:
    minutes, seed = chaos
    until = time.monotonic() + minutes * 60
    with proof(whole, PEOPLE) as seen:
        for number, fault in enumerate(walk(seed)):
            if time.monotonic() > until:
                break
            print(f"\nseed {seed}, step {number}: {fault.name}", flush=True)
            go_through(whole, fault, seen)
            whole.recover()
            assert not seen.ownership.findings.violations, seen.ownership.findings.story()
            seen.load.wait_flowing()


def go_through(cluster: Cluster, fault: Fault, seen: Seen) -> None:
    """Let a fault strike, last and end; what becomes of the group meanwhile is as the fault says."""
    owner = cluster.the_owner()
    struck = time.monotonic()
    undo: Undo = fault.strike(cluster)
    try:
        FATES[fault.fate](cluster, owner, fault, seen, struck)
    finally:
        undo()
        cluster.mend()


def _outlast(fault: Fault, struck: float) -> None:
    wait_until("the fault has lasted", lambda: time.monotonic() - struck >= fault.lasts, timeout=fault.lasts + 5)


def _stays(cluster: Cluster, owner: Node, fault: Fault, seen: Seen, struck: float) -> None:
    _outlast(fault, struck)
    seen.load.wait_flowing()
    assert cluster.owner() is owner


def _moves(cluster: Cluster, owner: Node, fault: Fault, seen: Seen, struck: float) -> None:
    wait_until(
        "another node has taken the group", lambda: cluster.owner() not in (None, owner), timeout=fault.lasts + 30,
        explain=cluster.last_words,
    )  # fmt: skip
    seen.outage.wait_served(time.monotonic())


def _either(cluster: Cluster, owner: Node, fault: Fault, seen: Seen, struck: float) -> None:
    _outlast(fault, struck)


def _down(cluster: Cluster, owner: Node, fault: Fault, seen: Seen, struck: float) -> None:
    wait_until(
        "nobody owns the group", lambda: cluster.owner() is None, timeout=fault.lasts, explain=cluster.last_words
    )
    _outlast(fault, struck)
    assert cluster.owner() is None, cluster.last_words()
    line = next((each for each in cluster.status().get("groups", ()) if each["name"] == GROUP), None)
    assert line is None or line["state"] != "active", "what is down is not told as active"


FATES = {Fate.STAYS: _stays, Fate.MOVES: _moves, Fate.EITHER: _either, Fate.DOWN: _down}


DEADLINE = "/opt/posthouse/lib/python3.11/site-packages/appliance/ownership/owner.py"
KEPT, IGNORED = "state.renewed + me.timing.demote", "state.renewed + 86400.0"


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_a_keeper_that_ignores_its_deadline_is_caught_by_the_auditor(whole: Cluster) -> None:
    """The last of this file: what two owners did to the volume stays on it."""
    owner = whole.the_owner()
    owner.run("sed", "-i", f"s/{KEPT}/{IGNORED}/", DEADLINE)
    assert IGNORED in owner.run("cat", DEADLINE).stdout
    owner.run("systemctl", "restart", KEEPER)
    whole.wait_whole()
    if whole.the_owner() is not owner:
        whole.ask("group", "move", GROUP, owner.name, timeout=90)
    whole.wait_whole()
    whole.fence.modes[owner.name] = Mode.BLIND
    auditor = OwnershipAuditor(whole.lab, Watched(GROUP, (whole.address,), whole.disk.name)).start()
    try:
        cut_off(whole, owner)
        wait_until("two owners are caught", lambda: auditor.findings.violations, timeout=60, explain=whole.last_words)
    finally:
        owner.run("sed", "-i", f"s/{IGNORED}/{KEPT}/", DEADLINE)
        owner.kill()
        findings = auditor.finish()
    assert owner.name in findings.violations[0].held
