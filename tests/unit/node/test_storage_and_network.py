"""Which file systems are shown, and that one that hangs does not hold up the others."""

from __future__ import annotations

import threading
import time

import pytest

from appliance.node import storage
from appliance.node.commands import ask
from appliance.node.hardware import processor_name
from appliance.node.network import with_prefix
from appliance.node.storage import FileSystem, Usage, answered, worth_showing


def mounted(device: str, folder: str, kind: str = "ext4") -> FileSystem:
    return FileSystem(device, folder, kind, "rw")


def test_only_what_stores_something_is_shown_once() -> None:
    shown = worth_showing(
        [
            mounted("proc", "/proc", "proc"),
            mounted("tmpfs", "/run", "tmpfs"),
            mounted("/dev/sda1", "/var/lib/bind"),
            mounted("/dev/sda1", "/"),
            mounted("/dev/sda1", "/etc/hostname"),
            mounted("/dev/sdb1", "/srv/posthouse/mail"),
            mounted("overlay", "/var/lib/containers/x", "overlay"),
            mounted("nas:/export", "/mnt", "nfs4"),
        ]
    )
    assert [each.folder for each in shown] == ["/", "/mnt", "/srv/posthouse/mail"]


def test_a_container_on_an_overlay_shows_its_root() -> None:
    assert [each.folder for each in worth_showing([mounted("overlay", "/", "overlay")])] == ["/"]


def test_a_file_system_that_hangs_is_shown_as_not_answering(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def usage(folder: str) -> Usage:
        if folder == "/dead":
            released.wait(10)
        return Usage(10, 5, 5, 1, 1)

    monkeypatch.setattr(storage, "usage", usage)
    started = time.monotonic()
    dead, alive = answered([mounted("nas:/x", "/dead", "nfs4"), mounted("/dev/sda1", "/")], deadline=0.2)
    assert time.monotonic() - started < 2
    assert dead.usage is None
    assert alive.usage == Usage(10, 5, 5, 1, 1)
    released.set()


def test_a_folder_that_cannot_be_asked_has_no_usage() -> None:
    assert answered([mounted("x", "/no/such/folder")])[0].usage is None


@pytest.mark.parametrize(
    ("address", "netmask", "expected"),
    [
        ("192.0.2.1", "255.255.255.0", "192.0.2.1/24"),
        ("192.0.2.1", None, "192.0.2.1/32"),
        ("fe80::1%eth0", "ffff:ffff:ffff:ffff::", "fe80::1/64"),
        ("::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::1/128"),
    ],
)
def test_addresses_carry_their_prefix(address: str, netmask: str | None, expected: str) -> None:
    assert str(with_prefix(address, netmask)) == expected


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [
        ("processor\t: 0\nmodel name\t: Intel(R)  Xeon(R)\n", "Intel(R) Xeon(R)"),
        ("processor\t: 0\nBogoMIPS\t: 50\n", None),
        ("", None),
    ],
)
def test_the_processor_is_named_by_cpuinfo(cpuinfo: str, name: str | None) -> None:
    assert processor_name(cpuinfo) == name


def test_a_program_that_is_missing_fails_or_is_slow_gives_no_answer() -> None:
    assert ask("/no/such/program") is None
    assert ask("false") is None
    assert ask("false", accept=(1,)) == ""
    assert ask("sleep", "5", deadline=0.1) is None
    assert ask("printf", "%s", "done") == "done"
