"""IMAP as clients use it: extensions, folders, signing in, and what one person can see of another."""

from __future__ import annotations

import base64
import imaplib
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.mail_clients import Account, MailNode, Wire, letter, mail_node, mark, send
from tests.lab import Node

EXTENSIONS = frozenset(
    {"IDLE", "SORT", "THREAD=REFERENCES", "CONDSTORE", "QRESYNC", "MOVE", "SPECIAL-USE", "QUOTA", "NAMESPACE", "ID"}
    | {"COMPRESS=DEFLATE", "UIDPLUS", "ENABLE", "LIST-EXTENDED", "LIST-STATUS", "ESEARCH", "SEARCHRES", "BINARY"}
    | {"LITERAL+", "CHILDREN", "UNSELECT", "SASL-IR", "WITHIN"}
)


@pytest.fixture(scope="module")
def mail(node: Node, ca_file: Path) -> Iterator[MailNode]:
    with mail_node(node, ca_file, "imap.test") as made:
        yield made


@pytest.fixture
def alice(mail: MailNode) -> Account:
    return mail.mailbox()


@pytest.fixture
def inbox(mail: MailNode, alice: Account) -> Iterator[imaplib.IMAP4_SSL]:
    with mail.imap(alice) as client:
        client.select("INBOX")
        yield client


def append(client: imaplib.IMAP4, text: str, folder: str = "INBOX", **headers: str) -> None:
    message = letter("somebody@example.net", "you@imap.test", text, **headers).as_bytes()
    assert client.append(folder, "", "", message)[0] == "OK"


def message(client: imaplib.IMAP4, number: str = "1") -> bytes:
    """A message as it lies there."""
    answer = client.fetch(number, "(BODY.PEEK[])")[1][0]
    assert isinstance(answer, tuple)
    return answer[1]


def utf7(name: str) -> str:
    """A folder name in IMAP's modified UTF-7 (RFC 3501, 5.1.3)."""

    def encode(match: re.Match[str]) -> str:
        text = base64.b64encode(match[0].encode("utf-16-be")).decode().rstrip("=").replace("/", ",")
        return f"&{text}-"

    return re.sub(r"[^\x20-\x7e]+", encode, name.replace("&", "&-"))


# -- what is offered ---------------------------------------------------------------------------------------------


def test_the_extensions_are_offered(inbox: imaplib.IMAP4_SSL) -> None:
    offered = inbox.capability()[1][0].decode().split()
    assert set(offered) >= EXTENSIONS


def test_no_password_is_taken_without_tls(mail: MailNode, alice: Account) -> None:
    with imaplib.IMAP4(mail.node.address, 143, timeout=20) as client:
        assert "LOGINDISABLED" in client.capabilities
        assert "AUTH=PLAIN" not in client.capabilities
        with pytest.raises(imaplib.IMAP4.error, match="PRIVACYREQUIRED"):
            client.login(alice.address, alice.password)


def test_starttls_on_port_143(mail: MailNode, alice: Account) -> None:
    with imaplib.IMAP4(mail.node.address, 143, timeout=20) as client:
        client.starttls(mail.context)
        assert client.login(alice.address, alice.password)[0] == "OK"


def test_the_address_may_be_typed_in_upper_case(mail: MailNode, alice: Account) -> None:
    with mail.imap() as client:
        assert client.login(alice.address.upper(), alice.password)[0] == "OK"


def test_a_chinese_domain_may_be_typed_as_people_write_it(mail: MailNode) -> None:
    mail.node.run("posthouse", "domain", "create", "登录.测试")
    account = mail.mailbox("li", domain="登录.测试".encode("idna").decode())
    typed = f"\0li@登录.测试\0{account.password}".encode()
    with mail.imap() as client:
        assert client.authenticate("PLAIN", lambda _: typed)[0] == "OK"


def test_an_account_of_the_system_does_not_sign_in(mail: MailNode, alice: Account) -> None:
    # one failure only: each makes Dovecot slower to answer this address, until somebody signs in
    with mail.imap() as client, pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
        client.login("root", alice.password)
    mail.imap(alice).logout()


def test_the_probe_account_signs_in_from_the_node_only(mail: MailNode, alice: Account) -> None:
    secret = mail.node.run("cat", "/var/lib/posthouse/secrets/probe").stdout.strip()
    with mail.imap() as client, pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
        client.login("posthouse-probe", secret)
    mail.imap(alice).logout()


# -- folders -----------------------------------------------------------------------------------------------------


def test_special_folders_are_there_and_say_what_they_are_for(inbox: imaplib.IMAP4_SSL) -> None:
    listed = b"\n".join(each for each in inbox.list()[1] if isinstance(each, bytes)).decode()
    for name in ("Drafts", "Sent", "Junk", "Trash"):
        assert re.search(rf'\\{name}\) "/" {name}$', listed, re.MULTILINE)
    assert inbox.namespace()[1][0] == b'(("" "/")) NIL NIL'


@pytest.mark.parametrize("name", ["工作", "已发送邮件/2024年", "日本語フォルダ", "R&D", "v1.2 release.notes", "~x"])
def test_folder_names_of_chinese_clients_survive(inbox: imaplib.IMAP4_SSL, name: str) -> None:
    coded = f'"{utf7(name)}"'
    assert inbox.create(coded)[0] == "OK"
    append(inbox, "in the folder", coded)
    assert inbox.select(coded)[1] == [b"1"]
    listed = b"\n".join(each for each in inbox.list()[1] if isinstance(each, bytes)).decode()
    assert utf7(name) in listed
    assert inbox.rename(coded, f'"{utf7(name + "改")}"')[0] == "OK"
    assert inbox.select(f'"{utf7(name + "改")}"')[1] == [b"1"]


@pytest.mark.parametrize("name", ["../../../../escaped", "/escaped", "..", "a/../../../escaped", "a//b", ".", "cur"])
def test_a_folder_name_never_leads_out_of_the_mailbox(mail: MailNode, inbox: imaplib.IMAP4_SSL, name: str) -> None:
    if inbox.create(f'"{name}"')[0] == "OK":
        append(inbox, "in the folder", f'"{name}"')
    places = ("/srv", "/var/lib/posthouse", "/etc", "/tmp", "/run/posthouse")
    named = ("(", "-name", "escaped*", "-o", "-name", ".escaped*", ")", "-not", "-path", "*/Maildir/*")
    assert mail.node.run("find", *places, *named, check=False).stdout == ""
    assert mail.node.run("find", "/srv/posthouse/mail/mailboxes", "-maxdepth", "1", "-name", ".*").stdout == ""


# -- messages ----------------------------------------------------------------------------------------------------


def test_sort_thread_and_search(inbox: imaplib.IMAP4_SSL) -> None:
    for subject in ("beta", "Re: alpha", "alpha"):
        append(inbox, f"text about {subject}", subject=subject)
    assert inbox.sort("(SUBJECT)", "UTF-8", "ALL")[1] == [b"2 3 1"]
    assert inbox.thread("REFERENCES", "UTF-8", "ALL")[1][0].count(b"(") >= 2
    assert inbox.search(None, "BODY", "beta")[1] == [b"1"]


def test_condstore_and_qresync_tell_what_changed(mail: MailNode, alice: Account) -> None:
    with mail.imap(alice) as client:
        client.enable("QRESYNC")
        append(client, "one")
        append(client, "two")
        client.select("INBOX")
        validity = client.response("UIDVALIDITY")[1][0].decode()
        before = int(client.response("HIGHESTMODSEQ")[1][0])
        client.uid("STORE", "2", "+FLAGS", r"(\Deleted)")
        client.uid("EXPUNGE", "2")
        client.uid("STORE", "1", "+FLAGS", r"(\Flagged)")
        changed = client.uid("FETCH", "1:*", f"(FLAGS) (CHANGEDSINCE {before})")[1]
        assert [b"\\Flagged" in each for each in changed] == [True]
        # imaplib knows no VANISHED (RFC 7162): select again with what was known
        client.unselect()
        client.send(f"9 SELECT INBOX (QRESYNC ({validity} {before}))\r\n".encode())
        lines = [client.readline()]
        while not lines[-1].startswith(b"9 "):
            lines.append(client.readline())
    assert any(line.startswith(b"* VANISHED (EARLIER) 2") for line in lines)


def test_move(mail: MailNode, alice: Account) -> None:
    with mail.imap(alice) as client:
        append(client, "to be moved")
        client.select("INBOX")
        client.create("Archive")
        imaplib.Commands.setdefault("MOVE", ("SELECTED",))
        assert client.uid("MOVE", "1", "Archive")[0] == "OK"
        assert client.select("Archive")[1] == [b"1"]
        assert client.select("INBOX")[1] == [b"0"]


def test_idle_tells_of_new_mail(mail: MailNode, alice: Account) -> None:
    with Wire(mail.node.address, 993, mail.context) as wire:
        wire.line()
        wire.send(f"1 LOGIN {alice.address} {alice.password}\r\n2 SELECT INBOX\r\n")
        while not wire.line().startswith("2 OK"):
            pass
        wire.send("3 IDLE\r\n")
        while not wire.line().startswith("+"):
            pass
        with mail.smtp() as client:
            send(client, "somebody@example.net", alice.address, mark())
        assert wire.line() == "* 1 EXISTS"


def test_compressed_sessions_work(mail: MailNode, alice: Account) -> None:
    with Wire(mail.node.address, 993, mail.context) as wire:
        wire.line()
        wire.send(f"1 LOGIN {alice.address} {alice.password}\r\n2 COMPRESS DEFLATE\r\n")
        while not wire.line().startswith("2 "):
            pass
        pack, unpack = zlib.compressobj(wbits=-15), zlib.decompressobj(wbits=-15)
        wire.send(pack.compress(b"3 NOOP\r\n") + pack.flush(zlib.Z_SYNC_FLUSH))
        assert unpack.decompress(wire.socket.recv(4096)).startswith(b"3 OK")


# -- one process serves many people ------------------------------------------------------------------------------


def test_a_process_that_serves_the_next_person_shows_nothing_of_the_last(mail: MailNode) -> None:
    people = [mail.mailbox() for _ in range(3)]
    words = {person.address: mark() for person in people}
    for person in people:
        with mail.imap(person) as client:
            append(client, words[person.address])
            client.create("only-mine-" + person.local)
    for _ in range(10):
        for person in people:
            with mail.imap(person) as client:
                client.select("INBOX")
                assert client.search(None, "ALL")[1] == [b"1"]
                body = message(client)
                folders = b"\n".join(each for each in client.list()[1] if isinstance(each, bytes)).decode()
            assert words[person.address].encode() in body
            assert f"only-mine-{person.local}" in folders
            assert folders.count("only-mine-") == 1


def test_mail_belongs_to_vmail_and_carries_its_sizes_in_its_names(mail: MailNode, alice: Account) -> None:
    word = mark()
    with mail.smtp() as client:
        send(client, "somebody@example.net", alice.address, word)
    mail.arrived(alice, word)
    found = mail.node.run("grep", "-rl", word, "/srv/posthouse/mail/mailboxes").stdout.split()
    assert len(found) == 1
    assert re.search(r",S=\d+,W=\d+", found[0])
    assert mail.node.run("stat", "-c", "%U:%G %a", found[0]).stdout.strip() == "vmail:vmail 600"
