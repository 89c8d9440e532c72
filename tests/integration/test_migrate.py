"""Coming from elsewhere, on a real node: mail from Maildir, mbox, trees and another IMAP server."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.migration.mail import wire
from tests.integration.foreign_mail import (
    BASE,
    CHINESE,
    IMAP,
    IMAPS,
    SECRET,
    ForeignServer,
    Seen,
    contents,
    foreign_server,
    message,
    posthouse,
    refused,
    snapshot,
    write,
)
from tests.integration.mail_clients import Account, MailNode, mail_node
from tests.lab import Node

#: Folders that every mailbox gets when it is first opened.
AUTOMATIC = {"INBOX", "Drafts", "Sent", "Junk", "Trash"}


@pytest.fixture(scope="module")
def mail(node: Node, ca_file: Path) -> Iterator[MailNode]:
    with mail_node(node, ca_file, "migrate.test") as made:
        yield made


@pytest.fixture(scope="module")
def foreign(node: Node) -> Iterator[ForeignServer]:
    with foreign_server(node) as made:
        yield made


def here(mail: MailNode, account: Account) -> dict[str, list[Seen]]:
    """What the mailbox holds."""
    with mail.imap(account) as client:
        return snapshot(client)


def without_empty(seen: dict[str, list[Seen]]) -> dict[str, list[Seen]]:
    return {folder: sorted(messages) for folder, messages in seen.items() if messages}


def uids(seen: dict[str, list[Seen]]) -> dict[str, list[int]]:
    return {folder: [each.uid for each in messages] for folder, messages in seen.items() if messages}


def from_imap(*more: str) -> list[str]:
    return ["imap", "--server", "localhost", "--port", str(IMAPS), "--ca", f"{BASE}/cert.pem", *more]


def everything(node: Node, path: str) -> str:
    """What there is to know of a tree and its files, but when folders were last looked into."""
    files = node.run("find", path, "-type", "f", "-printf", "%p %s %T@ %C@ %A@ %m %i %u\n").stdout
    return files + node.run("find", path, "-not", "-type", "f", "-printf", "%p %T@ %C@ %m %i %u\n").stdout


# -- Maildir -----------------------------------------------------------------------------------------------------


def test_a_maildir_comes_byte_for_byte_with_flags_dates_folders_and_uids(
    mail: MailNode, foreign: ForeignServer
) -> None:
    foreign.account("ann")
    for folder, numbers in (("INBOX", range(24)), (CHINESE, range(30, 46)), ("50%off", range(3)), ("空", range(0))):
        foreign.fill("ann", folder, numbers)
    before = foreign.snapshot("ann")
    source = f"{BASE}/home/ann/Maildir"
    files = everything(mail.node, source)
    account = mail.mailbox()
    report = posthouse(mail.node, "maildir", source, account.address)
    assert report[0]["complete"]
    assert report[0]["messages"] == 43
    # The foreign server escapes what its layout cannot hold; whoever reads its files alone cannot know.
    after = {name.replace("\\2e", "."): messages for name, messages in here(mail, account).items()}
    assert without_empty(after) == without_empty(before)
    assert uids(after) == uids(before)
    assert "空" in after
    assert everything(mail.node, source) == files
    again = posthouse(mail.node, "maildir", source, account.address)
    assert isinstance(again, list)
    assert again[0]["messages"] == 0
    assert {name.replace("\\2e", "."): found for name, found in here(mail, account).items()} == after


def test_what_is_in_the_mailbox_stays_as_it_is_and_only_new_mail_follows(
    mail: MailNode, foreign: ForeignServer
) -> None:
    foreign.account("bea")
    foreign.fill("bea", "INBOX", range(5))
    account = mail.mailbox()
    with mail.imap(account) as client:
        client.append("INBOX", "(\\Flagged)", "", message(99))
        client.append("INBOX", "", "", message(98))
    own = here(mail, account)["INBOX"]
    source = f"{BASE}/home/bea/Maildir"
    posthouse(mail.node, "maildir", source, account.address)
    after = here(mail, account)["INBOX"]
    assert after[:2] == own
    assert [each.uid for each in after[:2]] == [each.uid for each in own]
    assert Counter(each.digest for each in after[2:]) == contents(foreign.snapshot("bea"))["INBOX"]
    with mail.imap(account) as client:
        client.select("INBOX")
        client.store("3", "+FLAGS", "(\\Deleted)")
        client.expunge()
    foreign.fill("bea", "INBOX", range(10, 12))
    report = posthouse(mail.node, "maildir", source, account.address)
    assert report[0]["messages"] == 2
    assert len(here(mail, account)["INBOX"]) == 2 + 5 - 1 + 2


def test_links_are_left_out_and_our_own_volume_is_no_source(mail: MailNode, foreign: ForeignServer) -> None:
    foreign.account("eve")
    foreign.fill("eve", "INBOX", range(2))
    source = f"{BASE}/home/eve/Maildir"
    mail.node.run("ln", "-s", "/etc/shadow", f"{source}/cur/1.evil:2,S")
    mail.node.run("ln", "-s", "/srv/posthouse/mail", f"{source}/.Evil")
    account = mail.mailbox()
    status, said = refused(mail.node, "maildir", source, account.address)
    assert status == 1
    assert said.count("symbolic link") == 2
    assert {folder for folder, found in here(mail, account).items() if found} == {"INBOX"}
    for path in ("/srv/posthouse/mail", f"{source}/.Evil", "/"):
        status, said = refused(mail.node, "maildir", path, account.address)
        assert status == 2
        assert said.startswith("posthouse: path: ")


def test_a_mailbox_over_its_quota_gets_its_mail_and_a_warning(mail: MailNode, foreign: ForeignServer) -> None:
    foreign.account("quo")
    foreign.fill("quo", "INBOX", range(7, 40, 8))
    account = mail.mailbox(quota="40K")
    report = posthouse(mail.node, "maildir", f"{BASE}/home/quo/Maildir", account.address)
    assert [note["key"] for note in report[0]["notes"]] == ["migrate-over-quota"]
    assert len(here(mail, account)["INBOX"]) == 5


# -- mbox and trees ----------------------------------------------------------------------------------------------


def mbox(*messages: bytes) -> bytes:
    separator = b"From a@example.net Mon Jan  1 10:00:00 2024\n"
    return b"".join(separator + each.replace(b"\r\n", b"\n") + b"\n\n" for each in messages)


def test_mbox_files_come_with_equal_and_nameless_messages_and_stay_unchanged(mail: MailNode) -> None:
    plain = [message(number, charset) for number, charset in enumerate(("gb2312", "big5", "hz-gb-2312"))]
    same, other = b"Subject: same\r\n\r\nsame", b"Subject: same\r\n\r\nbut another body"
    data = mbox(*plain, same, same, other)
    flagged = data.replace(b"Subject: same\n\nbut", b"Subject: same\nStatus: RO\nX-Status: AF\n\nbut")
    path = write(mail.node, "/root/migrate/mbox/inbox", flagged)
    write(mail.node, "/root/migrate/mbox/旧/二〇〇三", mbox(plain[0]))
    account = mail.mailbox()
    for brought in (7, 0):
        (report,) = posthouse(mail.node, "mbox", "/root/migrate/mbox", account.address)
        assert report["messages"] == brought
    assert (mail.node.root / path.lstrip("/")).read_bytes() == flagged
    assert Counter(mail.messages(account)) == Counter(each + b"\r\n" for each in [*plain, same, same, other])
    after = here(mail, account)
    assert {each.arrived.split(" ")[0] for each in after["INBOX"]} == {"01-Jan-2024"}
    assert [each.flags for each in after["INBOX"] if each.flags] == [("\\Answered", "\\Flagged", "\\Seen")]
    assert len(after["旧/二〇〇三"]) == 1
    posthouse(mail.node, "mbox", path, account.address, "--folder", "档案/旧信")
    assert len(here(mail, account)["档案/旧信"]) == 6


def test_a_tree_brings_many_mailboxes_and_names_those_that_are_unknown_here(
    mail: MailNode, foreign: ForeignServer
) -> None:
    accounts = [mail.mailbox() for _ in range(3)]
    tree = f"{BASE}/tree/{mail.domain}"
    mail.node.run("mkdir", "-p", tree)
    for account in accounts:
        foreign.account(account.local)
        foreign.fill(account.local, "INBOX", range(6))
        foreign.fill(account.local, "Sent", range(6, 8))
        mail.node.run("cp", "-a", f"{BASE}/home/{account.local}", tree)
    arguments = ("tree", f"{BASE}/tree", "--layout", "maildir:{domain}/{local}/Maildir", "--parallel", "2")
    report = posthouse(mail.node, *arguments)
    assert [(each["complete"], each["messages"]) for each in report] == [(True, 8)] * 3
    for account in accounts:
        assert without_empty(here(mail, account)) == without_empty(foreign.snapshot(account.local))
    mail.node.run("cp", "-a", f"{BASE}/home/{accounts[0].local}", f"{tree}/nobody")
    status, said = refused(mail.node, *arguments)
    assert status == 1
    assert f"nobody@{mail.domain}: not complete" in said


# -- another IMAP server -----------------------------------------------------------------------------------------


def test_a_mailbox_comes_from_another_server_and_stays_in_step_until_the_move(
    mail: MailNode, foreign: ForeignServer
) -> None:
    foreign.account("cem")
    for folder, numbers in (("INBOX", range(24)), (CHINESE, range(30, 46)), ("50%off", range(3)), ("空", range(0))):
        foreign.fill("cem", folder, numbers)
    before = foreign.snapshot("cem")
    account = mail.mailbox()
    arguments = from_imap("--user", "cem", "--password-stdin", account.address)
    report = posthouse(mail.node, *arguments, input=SECRET + "\n")
    assert report[0]["messages"] == 43
    after = here(mail, account)
    assert without_empty(after) == without_empty(before)
    assert uids(after) == uids(before)
    assert set(before) <= set(after) <= set(before) | AUTOMATIC
    assert foreign.snapshot("cem") == before
    foreign.fill("cem", "INBOX", range(50, 53))
    foreign.fill("cem", "50%off", range(53, 54))
    with mail.imap(account) as client:
        client.append("INBOX", "", "", message(99))
    report = posthouse(mail.node, *arguments, input=SECRET + "\n")
    assert report[0]["messages"] == 4
    expected = contents(foreign.snapshot("cem"))
    own = Counter([wire.digest(message(99))])
    assert contents(here(mail, account)) == {**expected, "INBOX": expected["INBOX"] + own}


def test_starttls_and_a_connection_without_tls_work_when_asked_for(mail: MailNode, foreign: ForeignServer) -> None:
    foreign.account("fay")
    foreign.fill("fay", "INBOX", range(3))
    for options in (["--tls", "starttls", "--ca", f"{BASE}/cert.pem"], ["--tls", "none", "--insecure"]):
        account = mail.mailbox()
        server = ["imap", "--server", "localhost", "--port", str(IMAP), *options]
        posthouse(mail.node, *server, "--user", "fay", "--password-stdin", account.address, input=SECRET + "\n")
        assert len(here(mail, account)["INBOX"]) == 3


def test_a_list_of_mailboxes_comes_in_one_go(mail: MailNode, foreign: ForeignServer) -> None:
    accounts = {user: mail.mailbox() for user in ("gus", "hua", "ivo")}
    lines = ["user;password;address"]
    for user, account in accounts.items():
        foreign.account(user)
        foreign.fill(user, "INBOX", range(6))
        lines.append(f'{user};"{SECRET.replace(chr(34), chr(34) * 2)}";{account.address}')
    file = write(mail.node, "/root/migrate/list.csv", "\n".join(lines).encode())
    report = posthouse(mail.node, *from_imap("--accounts", file, "--parallel", "3"))
    assert [(each["complete"], each["messages"]) for each in report] == [(True, 6)] * 3
    for user, account in accounts.items():
        assert without_empty(here(mail, account)) == without_empty(foreign.snapshot(user))
    write(mail.node, "/root/migrate/list.csv", "\n".join([*lines, "hua;;", "gus;x;nobody@migrate.test"]).encode())
    status, said = refused(mail.node, *from_imap("--accounts", file))
    assert status == 1
    assert "Line 5 of the list: password: it is empty" in said
    assert "nobody@migrate.test" in said


def test_passwords_are_neither_arguments_nor_logged_nor_left_behind(mail: MailNode, foreign: ForeignServer) -> None:
    secret = "nobody-may-see-this-1"
    foreign.account("jan", secret)
    foreign.fill("jan", "INBOX", range(60), secret)
    account = mail.mailbox()
    process = begin(mail.node, from_imap("--user", "jan", "--password-stdin", account.address), secret)
    seen: set[str] = set()
    while process.poll() is None:
        seen |= set(mail.node.run("ps", "-eww", "-o", "args").stdout.splitlines())
    process.communicate()
    assert process.returncode == 0
    assert any("backup -R" in line for line in seen)
    assert not any(secret in line for line in seen)
    assert secret not in mail.node.journal()
    assert not list((mail.node.root / "run/posthouse/migration").glob("*"))


def begin(node: Node, arguments: list[str], password: str) -> subprocess.Popen[str]:
    """Start `posthouse migrate …`; its process id stands in a file of the node."""
    script = 'echo $$ >/run/migrate.pid; exec posthouse migrate "$@"'
    process = node.popen("sh", "-c", script, "migrate", *arguments, stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(password + "\n")
    process.stdin.flush()
    return process


# -- interruption ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["maildir", "imap"])
def test_a_run_that_is_killed_is_continued_without_loss_or_duplicates(
    mail: MailNode, foreign: ForeignServer, kind: str
) -> None:
    user = f"kim-{kind}"
    foreign.account(user)
    for folder, numbers in (("INBOX", range(250)), (CHINESE, range(250, 400)), ("Sent", range(400, 450))):
        foreign.fill(user, folder, numbers)
    account = mail.mailbox()
    with mail.imap(account) as client:
        client.append("INBOX", "", "", message(999))
    source = [kind, f"{BASE}/home/{user}/Maildir", account.address]
    if kind == "imap":
        source = from_imap("--user", user, "--password-stdin", account.address)
    killed = 0
    for moment in range(10):
        process = begin(mail.node, source, SECRET)
        try:
            process.communicate(timeout=0.3 + moment * 0.05)
            break
        except subprocess.TimeoutExpired:
            mail.node.run("sh", "-c", "kill -KILL $(cat /run/migrate.pid)")
            process.communicate()
            killed += 1
    assert killed >= 2
    posthouse(mail.node, *source, input=SECRET + "\n")
    there, after = contents(foreign.snapshot(user)), contents(here(mail, account))
    if kind == "maildir":
        after = {name.replace("\\2e", "."): found for name, found in after.items()}
    own = Counter([wire.digest(message(999))])
    assert after == {**there, "INBOX": there["INBOX"] + own}


# -- afterwards --------------------------------------------------------------------------------------------------


def test_status_lists_migrations_and_clean_removes_what_they_keep(mail: MailNode, foreign: ForeignServer) -> None:
    foreign.account("lou")
    foreign.fill("lou", "INBOX", range(4))
    account = mail.mailbox()
    posthouse(mail.node, *from_imap("--user", "lou", "--password-stdin", account.address), input=SECRET + "\n")
    listed = {each["address"]: each for each in posthouse(mail.node, "status")}
    assert listed[account.address]["complete"]
    assert listed[account.address]["messages"] == 4
    mail.node.run("posthouse", "migrate", "clean", account.address)
    assert account.address not in {each["address"] for each in posthouse(mail.node, "status")}
    assert len(here(mail, account)["INBOX"]) == 4
    posthouse(mail.node, *from_imap("--user", "lou", "--password-stdin", account.address), input=SECRET + "\n")
    assert len(here(mail, account)["INBOX"]) == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", str(IMAPS)], "The certificate of localhost"),
        (["--port", str(IMAPS), "--ca", f"{BASE}/cert.pem"], "refuses the login of dan"),
        (["--port", "20999"], "localhost:20999 does not answer"),
        (["--port", str(IMAP)], "localhost:20143"),
        (["--port", str(IMAP), "--tls", "none"], "posthouse: tls: "),
    ],
)
def test_what_stops_it_is_told_in_plain_words(
    mail: MailNode, foreign: ForeignServer, arguments: list[str], said: str
) -> None:
    account = mail.mailbox()
    options = ["--user", "dan", "--password-stdin", account.address]
    _, text = refused(mail.node, "imap", "--server", "localhost", *arguments, *options, input="wrong secret\n")
    assert said in text
    assert "wrong secret" not in text
