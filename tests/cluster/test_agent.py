"""The agent in charge of real engines: settings, crashes, hangs, and what it never touches."""

from __future__ import annotations

import contextlib
import imaplib
import json
import smtplib
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.lab import Lab, Node
from tests.lab.appliance import create_domain, create_mailbox, initialise, status, wait_healthy

PASSWORD = "correct-horse-battery-9"
ALICE = "alice@agent.test"
POSTFIX = "posthouse-postfix@mail.service"
DOVECOT = "posthouse-dovecot@mail.service"
SLAPD = "posthouse-slapd@local.service"
AGENT = "posthouse-agent.service"
KEEPER = "posthouse-keeper.service"


@pytest.fixture(scope="module")
def agent_node(lab: Lab) -> Iterator[Node]:
    """A node of this module's own: its services are killed, frozen and misconfigured."""
    made = lab.node("agent").boot()
    try:
        initialise(made)
        create_domain(made, "agent.test")
        create_mailbox(made, ALICE, PASSWORD)
        yield made
    finally:
        lab.remove_node(made)


def main_pid(node: Node, unit: str) -> str:
    return node.run("systemctl", "show", "--property=MainPID", "--value", unit).stdout.strip()


def instance(node: Node, name: str) -> dict[str, Any]:
    return next((row for row in status(node).get("instances", []) if row["instance"] == name), {})


def posthouse(node: Node, *words: str, check: bool = True) -> str:
    done = node.run("posthouse", *words, check=check)
    return done.stdout + done.stderr


def ehlo_size(node: Node) -> str:
    with smtplib.SMTP(node.address, 25, timeout=10) as session:
        session.ehlo("client.test")
        return session.esmtp_features.get("size", "")


def imap(node: Node) -> imaplib.IMAP4_SSL:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return imaplib.IMAP4_SSL(node.address, ssl_context=context, timeout=10)


def may_log_in(node: Node) -> bool:
    try:
        with imap(node) as session:
            session.login(ALICE, PASSWORD)
    except (imaplib.IMAP4.error, OSError):
        return False
    return True


def took(action: Callable[[], object], reached: Callable[[], object], node: Node) -> float:
    """Seconds from the end of `action` until `reached`."""
    action()
    began = time.monotonic()
    node.wait_until("the change counts", reached, timeout=10, every=0.02)
    return time.monotonic() - began


def test_a_setting_reaches_the_engine_without_a_restart(agent_node: Node) -> None:
    before = main_pid(agent_node, POSTFIX)
    posthouse(agent_node, "settings", "set", "smtp.message_size_limit", "7M")
    agent_node.wait_until("SIZE is announced", lambda: ehlo_size(agent_node) == str(7 * 1024 * 1024))
    posthouse(agent_node, "settings", "reset", "smtp.message_size_limit")
    agent_node.wait_until("SIZE is back", lambda: ehlo_size(agent_node) != str(7 * 1024 * 1024))
    assert main_pid(agent_node, POSTFIX) == before


def test_a_bad_setting_is_refused_before_it_is_stored(agent_node: Node) -> None:
    said = agent_node.run("posthouse", "settings", "set", "smtp.message_size_limit", "-5", check=False)
    assert said.returncode == 2
    assert "smtp.message_size_limit" in said.stderr


def test_what_the_engines_checker_refuses_leaves_the_running_one_alone_and_is_told(agent_node: Node) -> None:
    before = main_pid(agent_node, DOVECOT)
    key = "/etc/posthouse/pki/mail.key"
    agent_node.run("sh", "-c", f"cp --preserve=all -P {key} {key}.kept && rm {key} && echo nonsense > {key}")
    try:
        agent_node.wait_until("the refusal is told", lambda: instance(agent_node, "dovecot@mail").get("refused"))
        assert may_log_in(agent_node)
        assert main_pid(agent_node, DOVECOT) == before
        assert "mail.key" in posthouse(agent_node, "status", check=False)
    finally:
        agent_node.run("mv", f"{key}.kept", key)
    wait_healthy(agent_node)
    assert main_pid(agent_node, DOVECOT) == before


def test_a_new_certificate_is_presented_without_a_restart(agent_node: Node) -> None:
    def presented() -> str:
        return ssl.get_server_certificate((agent_node.address, 993), timeout=5)

    old = presented()
    posthouse(agent_node, "tls", "issue")
    agent_node.wait_until("the new certificate is presented", lambda: presented() != old)
    wait_healthy(agent_node)


def test_a_stored_value_that_no_longer_parses_is_passed_over_and_told(agent_node: Node) -> None:
    agent_node.run(
        "sh", "-c",
        "ETCDCTL_API=3 etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/posthouse/pki/ca.crt "
        "--cert=/etc/posthouse/pki/node.crt --key=/etc/posthouse/pki/node.key "
        "put /posthouse/v1/desired/settings/system/-/smtp.message_size_limit '\"a lot\"'",
    )  # fmt: skip
    try:
        agent_node.wait_until(
            "it is told", lambda: "smtp.message_size_limit" in posthouse(agent_node, "status", check=False)
        )
        assert ehlo_size(agent_node) == str(50 * 1024 * 1024)
    finally:
        posthouse(agent_node, "settings", "reset", "smtp.message_size_limit")
    wait_healthy(agent_node)


@pytest.mark.parametrize(("unit", "port"), [(POSTFIX, 25), (DOVECOT, 143)])
def test_a_killed_engine_answers_again_within_seconds(agent_node: Node, unit: str, port: int) -> None:
    before = main_pid(agent_node, unit)
    agent_node.run("systemctl", "kill", "--signal=SIGKILL", "--kill-who=all", unit)
    agent_node.wait_until("another process serves", lambda: main_pid(agent_node, unit) not in ("0", before))
    wait_healthy(agent_node)


@pytest.mark.timeout(240)
def test_a_hung_engine_is_noticed_by_its_probe_and_restarted(agent_node: Node) -> None:
    before = main_pid(agent_node, DOVECOT)
    posthouse(agent_node, "settings", "set", "agent.probe_interval", "2s")
    try:
        agent_node.run("systemctl", "kill", "--signal=SIGSTOP", "--kill-who=all", DOVECOT)
        agent_node.wait_until(
            "the hung one is replaced", lambda: main_pid(agent_node, DOVECOT) not in ("0", before), timeout=120
        )
        wait_healthy(agent_node)
        assert may_log_in(agent_node)
    finally:
        posthouse(agent_node, "settings", "reset", "agent.probe_interval")


@pytest.mark.timeout(240)
def test_a_hung_directory_is_restarted_and_dovecot_that_waits_for_it_is_not(agent_node: Node) -> None:
    wait_healthy(agent_node)
    before = {unit: main_pid(agent_node, unit) for unit in (SLAPD, DOVECOT, POSTFIX)}
    posthouse(agent_node, "settings", "set", "agent.probe_interval", "3s")
    try:
        agent_node.run("kill", "-STOP", before[SLAPD])
        agent_node.wait_until(
            "the hung directory is replaced",
            lambda: main_pid(agent_node, SLAPD) not in ("0", before[SLAPD]),
            timeout=90,
        )
        agent_node.wait_until("people log in again", lambda: may_log_in(agent_node), timeout=60)
        wait_healthy(agent_node)
    finally:
        posthouse(agent_node, "settings", "reset", "agent.probe_interval", check=False)
    assert main_pid(agent_node, SLAPD) != before[SLAPD]
    assert {unit: main_pid(agent_node, unit) for unit in (DOVECOT, POSTFIX)} == {
        unit: before[unit] for unit in (DOVECOT, POSTFIX)
    }


@pytest.mark.timeout(240)
def test_a_volume_that_fills_up_is_told_before_and_when_mail_is_refused(agent_node: Node) -> None:
    wait_healthy(agent_node)
    volume, kept = "/srv/posthouse/mail", "/root/kept"
    for engine in ("postfix@mail", "dovecot@mail"):
        posthouse(agent_node, "service", "stop", engine)
    agent_node.run("sh", "-c", f"cp -a {volume} {kept} && mount -t tmpfs -o size=400m,mode=755 tmpfs {volume}"
                   f" && cp -a {kept}/. {volume}/")  # fmt: skip
    try:
        for engine in ("dovecot@mail", "postfix@mail"):
            posthouse(agent_node, "service", "start", engine)
        wait_healthy(agent_node)

        def told(key: str) -> bool:  # of this volume: the disk below the node may be half full too
            warnings = status(agent_node).get("warnings", [])
            return any(each["key"] == key and each["facts"].get("path") == volume for each in warnings)

        posthouse(agent_node, "settings", "set", "agent.disk_warning_percent", "50")
        agent_node.run("fallocate", "-l", "220M", f"{volume}/filler")
        agent_node.wait_until("a warning is told", lambda: told("disk-warning"), timeout=45)
        assert status(agent_node)["healthy"] is True
        agent_node.run("fallocate", "-l", "340M", f"{volume}/filler")
        agent_node.wait_until("refused mail is told", lambda: told("disk-refusing"), timeout=45)
        assert status(agent_node)["healthy"] is False
        assert volume in posthouse(agent_node, "status", check=False)
        agent_node.run("rm", f"{volume}/filler")
        wait_healthy(agent_node)
        agent_node.wait_until("the warning is gone", lambda: not told("disk-warning"), timeout=45)
    finally:
        posthouse(agent_node, "settings", "reset", "agent.disk_warning_percent", check=False)
        for engine in ("postfix@mail", "dovecot@mail"):
            posthouse(agent_node, "service", "stop", engine, check=False)
        agent_node.run("umount", volume)
        for engine in ("dovecot@mail", "postfix@mail"):
            posthouse(agent_node, "service", "start", engine, check=False)
    wait_healthy(agent_node)


@pytest.mark.timeout(120)
def test_a_broken_node_file_ends_the_agent_once_and_mail_goes_on(agent_node: Node) -> None:
    wait_healthy(agent_node)
    before = {unit: main_pid(agent_node, unit) for unit in (POSTFIX, DOVECOT)}
    file = "/etc/posthouse/node.yaml"
    agent_node.run("sh", "-c", f"cp -p {file} {file}.kept && echo 'name: [' > {file}")
    try:
        agent_node.run("systemctl", "restart", AGENT, check=False)
        agent_node.wait_until("it has ended", lambda: _property(agent_node, "ActiveState") == "failed")
        assert _property(agent_node, "ExecMainStatus") == "78"
        assert _property(agent_node, "NRestarts") == "0"
        assert file in posthouse(agent_node, "status", check=False)
        assert may_log_in(agent_node)
    finally:
        agent_node.run("sh", "-c", f"[ ! -e {file}.kept ] || mv {file}.kept {file}")
        agent_node.run("systemctl", "restart", KEEPER, AGENT)
    wait_healthy(agent_node)
    assert {unit: main_pid(agent_node, unit) for unit in before} == before


def _property(node: Node, name: str) -> str:
    return node.run("systemctl", "show", f"--property={name}", "--value", AGENT).stdout.strip()


def test_everybody_may_read_the_state_and_only_root_the_log_lines(agent_node: Node) -> None:
    wait_healthy(agent_node)
    modes = agent_node.run("stat", "-c", "%a", "/run/posthouse/status.json", "/run/posthouse/status-full.json").stdout
    assert modes.split() == ["644", "600"]
    said = agent_node.run("setpriv", "--reuid=nobody", "--clear-groups", "posthouse", "status", "--json", check=False)
    assert json.loads(said.stdout)["healthy"] is True


def test_the_agents_journal_holds_no_warnings_of_postfix_trials(agent_node: Node) -> None:
    wait_healthy(agent_node)
    lines = agent_node.run("journalctl", "--unit", AGENT, "--no-pager", "--output=cat").stdout
    assert "tlsmgr" not in lines
    assert "are not told to" not in lines, "doveadm ended well for every change of an account"


@pytest.mark.timeout(240)
def test_a_service_that_cannot_stay_up_is_reported_as_failed_with_its_last_lines(agent_node: Node) -> None:
    drop_in = "/run/systemd/system/posthouse-dovecot@mail.service.d"
    agent_node.run(
        "sh", "-c",
        f"mkdir -p {drop_in} && printf '[Service]\\nExecStart=\\nExecStart=/bin/sh -c \"echo no luck; exit 9\"\\n'"
        f" > {drop_in}/broken.conf && systemctl daemon-reload && systemctl kill -s KILL {DOVECOT}",
    )  # fmt: skip
    try:
        agent_node.wait_until(
            "it is reported as failed",
            lambda: instance(agent_node, "dovecot@mail").get("state") == "failed",
            timeout=120,
        )
        assert "no luck" in "\n".join(instance(agent_node, "dovecot@mail")["last_log"])
        assert status(agent_node)["healthy"] is False
    finally:
        agent_node.run("sh", "-c", f"rm -r {drop_in} && systemctl daemon-reload")
    posthouse(agent_node, "service", "restart", "dovecot@mail")
    wait_healthy(agent_node)


def test_restarting_agent_and_keeper_never_touches_running_mail(agent_node: Node) -> None:
    wait_healthy(agent_node)
    before = {unit: main_pid(agent_node, unit) for unit in (POSTFIX, DOVECOT)}
    session = imap(agent_node)
    session.login(ALICE, PASSWORD)
    agent_node.run("systemctl", "restart", AGENT, KEEPER)
    agent_node.wait_until("the agent reports again", lambda: status(agent_node).get("fresh"))
    wait_healthy(agent_node)
    assert session.noop()[0] == "OK"
    assert {unit: main_pid(agent_node, unit) for unit in before} == before
    session.logout()


def test_a_unit_does_not_start_for_a_group_that_the_node_does_not_own(agent_node: Node) -> None:
    agent_node.run("systemctl", "start", "posthouse-dovecot@elsewhere.service", check=False)
    assert not agent_node.active("posthouse-dovecot@elsewhere.service")


@pytest.mark.timeout(120)
def test_mail_goes_on_while_the_store_is_down_and_changes_wait_for_it(agent_node: Node) -> None:
    agent_node.run("systemctl", "mask", "--runtime", "--now", "posthouse-etcd@local.service")
    try:
        agent_node.wait_until("the loss is told", lambda: status(agent_node).get("store_connected") is False)
        agent_node.run("sleep", "7")  # longer than the deadline at which a shared group would be dropped
        assert may_log_in(agent_node)
        assert ehlo_size(agent_node)
        refused = agent_node.run("posthouse", "settings", "set", "smtp.message_size_limit", "9M", check=False)
        assert refused.returncode == 75
    finally:
        agent_node.run("systemctl", "unmask", "--runtime", "posthouse-etcd@local.service")
    wait_healthy(agent_node)


@pytest.mark.timeout(120)
def test_a_group_record_that_turned_to_garbage_is_told_and_the_group_looked_after_all_the_same(
    agent_node: Node,
) -> None:
    key = "/posthouse/v1/desired/groups/mail"
    etcdctl = (
        "ETCDCTL_API=3 etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/posthouse/pki/ca.crt "
        "--cert=/etc/posthouse/pki/node.crt --key=/etc/posthouse/pki/node.key"
    )
    good = agent_node.run("sh", "-c", f"{etcdctl} get --print-value-only {key}").stdout.strip()
    agent_node.run("sh", "-c", f"{etcdctl} put {key} garbage")
    try:
        agent_node.wait_until("it is told", lambda: key in posthouse(agent_node, "status", check=False))
        before = main_pid(agent_node, DOVECOT)
        agent_node.run("systemctl", "stop", DOVECOT)
        agent_node.wait_until("it is started again", lambda: main_pid(agent_node, DOVECOT) not in ("0", before))
    finally:
        agent_node.run("sh", "-c", f"{etcdctl} put {key} '{good}'")
    wait_healthy(agent_node)


def test_disabling_and_a_new_password_count_within_a_second(agent_node: Node) -> None:
    assert may_log_in(agent_node)
    with _left_open(imap(agent_node)) as open_session:
        open_session.login(ALICE, PASSWORD)
        disabled = took(
            lambda: posthouse(agent_node, "mailbox", "disable", ALICE), lambda: not may_log_in(agent_node), agent_node
        )
        agent_node.wait_until("the open session is ended", lambda: _is_over(open_session), timeout=10)
    enabled = took(
        lambda: posthouse(agent_node, "mailbox", "enable", ALICE), lambda: may_log_in(agent_node), agent_node
    )
    print(f"\ndisabled after {disabled:.2f} s, enabled after {enabled:.2f} s")


@contextlib.contextmanager
def _left_open(session: imaplib.IMAP4_SSL) -> Iterator[imaplib.IMAP4_SSL]:
    """A session that the server may end: closed here without a LOGOUT."""
    try:
        yield session
    finally:
        session.shutdown()


def _is_over(session: imaplib.IMAP4_SSL) -> bool:
    try:
        return session.noop()[0] != "OK"
    except (imaplib.IMAP4.error, OSError):
        return True


def test_a_restart_is_asked_for_once_and_done_once(agent_node: Node) -> None:
    wait_healthy(agent_node)
    before = main_pid(agent_node, POSTFIX)
    posthouse(agent_node, "service", "restart", "postfix@mail")
    after = main_pid(agent_node, POSTFIX)
    assert after != before
    agent_node.run("systemctl", "restart", AGENT)
    agent_node.wait_until("the agent reports again", lambda: status(agent_node).get("fresh"))
    wait_healthy(agent_node)
    assert main_pid(agent_node, POSTFIX) == after


def test_init_again_changes_nothing(agent_node: Node) -> None:
    said = json.loads(agent_node.run("posthouse", "init", "--hostname", agent_node.hostname, "--yes", "--json").stdout)
    assert said["changed"] is False
    other = agent_node.run("posthouse", "init", "--hostname", "other.example.com", "--yes", check=False)
    assert other.returncode == 2
