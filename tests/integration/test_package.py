"""The Debian package on a real node: what installing, upgrading and removing it does and leaves alone."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.lab import Lab, Node
from tests.lab.appliance import initialise, wait_healthy
from tests.lab.host import REPOSITORY

DEFAULT_UNITS = (
    "postfix.service",
    "postfix@-.service",
    "dovecot.service",
    "dovecot.socket",
    "slapd.service",
    "etcd.service",
)
PYTHON = "/opt/posthouse/bin/python3"
_NOBODY = {"posthouse-keeper.service": "0"}.items()


def unit_file_state(node: Node, unit: str) -> str:
    return node.run("systemctl", "is-enabled", unit, check=False).stdout.strip()


def bring_package(node: Node) -> None:
    """Put the package as built into the node, as /root/posthouse.deb."""
    deb = max((REPOSITORY / "dist").glob("posthouse_*.deb"), key=lambda each: each.stat().st_mtime)
    shutil.copy(deb, node.root / "root/posthouse.deb")


def install(node: Node) -> str:
    """Install the package as built; return what it said."""
    bring_package(node)
    done = node.run("dpkg", "--force-unsafe-io", "--install", "/root/posthouse.deb", timeout=120)
    return done.stdout + done.stderr


def purge(node: Node) -> str:
    """Purge the package; return what it said."""
    done = node.run("dpkg", "--force-unsafe-io", "--purge", "posthouse", timeout=120)
    return done.stdout + done.stderr


def main_pids(node: Node, *units: str) -> dict[str, str]:
    return {unit: node.run("systemctl", "show", "--property=MainPID", "--value", unit).stdout.strip() for unit in units}


def running_instances(node: Node) -> list[str]:
    listed = node.run("systemctl", "list-units", "--plain", "--no-legend", "--state=active", "posthouse-*@*.service")
    return [line.split()[0] for line in listed.stdout.splitlines()]


@pytest.fixture(scope="module")
def node_as_shipped(lab: Lab) -> Node:
    """One node for the tests that only look."""
    return lab.node("shipped").boot()


def test_every_unit_is_installed_and_systemd_finds_no_fault_in_it(fresh_node: Node) -> None:
    units = [
        each.name for each in (REPOSITORY / "systemd").iterdir() if each.suffix in (".service", ".slice", ".target")
    ]
    known = fresh_node.run("systemctl", "list-unit-files", "--no-legend", "posthouse*").stdout
    assert [unit for unit in units if unit not in known] == []

    names = [unit.replace("@.", "@mail.") for unit in units]
    said = fresh_node.run("systemd-analyze", "verify", "--man=no", *names, check=False)
    assert [line for line in said.stderr.splitlines() if "posthouse" in line] == []


@pytest.mark.parametrize("unit", DEFAULT_UNITS)
def test_debians_default_instance_is_masked(node_as_shipped: Node, unit: str) -> None:
    assert unit_file_state(node_as_shipped, unit) == "masked"


def test_the_command_works_without_a_network(node_as_shipped: Node) -> None:
    said = node_as_shipped.run("unshare", "--net", "posthouse", "--version").stdout
    assert "posthouse" in said


def test_every_library_that_the_package_declares_is_in_it(node_as_shipped: Node) -> None:
    script = """
from importlib.metadata import distribution, distributions
import re
have = {re.sub(r"[-_.]+", "-", each.metadata["Name"]).lower() for each in distributions()}
for each in have:
    for wanted in distribution(each).requires or ():
        if "extra ==" in wanted or "python_version <" in wanted or "sys_platform ==" in wanted or "platform_" in wanted:
            continue
        name = re.sub(r"[-_.]+", "-", re.match(r"[A-Za-z0-9._-]+", wanted)[0]).lower()
        if name not in have:
            print(each, "needs", wanted)
"""
    assert node_as_shipped.run(PYTHON, "-I", "-c", script).stdout == ""


def test_accounts_that_own_files_on_volumes_have_their_fixed_numbers(node_as_shipped: Node) -> None:
    ids = node_as_shipped.run("sh", "-c", "id -u vmail; id -u postfix; id -u posthouse; getent group postdrop").stdout
    assert ids.split() == ["57143", "57025", "57001", "postdrop:x:57026:"]


def test_nothing_of_ours_runs_before_init(node_as_shipped: Node) -> None:
    assert running_instances(node_as_shipped) == []
    assert not node_as_shipped.active("posthouse-agent.service")


def test_purging_gives_the_default_instances_back_and_installing_takes_them_again(fresh_node: Node) -> None:
    purge(fresh_node)
    assert [unit for unit in DEFAULT_UNITS if unit_file_state(fresh_node, unit) == "masked"] == []
    assert fresh_node.run("test", "-e", "/opt/posthouse", check=False).returncode != 0

    install(fresh_node)
    assert {unit_file_state(fresh_node, unit) for unit in DEFAULT_UNITS} == {"masked"}


def test_a_default_instance_that_runs_unconfigured_is_ended(fresh_node: Node) -> None:
    purge(fresh_node)
    fresh_node.run("systemctl", "start", "postfix.service", "etcd.service")

    install(fresh_node)

    assert not fresh_node.active("postfix@-.service")
    assert not fresh_node.active("etcd.service")


def test_a_mail_server_of_the_operators_own_is_left_as_it_is(fresh_node: Node) -> None:
    purge(fresh_node)
    fresh_node.run("postconf", "-e", "virtual_mailbox_domains = example.org", "inet_protocols = ipv4")
    fresh_node.run("systemctl", "start", "postfix.service")

    said = install(fresh_node)

    assert "/etc/postfix/main.cf" in said
    assert unit_file_state(fresh_node, "postfix.service") != "masked"
    assert fresh_node.active("postfix@-.service")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("postconf -e 'mydestination = example.org, localhost'", "/etc/postfix/main.cf"),
        ("postconf -e 'relayhost = [smtp.example.net]'", "/etc/postfix/main.cf"),
        ("postconf -M submission/inet='submission inet n - y - - smtpd'", "/etc/postfix/master.cf"),
        ("echo 'mail_location = maildir:~/Maildir' >>/etc/dovecot/conf.d/10-mail.conf", "conf.d/10-mail.conf"),
    ],
)
def test_init_refuses_a_server_with_a_mail_system_of_its_own(fresh_node: Node, change: str, named: str) -> None:
    fresh_node.run("sh", "-c", change)
    done = fresh_node.run("posthouse", "init", "--yes", "--hostname", "mail.example.org", check=False)
    assert done.returncode == 1
    assert named in done.stderr
    assert fresh_node.run("test", "-e", "/etc/posthouse/node.yaml", check=False).returncode != 0


def test_an_upgrade_masks_nothing_again_that_the_operator_unmasked(fresh_node: Node) -> None:
    fresh_node.run("systemctl", "unmask", "slapd.service")

    install(fresh_node)

    assert unit_file_state(fresh_node, "slapd.service") != "masked"
    assert unit_file_state(fresh_node, "postfix.service") == "masked"


def test_of_two_inits_at_once_one_does_it_and_the_other_is_told(fresh_node: Node) -> None:
    words = ("posthouse", "init", "--yes", "--hostname", fresh_node.hostname)
    both = [fresh_node.popen(*words, stderr=subprocess.PIPE) for _ in range(2)]
    said = [each.communicate(timeout=150)[1] for each in both]
    assert sorted(each.returncode for each in both) == [0, 75], said
    loser = next(text for each, text in zip(both, said, strict=True) if each.returncode)
    assert loser.startswith("posthouse: Another posthouse init")
    assert "Traceback" not in "".join(said)


def test_engines_that_come_together_with_the_package_never_start_in_debians_way(fresh_node: Node) -> None:
    purge(fresh_node)
    fresh_node.run(
        "dpkg", "--force-unsafe-io", "--purge", "postfix-cdb", "postfix-ldap", "postfix-pcre", "postfix", timeout=120
    )
    bring_package(fresh_node)

    fresh_node.run("dpkg", "--force-unsafe-io", "--unpack", "/root/posthouse.deb", timeout=120)

    assert Path(fresh_node.root / "etc/systemd/system/postfix.service").readlink() == Path("/dev/null")


def test_an_upgrade_replaces_agent_and_keeper_and_restarts_no_engine(fresh_node: Node) -> None:
    initialise(fresh_node)
    instances = running_instances(fresh_node)
    assert "posthouse-postfix@mail.service" in instances
    engines, agent = main_pids(fresh_node, *instances), main_pids(fresh_node, "posthouse-agent.service")
    keeper = main_pids(fresh_node, "posthouse-keeper.service")

    install(fresh_node)

    def replaced() -> bool:
        return main_pids(fresh_node, "posthouse-keeper.service").items().isdisjoint({*keeper.items(), *_NOBODY})

    assert main_pids(fresh_node, "posthouse-agent.service") != agent
    fresh_node.wait_until("the keeper, which holds no group that could run elsewhere, made way", replaced)
    wait_healthy(fresh_node)
    assert main_pids(fresh_node, *instances) == engines


def test_purging_an_initialised_node_ends_everything_and_keeps_mail_accounts_and_keys(fresh_node: Node) -> None:
    debians = (fresh_node.root / "etc/postfix/main.cf").read_text()
    initialise(fresh_node)
    assert (fresh_node.root / "etc/postfix/main.cf").read_text() != debians
    fresh_node.run(
        "sh", "-c", "mkdir -p /srv/posthouse/mail/mailboxes/x && echo mail >/srv/posthouse/mail/mailboxes/x/1"
    )

    said = purge(fresh_node)

    left = fresh_node.run("systemctl", "list-units", "--all", "--plain", "--no-legend", "posthouse*").stdout
    assert left == ""
    assert "/srv/posthouse is kept" in said
    assert (fresh_node.root / "etc/postfix/main.cf").read_text() == debians
    kept = ("/srv/posthouse/mail/mailboxes/x/1", "/var/lib/posthouse/local/slapd/data.mdb", "/etc/posthouse/pki/ca.key")
    for path in kept:
        assert fresh_node.run("test", "-e", path, check=False).returncode == 0, path
    assert fresh_node.run("test", "-e", "/var/lib/posthouse/engines", check=False).returncode != 0
