"""Accounts on a booted node, through the command line as an administrator types it, with real logins."""

from __future__ import annotations

import imaplib
import itertools
import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.directory import passwords
from tests.lab import Node
from tests.lab.host import CommandFailed

GOOD = "korrekt pferd batterie"
OTHER = "ganz anderes geheimnis 7"
DOMAIN = "directory.test"

Cli = Callable[..., Any]
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def cli(node: Node) -> Cli:
    """Run `posthouse …`; gives what it printed, read as JSON where it was asked for."""

    def run(*arguments: str, stdin: str = "") -> Any:
        said = node.run("posthouse", *arguments, input=stdin).stdout
        return json.loads(said) if "--json" in arguments else said

    run("domain", "create", DOMAIN)
    return run


@pytest.fixture
def alice(cli: Cli) -> str:
    """A mailbox of the test's own."""
    address = f"alice{next(_numbers)}@{DOMAIN}"
    cli("mailbox", "create", address, "--password-stdin", stdin=f"{GOOD}\n")
    return address


def login(node: Node, ca_file: Path, user: str, password: str) -> bool:
    """Whether an IMAP client may log in."""
    context = ssl.create_default_context(cafile=str(ca_file))
    context.check_hostname = False
    with imaplib.IMAP4_SSL(node.address, ssl_context=context, timeout=20) as client:
        try:
            client.login(user, password)
        except imaplib.IMAP4.error:
            return False
    return True


def accepted(node: Node, user: str, password: str) -> bool:
    """Whether Dovecot accepts a password; unlike a client's, failures here slow no later login down."""
    configuration = "/var/lib/posthouse/engines/dovecot@mail/current/dovecot.conf"
    said = node.run("doveadm", "-c", configuration, "auth", "test", user, password, check=False)
    return said.returncode == 0


def refused(node: Node, *arguments: str, stdin: str = "") -> tuple[int, str]:
    """The exit code and words with which a command refuses."""
    with pytest.raises(CommandFailed) as failure:
        node.run("posthouse", *arguments, input=stdin, env={"POSTHOUSE_LANG": "en"})
    return failure.value.status, failure.value.errors


def test_who_was_created_logs_in_and_nobody_else(node: Node, ca_file: Path, alice: str) -> None:
    assert login(node, ca_file, alice, GOOD)
    assert login(node, ca_file, alice.upper(), GOOD)
    assert not login(node, ca_file, alice, OTHER)


def test_a_new_password_counts_within_a_second_and_the_old_one_no_longer(
    node: Node, ca_file: Path, cli: Cli, alice: str
) -> None:
    assert login(node, ca_file, alice, GOOD), "and is cached now"
    cli("mailbox", "password", alice, "--password-stdin", stdin=f"{OTHER}\n")
    node.wait_until("the old password fails", lambda: not accepted(node, alice, GOOD), timeout=1.5, every=0.1)
    assert login(node, ca_file, alice, OTHER)


def test_a_disabled_mailbox_and_a_disabled_domain_are_shut_within_a_second(node: Node, ca_file: Path, cli: Cli) -> None:
    cli("domain", "create", "shut.test")
    cli("mailbox", "create", "bob@shut.test", "--password-stdin", stdin=f"{GOOD}\n")
    assert login(node, ca_file, "bob@shut.test", GOOD)
    for shut, opened in (
        (("mailbox", "disable", "bob@shut.test"), ("mailbox", "enable", "bob@shut.test")),
        (("domain", "change", "shut.test", "--disable"), ("domain", "change", "shut.test", "--enable")),
    ):
        cli(*shut)
        node.wait_until("shut", lambda: not accepted(node, "bob@shut.test", GOOD), timeout=1.5, every=0.1)
        cli(*opened)
        node.wait_until("open", lambda: accepted(node, "bob@shut.test", GOOD), timeout=3, every=0.1)


def test_an_international_domain_works_in_both_spellings(node: Node, ca_file: Path, cli: Cli) -> None:
    made = cli("domain", "create", "样本.测试", "--json")
    assert made["name"] == "xn--8pv1w.xn--0zwm56d"
    box = cli("mailbox", "create", "zhang@样本.测试", "--password-stdin", "--name", "张伟", "--json", stdin=f"{GOOD}\n")
    assert (box["address"], box["name"]) == ("zhang@xn--8pv1w.xn--0zwm56d", "张伟")
    assert login(node, ca_file, "zhang@xn--8pv1w.xn--0zwm56d", GOOD)
    assert [found["id"] for found in cli("mailbox", "search", "张", "--json")] == [box["id"]]
    assert "zhang@样本.测试" in cli("mailbox", "show", box["address"])


@pytest.mark.parametrize("scheme", passwords.SCHEMES)
def test_dovecot_accepts_every_scheme_that_we_import(
    node: Node, ca_file: Path, cli: Cli, alice: str, scheme: str
) -> None:
    made = node.run("doveadm", "pw", "-s", scheme, input=f"{OTHER}\n{OTHER}\n").stdout.strip().splitlines()[-1]
    made = made[made.index("{") :]
    cli("mailbox", "password", alice, "--password-hash-stdin", stdin=f"{made}\n")
    node.wait_until("the imported hash counts", lambda: accepted(node, alice, OTHER), timeout=3, every=0.1)


def test_a_deleted_mailbox_comes_back_with_its_mail(node: Node, ca_file: Path, cli: Cli, alice: str) -> None:
    box = cli("mailbox", "show", alice, "--json")
    context = ssl.create_default_context(cafile=str(ca_file))
    context.check_hostname = False
    with imaplib.IMAP4_SSL(node.address, ssl_context=context, timeout=20) as client:
        client.login(alice, GOOD)
        client.append("INBOX", "", "", b"Subject: kept\r\n\r\nkept\r\n")
    gone = cli("mailbox", "delete", alice, "--json")
    assert (gone["id"], gone["status"]) == (box["id"], "deleted")
    node.wait_until("gone", lambda: not accepted(node, alice, GOOD), timeout=1.5, every=0.1)
    assert cli("mailbox", "list", "--deleted", "--domain", DOMAIN, "--json")[0]["id"] == box["id"]
    cli("mailbox", "restore", alice)
    node.wait_until("back", lambda: accepted(node, alice, GOOD), timeout=3, every=0.1)
    with imaplib.IMAP4_SSL(node.address, ssl_context=context, timeout=20) as client:
        client.login(alice, GOOD)
        assert client.select("INBOX")[1] == [b"1"]
    home = f"/srv/posthouse/mail/{box['path']}"
    cli("mailbox", "delete", alice)
    assert refused(node, "mailbox", "purge", alice)[0] == 2, "nobody is there to confirm"
    assert cli("mailbox", "purge", alice, "--yes", "--json")[0]["id"] == box["id"]
    assert node.run("test", "-e", home, check=False).returncode == 1
    assert refused(node, "mailbox", "restore", alice)[0] == 3


def test_a_renamed_mailbox_logs_in_by_its_new_name_and_keeps_an_alias(
    node: Node, ca_file: Path, cli: Cli, alice: str
) -> None:
    cli("mailbox", "rename", alice, f"liddell@{DOMAIN}", "--keep-alias")
    node.wait_until("new name", lambda: accepted(node, f"liddell@{DOMAIN}", GOOD), timeout=3, every=0.1)
    node.wait_until("old name", lambda: not accepted(node, alice, GOOD), timeout=1.5, every=0.1)
    assert cli("alias", "show", alice, "--json")["targets"] == [f"liddell@{DOMAIN}"]


def test_many_mailboxes_come_from_a_file(node: Node, ca_file: Path, cli: Cli) -> None:
    lines = ["address,name,password,quota", *(f"bulk{n}@{DOMAIN},Bulk {n},{GOOD},1G" for n in range(5))]
    lines += [f"root@{DOMAIN},,{GOOD},", f"bulk0@{DOMAIN},,{GOOD},", f"weak@{DOMAIN},,password,"]
    node.run("tee", "/root/bulk.csv", input="\n".join(lines) + "\n")
    said = node.run("posthouse", "mailbox", "import", "/root/bulk.csv", "--json", check=False)
    outcome = json.loads(said.stdout)
    assert said.returncode == 2
    assert outcome["created"] == 5
    assert [row["line"] for row in outcome["refused"]] == [7, 8, 9]
    assert GOOD not in said.stdout + said.stderr
    assert login(node, ca_file, f"bulk4@{DOMAIN}", GOOD)


def test_a_refusal_names_the_field_and_has_its_own_exit_code(node: Node, cli: Cli, alice: str) -> None:
    cases: list[tuple[tuple[str, ...], str, int, str]] = [
        (("mailbox", "create", "a/b@directory.test", "--password-stdin"), GOOD, 2, "address:"),
        (("mailbox", "create", f"x@{DOMAIN}", "--password-stdin"), "password", 2, "password:"),
        (("mailbox", "create", f"x@{DOMAIN}", "--password-stdin"), "", 2, "password:"),
        (("mailbox", "create", f"x@{DOMAIN}", "--no-password", "--quota", "much"), "", 2, "quota:"),
        (("mailbox", "create", f"x@{DOMAIN}", "--no-password", "--name", "a\u202eb"), "", 2, "name:"),
        (("mailbox", "create", "x@nowhere.test", "--no-password"), "", 3, "nowhere.test"),
        (("mailbox", "create", alice, "--no-password"), "", 4, alice),
        (("mailbox", "show", f"nobody@{DOMAIN}"), "", 3, "nobody"),
        (("domain", "create", DOMAIN), "", 4, DOMAIN),
        (("domain", "create", "a" * 65536), "", 2, "domain:"),
        (("domain", "delete", DOMAIN), "", 1, "--recursive"),
        (("alias", "create", f"self@{DOMAIN}", f"self@{DOMAIN}"), "", 2, "target:"),
        (("mailbox", "search", "*" * 300), "", 2, "term:"),
    ]
    for arguments, stdin, code, words in cases:
        told = refused(node, *arguments, stdin=stdin and f"{stdin}\n")
        assert told[0] == code, told
        assert words in told[1]
        assert "Traceback" not in told[1]
    assert refused(node, "mailbox", "show", f"x@{DOMAIN}")[0] == 3, "nothing half-made"


def test_nobody_but_root_administers_the_directory(node: Node, cli: Cli) -> None:
    said = node.run("runuser", "-u", "nobody", "--", "posthouse", "domain", "list", "--json", check=False)
    assert said.stdout.strip() in {"", "[]"}
    made = node.run("runuser", "-u", "nobody", "--", "posthouse", "domain", "create", "stolen.test", check=False)
    assert made.returncode != 0
    assert "Traceback" not in made.stderr
    assert "stolen.test" not in cli("domain", "list")


def test_slapd_killed_comes_back_by_itself_and_runs_unprivileged(node: Node, cli: Cli) -> None:
    node.run("systemctl", "kill", "--signal=KILL", "posthouse-slapd@local.service")
    node.wait_until(
        "slapd answers again",
        lambda: node.run("posthouse", "domain", "show", DOMAIN, check=False).returncode == 0,
        timeout=20,
        every=0.3,
    )
    main = node.run("systemctl", "show", "-P", "MainPID", "posthouse-slapd@local.service").stdout.strip()
    status = node.run("cat", f"/proc/{main}/status").stdout
    assert node.run("stat", "-c", "%U", f"/proc/{main}").stdout.strip() == "openldap"
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
