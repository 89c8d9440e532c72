"""Under which account and with which capabilities(7) every process of the services runs: what /proc says."""

from __future__ import annotations

import json
import smtplib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.integration.mail_clients import mail_node, mark, send
from tests.lab import Node

POSTFIX: Final = "posthouse-postfix@mail.service"
DOVECOT: Final = "posthouse-dovecot@mail.service"
SLAPD: Final = "posthouse-slapd@local.service"
ETCD: Final = "posthouse-etcd@local.service"
AGENT: Final = "posthouse-agent.service"
KEEPER: Final = "posthouse-keeper.service"

#: Numbers of capabilities, linux/capability.h.
NUMBERS: Final = {
    "chown": 0, "dac_override": 1, "fowner": 3, "fsetid": 4, "kill": 5, "setgid": 6, "setuid": 7,
    "net_bind_service": 10, "net_admin": 12, "net_raw": 13, "ipc_lock": 14, "sys_rawio": 17, "sys_chroot": 18,
    "sys_admin": 21, "sys_resource": 24,
}  # fmt: skip

#: The most that any process of the unit can ever have.
BOUNDS: Final = {
    POSTFIX: {"setuid", "setgid", "chown", "dac_override", "fowner", "kill", "net_bind_service"},
    DOVECOT: {
        "setuid", "setgid", "chown", "dac_override", "fowner", "kill", "net_bind_service", "sys_chroot", "sys_resource",
    },
    SLAPD: set(),
    ETCD: set(),
    AGENT: {"chown", "dac_override", "fowner", "fsetid", "setuid", "setgid", "kill"},
    KEEPER: {"kill", "ipc_lock", "dac_override", "sys_admin", "net_admin", "net_raw", "sys_rawio"},
}  # fmt: skip

#: Runs on the node: what the kernel says of each process in a unit of ours.
LOOK: Final = """
import json, pathlib, pwd, re
found = []
for folder in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        status = dict(line.partition(":")[::2] for line in (folder / "status").read_text().splitlines())
        unit = (folder / "cgroup").read_text().splitlines()[-1].rpartition("/")[2]
        command = (folder / "cmdline").read_bytes().replace(b"\\0", b" ").decode().strip()
    except (FileNotFoundError, ProcessLookupError):
        continue
    if unit.startswith("posthouse-"):
        accounts = sorted({pwd.getpwuid(int(uid)).pw_name for uid in status["Uid"].split()})
        found.append([int(folder.name), unit, command, accounts, int(status["CapEff"], 16), int(status["CapBnd"], 16),
                      status["NoNewPrivs"].strip() == "1"])
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Process:
    """What /proc/PID says. `accounts` are those of its real, effective, saved and file system uid; the masks are
    capabilities that it has and that it can ever have."""

    pid: int
    unit: str
    command: str
    accounts: Sequence[str]
    effective: int
    bound: int
    no_new_privileges: bool

    @property
    def program(self) -> str:
        """The last part of the first word: `smtpd`, `imap-login`."""
        return self.command.split()[0].rpartition("/")[2]


def mask(names: set[str]) -> int:
    return sum(1 << NUMBERS[name] for name in names)


def processes(node: Node, unit: str) -> list[Process]:
    """Every process of a service."""
    rows = json.loads(node.run("/opt/posthouse/bin/python3", "-I", "-c", LOOK).stdout)
    found = [each for each in (Process(*row) for row in rows) if each.unit == unit]
    assert found, unit
    return found


@pytest.mark.parametrize("unit", BOUNDS)
def test_no_process_can_get_more_capabilities_than_its_unit_needs(node: Node, unit: str) -> None:
    # a lab's node is a container, which lacks some itself
    inits = int(node.run("awk", "/^CapBnd/ { print $2 }", "/proc/1/status").stdout, 16)
    for process in processes(node, unit):
        assert process.bound == mask(BOUNDS[unit]) & inits, process
        assert process.effective & ~process.bound == 0, process
        assert process.no_new_privileges, process


@pytest.mark.parametrize(("unit", "account"), [(SLAPD, "openldap"), (ETCD, "etcd")])
def test_directory_and_store_never_are_root(node: Node, unit: str, account: str) -> None:
    for process in processes(node, unit):
        assert (process.accounts, process.effective) == ([account], 0), process


def test_of_postfix_the_master_alone_is_root(node: Node) -> None:
    # smtpd processes end when they have had nothing to do for a while
    with smtplib.SMTP(node.address, 25, timeout=20):
        running = processes(node, POSTFIX)
    assert [process.program for process in running if "root" in process.accounts] == ["master"]
    workers = [process for process in running if process.program != "master"]
    assert {"smtpd", "qmgr", "pickup"} <= {process.program for process in workers}
    for process in workers:
        # real, effective and saved uid alike: no way back
        assert (process.accounts, process.effective) == (["postfix"], 0), process


def test_of_dovecot_only_those_are_root_who_meet_nobody(node: Node) -> None:
    """The processes that wait for their first session are not root either."""
    running = processes(node, DOVECOT)
    assert {each.program for each in running if "root" in each.accounts} == {"dovecot", "log", "config"}
    waiting = [each for each in running if each.program in {"imap", "lmtp"}]
    assert {each.program for each in waiting} == {"imap", "lmtp"}
    for process in waiting:
        assert (process.accounts, process.effective) == (["vmail"], 0), process


def test_whoever_serves_a_person_or_meets_a_stranger_is_not_root(node: Node, ca_file: Path) -> None:
    with mail_node(node, ca_file, "service-accounts.test") as mail:
        alice = mail.mailbox()
        word = mark()
        with mail.smtp() as client:
            send(client, "somebody@example.net", alice.address, word)
        mail.arrived(alice, word)
        with mail.imap(alice) as session:
            assert session.select("INBOX")[0] == "OK"
            pop3 = mail.pop3(alice)
            config = "/var/lib/posthouse/engines/dovecot@mail/current/dovecot.conf"
            who = node.run("doveadm", "-c", config, "who", "-1", alice.address).stdout.splitlines()[1:]
            serving = {int(line.split()[2]): line.split()[1] for line in who}
            running = {process.pid: process for process in processes(node, DOVECOT)}
            pop3.quit()
    assert sorted(serving.values()) == ["imap", "pop3"]
    for pid in serving:
        assert (running[pid].accounts, running[pid].effective) == (["vmail"], 0), running[pid]
    by_name = {
        "lmtp": "vmail",
        "imap-login": "dovenull",
        "pop3-login": "dovenull",
        "auth": "dovecot",
        "anvil": "dovecot",
    }
    for name, account in by_name.items():
        same = [each for each in running.values() if each.program == name]
        assert same, name
        for process in same:
            assert (process.accounts, process.effective) == ([account], 0), process


#: Runs in the mount namespace of a process, as its account: what is in folders and files, or why not.
REACH: Final = """
import json, os, sys
account, *paths = sys.argv[1:]
os.setgroups([])
os.setgid(int(account))
os.setuid(int(account))
found = {}
for path in paths:
    try:
        found[path] = sorted(os.listdir(path)) if os.path.isdir(path) else [open(path).read()]
    except OSError:
        found[path] = []
print(json.dumps(found))
"""


def reach(node: Node, process: Process, *paths: str) -> dict[str, list[str]]:
    """What a program would find that had got into this process: entries of folders and the text of files; nothing of
    what it cannot open."""
    account = node.run("id", "-u", process.accounts[0]).stdout.strip()
    inside = ("nsenter", f"--target={process.pid}", "--mount", "/opt/posthouse/bin/python3", "-I", "-c")
    found: dict[str, list[str]] = json.loads(node.run(*inside, REACH, account, *paths).stdout)
    return found


@pytest.mark.parametrize(("unit", "program"), [(DOVECOT, "imap"), (DOVECOT, "lmtp"), (POSTFIX, "qmgr")])
def test_another_groups_volume_and_sockets_and_other_processes_are_out_of_reach(
    node: Node, unit: str, program: str
) -> None:
    """Groups on one node share the accounts, so rights of files do not keep them apart."""
    process = next(each for each in processes(node, unit) if each.program == program)
    other = next(each for each in processes(node, unit) if each.accounts == process.accounts and each != process)
    volume, sockets = "/srv/posthouse/neighbour", "/run/posthouse/neighbour"
    node.run("install", "-d", "-o", process.accounts[0], volume, sockets)
    try:
        node.run("sh", "-c", f"echo secret >{volume}/letter && chmod 644 {volume}/letter")
        paths = ["/srv/posthouse", "/run/posthouse", f"{volume}/letter", sockets, f"/proc/{other.pid}/root", "/proc"]
        found = reach(node, process, *paths)
    finally:
        node.run("rm", "-r", volume, sockets)
    assert found == {path: [] for path in paths} | {"/srv/posthouse": ["mail"], "/run/posthouse": ["local", "mail"]}


@pytest.mark.parametrize("unit", [DOVECOT, POSTFIX])
def test_a_volume_that_is_mounted_later_is_seen(node: Node, unit: str) -> None:
    main = next(each for each in processes(node, unit) if each.program in {"dovecot", "master"})
    before = reach(node, main, "/srv/posthouse/mail")
    assert before["/srv/posthouse/mail"]
    look = f"nsenter --target={main.pid} --mount ls /srv/posthouse/mail"
    # in one breath: the engines run
    script = f"mount -t tmpfs later /srv/posthouse/mail && mkdir /srv/posthouse/mail/later && {look}; umount later"
    assert node.run("sh", "-c", script).stdout.split() == ["later"]
    assert reach(node, main, "/srv/posthouse/mail") == before


@pytest.mark.parametrize("account", ["vmail", "postfix", "dovecot", "dovenull", "openldap", "etcd", "posthouse"])
def test_accounts_of_services_have_no_shell_and_no_password(node: Node, account: str) -> None:
    assert node.run("getent", "passwd", account).stdout.strip().rpartition(":")[2] in {
        "/usr/sbin/nologin",
        "/bin/false",
    }
    assert node.run("getent", "shadow", account).stdout.split(":")[1] in {"!", "*", "!*"}


#: Prints the sockets below the folders that are its arguments which take a connection.
_REACHED = """
import os, socket, stat, sys
for top in sys.argv[1:]:
    for folder, _, names in os.walk(top):
        for path in (os.path.join(folder, name) for name in names):
            if stat.S_ISSOCK(os.lstat(path).st_mode):
                with socket.socket(socket.AF_UNIX) as client:
                    client.settimeout(5)
                    if client.connect_ex(path) == 0:
                        print(path)
"""


def test_an_account_of_the_server_reaches_only_what_asks_who_it_is(node: Node) -> None:
    """The directory knows its peers by uid and tells this one nothing; dns-client resolves names."""
    reached = node.run("runuser", "-u", "nobody", "--", "python3", "-c", _REACHED, "/run/posthouse", "/srv/posthouse")
    assert set(reached.stdout.split()) == {
        "/run/posthouse/local/slapd/ldapi",
        "/run/posthouse/mail/dovecot/dns-client",
    }
