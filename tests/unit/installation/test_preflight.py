"""What stands in the way of becoming a node."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.installation.preflight import Server, findings

READY = Server(
    uid=0,
    os_release={"ID": "debian", "VERSION_ID": "12", "PRETTY_NAME": "Debian GNU/Linux 12 (bookworm)"},
    systemd=True,
    files=lambda path: None,
    active_units=frozenset({"chrony.service"}),
    busy_ports=(),
    directory_entries=0,
)


def keys(server: Server, *, initialised: bool = False) -> list[str]:
    return [finding.key for finding in findings(server, initialised=initialised)]


def test_a_fresh_server_is_ready() -> None:
    assert keys(READY) == []


def test_without_root_nothing_else_is_looked_at() -> None:
    assert keys(replace(READY, uid=1000, systemd=False)) == ["init-needs-root"]


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        (replace(READY, os_release={"ID": "ubuntu", "VERSION_ID": "24.04"}), "init-needs-debian-12"),
        (replace(READY, systemd=False), "init-needs-systemd"),
        (replace(READY, active_units=frozenset()), "init-needs-time-source"),
        (replace(READY, busy_ports=(25,)), "init-port-busy"),
        (replace(READY, directory_entries=3), "init-foreign-configuration"),
        (replace(READY, files={"/etc/dovecot/local.conf": "mail_location = x"}.get), "init-foreign-configuration"),
        (
            replace(READY, files={"/etc/postfix/main.cf": "virtual_mailbox_maps = hash:/etc/v\n"}.get),
            "init-foreign-configuration",
        ),
    ],
)
def test_each_obstacle_is_named(server: Server, expected: str) -> None:
    assert keys(server) == [expected]


def test_debians_untouched_defaults_are_not_foreign_and_their_ports_will_be_free() -> None:
    server = replace(
        READY,
        files={"/etc/postfix/main.cf": "myhostname = x\nmydestination = x, localhost\nrelayhost = \n"}.get,
        active_units=READY.active_units | {"postfix@-.service"},
        busy_ports=(25,),
    )
    assert keys(server) == []


def test_a_node_holds_its_own_ports() -> None:
    assert keys(replace(READY, busy_ports=(25, 143)), initialised=True) == []
