"""What cluster tests rely on when they cut links, share a disk, and switch a node's power off."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab import Lab, Node, wait_until
from tests.lab.disk import SharedDisk
from tests.lab.fence import FenceDevice, Mode
from tests.lab.host import REPOSITORY, command
from tests.lab.lab import remove_stale
from tests.lab.links import LAB


@dataclass(frozen=True)
class Pair:
    """Two nodes with a shared disk and a power switch."""

    one: Node
    other: Node
    disk: SharedDisk
    fence: FenceDevice


@pytest.fixture(scope="module")
def shared(lab: Lab) -> Iterator[Pair]:
    disk = lab.disk("shared", megabytes=64)
    fence = FenceDevice(lab).start()
    nodes = [lab.node("one"), lab.node("other")]
    for node in nodes:
        disk.attach(node)
        fence.attach(node)
    try:
        yield Pair(nodes[0], nodes[1], disk, fence)
    finally:
        for node in nodes:
            lab.remove_node(node)
        fence.stop()
        lab.remove_disk(disk)


@pytest.fixture
def pair(shared: Pair) -> Iterator[Pair]:
    """Both run, with nothing mounted and every link whole."""
    for node in (shared.one, shared.other):
        if not node.running:
            node.boot()
    yield shared
    shared.one.lab.links.heal()
    shared.fence.modes.clear()
    for node in (shared.one, shared.other):
        shared.disk.release(node.name)
        if node.running:
            node.thaw()
            node.run("umount", "/mnt", check=False)


def reaches(address: str) -> bool:
    """Whether this process, a client of the lab, gets any answer from an address: a refusal is one."""
    try:
        socket.create_connection((address, 1), timeout=0.5).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return True


def answers(source: Node, target: Node) -> bool:
    """Whether a question of one node reaches another, and the answer comes back."""
    script = f"import socket; socket.create_connection(('{target.address}', 1), 0.5)"
    return "refused" in source.run("python3", "-c", script, check=False).stderr


def hears(target: Node, source: Node) -> bool:
    """Whether a datagram of `source` arrives at `target`."""
    listen = (
        "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('', 999)); s.settimeout(1.5);"
        "print('ready', flush=True); print(s.recv(9))"
    )
    with target.popen("python3", "-c", listen) as listener:
        assert listener.stdout is not None
        assert listener.stdout.readline() == "ready\n"
        say = f"import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'hello', ('{target.address}', 999))"
        source.run("python3", "-c", say)
        return "hello" in listener.communicate(timeout=10)[0]


def know_each_other(pair: Pair) -> None:
    """Fill both nodes' neighbour tables for good, so that a one-way cut is not also one of ARP."""
    for node, other in ((pair.one, pair.other), (pair.other, pair.one)):
        lladdr = json.loads(other.run("ip", "-json", "link", "show", "eth0").stdout)[0]["address"]
        node.run("ip", "neighbour", "replace", other.address, "lladdr", lladdr, "dev", "eth0", "nud", "permanent")


def mount(disk: SharedDisk, node: Node) -> None:
    node.run("mount", disk.device, "/mnt", timeout=90)


def test_a_cut_between_two_nodes_leaves_the_clients_reaching_both_until_it_heals(pair: Pair) -> None:
    links = pair.one.lab.links
    links.cut([pair.one.number], [pair.other.number])
    assert not answers(pair.one, pair.other)
    assert not answers(pair.other, pair.one)
    for node in (pair.one, pair.other):
        assert reaches(node.address)
    links.heal()
    wait_until("whole again", lambda: answers(pair.one, pair.other))


def test_a_one_way_cut_lets_one_be_heard_and_not_the_other(pair: Pair) -> None:
    know_each_other(pair)
    pair.one.lab.links.cut([pair.one.number], [pair.other.number], one_way=True)
    assert hears(pair.one, pair.other)
    assert not hears(pair.other, pair.one)


def test_clients_can_be_cut_off_while_the_nodes_see_each_other(pair: Pair) -> None:
    pair.one.lab.links.cut([LAB], [pair.one.number])
    assert not reaches(pair.one.address)
    assert answers(pair.other, pair.one)


def test_a_flapping_link_is_now_whole_now_cut_and_whole_in_the_end(pair: Pair) -> None:
    with pair.one.lab.links.flapping([pair.one.number], [pair.other.number], every=1.0):
        wait_until("cut", lambda: not answers(pair.one, pair.other))
        wait_until("whole", lambda: answers(pair.one, pair.other))
    assert answers(pair.one, pair.other)


def test_one_node_reads_what_the_other_wrote_and_a_second_mount_is_seen(pair: Pair) -> None:
    mount(pair.disk, pair.one)
    pair.one.run("sh", "-c", "echo written >/mnt/here")
    assert pair.disk.is_mounted_on("one")
    assert not pair.disk.is_mounted_on("other")
    pair.one.run("umount", "/mnt")
    assert not pair.disk.is_mounted_on("one")
    mount(pair.disk, pair.other)
    assert pair.other.run("cat", "/mnt/here").stdout == "written\n"


def test_a_killed_node_leaves_on_the_disk_only_what_it_had_synchronised(pair: Pair) -> None:
    mount(pair.disk, pair.one)
    pair.one.run("sh", "-c", "echo kept >/mnt/kept; sync -f /mnt; echo lost >/mnt/lost")
    pair.one.kill()
    assert not pair.disk.is_mounted_on("one")
    pair.other.run("tune2fs", "-f", "-E", "clear_mmp", pair.disk.device)
    mount(pair.disk, pair.other)
    assert pair.other.run("sh", "-c", "ls /mnt/kept /mnt/lost; true").stdout == "/mnt/kept\n"


def test_a_hanging_disk_lets_writers_wait_and_the_node_can_still_be_killed(pair: Pair) -> None:
    mount(pair.disk, pair.one)
    pair.disk.hang(pair.one)
    with pair.one.popen("sh", "-c", "echo late >/mnt/late; echo done") as writer:
        with pytest.raises(subprocess.TimeoutExpired):
            writer.wait(1)
        pair.disk.release("one")
        assert writer.communicate(timeout=10)[0] == "done\n"
    pair.disk.hang(pair.one)
    pair.one.kill()
    assert not pair.disk.is_mounted_on("one")


def test_a_broken_disk_goes_read_only_and_a_full_one_says_so(pair: Pair) -> None:
    mount(pair.disk, pair.one)
    filler = pair.disk.fill(pair.one)
    assert "No space" in pair.one.run("sh", "-c", "head -c 9999 /dev/zero >/mnt/more", check=False).stderr
    filler.unlink()
    pair.disk.break_on(pair.one)
    assert "Read-only" in pair.one.run("touch", "/mnt/new", check=False).stderr


def fence(pair: Pair, action: str, timeout: float = 30.0) -> int:
    """Ask, on one node, the agent to act on the other; return its status."""
    given = {"action": action, **pair.fence.parameters("other")}
    text = "".join(f"{name}={value}\n" for name, value in given.items())
    return pair.one.run("fence_lab", input=text, check=False, timeout=timeout).returncode


def test_the_fence_agent_switches_a_node_off_and_on_and_knows_which_it_is(pair: Pair) -> None:
    assert fence(pair, "monitor") == 0
    assert fence(pair, "status") == 0
    pair.other.freeze()
    assert fence(pair, "off") == 0
    assert not pair.other.running
    assert fence(pair, "status") == 2
    assert fence(pair, "on") == 0
    pair.other.wait_booted()
    assert "<action name=" in pair.one.run("fence_lab", input="action=metadata\n").stdout


@pytest.mark.parametrize(
    ("mode", "said", "runs"), [(Mode.REFUSES, 1, True), (Mode.LIES, 0, True), (Mode.UNSURE, 1, False)]
)
def test_a_bad_power_switch(pair: Pair, mode: Mode, said: int, runs: bool) -> None:
    pair.fence.modes["other"] = mode
    assert fence(pair, "off") == said
    assert pair.other.running is runs


def test_a_power_switch_that_hangs_never_answers(pair: Pair) -> None:
    pair.fence.modes["other"] = Mode.HANGS
    with pytest.raises(subprocess.TimeoutExpired):
        fence(pair, "off", timeout=1)
    assert pair.other.running


def test_a_node_that_starts_again_has_none_of_the_addresses_it_had_taken(pair: Pair) -> None:
    pair.one.run("ip", "address", "add", "10.57.0.200/24", "dev", "eth0")
    assert reaches("10.57.0.200")
    pair.one.kill()
    assert not reaches("10.57.0.200")
    pair.one.boot()
    assert "10.57.0.200" not in pair.one.run("ip", "address").stdout
    wait_until("reachable", lambda: answers(pair.other, pair.one))


def test_loop_devices_of_a_dead_owner_are_freed() -> None:
    script = (
        "from tests.lab import Lab; made = Lab.create(); disk = made.disk('left', megabytes=16);"
        "disk.attach(made.node('orphan')); made.save(); print(disk.image, flush=True); input()"
    )
    line = [sys.executable, "-c", script]
    with subprocess.Popen(line, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        image = Path(owner.stdout.readline().strip())
        assert loops_of(image)
        owner.kill()
    remove_stale()
    assert not loops_of(image)


def loops_of(image: Path) -> list[str]:
    """The loop devices over a file, also when that is gone."""
    listed = json.loads(command("losetup", "--list", "--json", "--output", "name,back-file") or '{"loopdevices": []}')
    return [each["name"] for each in listed["loopdevices"] if str(image) in each["back-file"]]
