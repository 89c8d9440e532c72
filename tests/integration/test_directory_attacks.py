"""The directory under attack: hostile texts in every argument, and users who try what is not theirs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from appliance.directory import schema
from appliance.directory.connection import Scope
from appliance.directory.model import AliasChange, DomainChange, Mailbox, MailboxChange, Status
from appliance.directory.service import DirectoryService
from appliance.errors import PosthouseError
from tests.integration.slapd_server import HASH, SlapdServer, emptied, make, needs_slapd, running

pytestmark = needs_slapd()

DOVECOT, POSTFIX, STRANGER = 61001, 61002, 61003

HOSTILE = [
    "*",
    "*)(objectClass=*",
    "alice@example.com)(|(mail=*",
    "\\2a@example.com",
    "alice@example.com,ou=deleted,o=posthouse",
    "x+posthouseId=1,ou=x@example.com",
    "alice@example.com\0bob@example.com",
    "../../../etc/passwd@example.com",
    "alice@example.com\n",
    "\u202ealice@example.com",
    "a" * 65536,
    "@" * 65536,
    "a@" + "b." * 32768,
    "\ud800@example.com",
    "",
    " ",
    "@",
    "@@",
    "ou=domains,o=posthouse",
    "0" * 32,
]


@pytest.fixture(scope="module")
def server() -> Iterator[SlapdServer]:
    with running(dovecot=DOVECOT, postfix=POSTFIX) as made:
        yield made


@pytest.fixture
def directory(server: SlapdServer) -> Iterator[DirectoryService]:
    """A directory with example.com and alice@example.com in it."""
    with emptied(server) as opened:
        opened.domains.create("example.com")
        make(opened, "alice@example.com")
        yield opened


def everything(server: SlapdServer) -> set[tuple[str, str]]:
    """All that the directory holds."""
    with server.connection() as connection:
        found = connection.search(schema.SUFFIX, "(objectClass=*)")
    return {(entry.dn, repr(sorted(entry.values.items()))) for entry in found.entries}


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:24]))
def test_a_hostile_text_in_any_argument_is_refused_and_changes_nothing(
    server: SlapdServer, directory: DirectoryService, text: str
) -> None:
    rooms = directory.domains, directory.mailboxes, directory.aliases
    domains, mailboxes, aliases = rooms
    before = everything(server)
    calls: list[Callable[[], object]] = [
        lambda: domains.create(text),
        lambda: domains.create_alias(text, "example.com"),
        lambda: domains.create_alias("example.net", text),
        lambda: domains.find(text),
        lambda: domains.change(text, DomainChange(refuse_mail=True)),
        lambda: domains.delete(text),
        lambda: directory.delete_domain(text),
        lambda: mailboxes.create(mailboxes.wanted(text, password_hash=HASH)),
        lambda: mailboxes.set_password(text, password_hash=HASH),
        lambda: mailboxes.set_password("alice@example.com", password_hash=text),
        lambda: mailboxes.change(text, MailboxChange(refuse_mail=True)),
        lambda: mailboxes.rename(text, "carol@example.com"),
        lambda: mailboxes.rename("alice@example.com", text),
        lambda: mailboxes.delete(text),
        lambda: mailboxes.restore(text),
        lambda: list(mailboxes.all(text)),
        lambda: aliases.create(text, ["bob@example.org"]),
        lambda: aliases.create("sales@example.com", [text]),
        lambda: aliases.change(text, AliasChange(status=Status.DISABLED)),
        lambda: aliases.delete(text),
        lambda: directory.settings_of("domain", text),
        lambda: directory.settings_of("mailbox", text),
        lambda: directory.write_settings("mailbox", text, {"mailbox.quota": "1"}),
    ]
    if text.strip() == "alice@example.com":
        calls = calls[:7] + calls[-3:-2]
    for number, call in enumerate(calls):
        with pytest.raises(PosthouseError) as refusal:
            call()
        assert len(str(refusal.value)) < 500, number
    assert everything(server) == before


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:24]))
def test_a_hostile_search_term_finds_what_it_says_literally_or_nothing(directory: DirectoryService, text: str) -> None:
    for search in (directory.mailboxes.search, directory.aliases.search, directory.domains.search):
        try:
            found = search(text)
        except PosthouseError:
            continue
        assert found.complete
    literal = {box.address for box in _found(directory, text)}
    assert literal <= {"alice@example.com"}
    assert not literal or text.strip().lower() in "alice@example.com"


def _found(directory: DirectoryService, text: str) -> tuple[Mailbox, ...]:
    try:
        return directory.mailboxes.search(text).mailboxes
    except PosthouseError:
        return ()


@pytest.mark.skipif(os.getuid() != 0, reason="other users are tried by becoming them")
@pytest.mark.parametrize(
    ("uid", "active", "disabled", "routing", "password", "deleted"),
    [(DOVECOT, 1, 0, 1, 1, 0), (POSTFIX, 1, 1, 1, 0, 0), (STRANGER, 0, 0, 0, 0, 0)],
    ids=["dovecot", "postfix", "stranger"],
)
def test_each_account_sees_what_it_needs_and_no_more(  # noqa: PLR0917 - a table
    server: SlapdServer,
    directory: DirectoryService,
    uid: int,
    active: int,
    disabled: int,
    routing: int,
    password: int,
    deleted: int,
) -> None:
    directory.domains.create("off.example")
    make(directory, "bob@off.example")
    make(directory, "gone@example.com")
    directory.mailboxes.delete("gone@example.com")
    directory.domains.change("off.example", DomainChange(status=Status.DISABLED))
    base, mailbox = schema.DOMAINS, f"(objectClass={schema.MAILBOX})"
    assert seen_by(server, uid, base, f"(&{mailbox}(mail=alice@example.com)(posthouseStatus=active))") == active
    assert seen_by(server, uid, base, f"(&{mailbox}(mail=bob@off.example)(posthouseStatus=active))") == disabled
    assert seen_by(server, uid, base, f"(&{mailbox}(mail=bob@off.example))") == routing
    assert seen_by(server, uid, base, "(mail=alice@example.com)", schema.PASSWORD) == password
    assert seen_by(server, uid, schema.DELETED, mailbox) == deleted
    assert seen_by(server, uid, "cn=Monitor", "(objectClass=*)") == 0
    assert seen_by(server, 0, base, "(mail=alice@example.com)", schema.PASSWORD) == 1


def seen_by(server: SlapdServer, uid: int, base: str, filter_: str, attribute: str = "objectClass") -> int:
    """How many entries with `attribute` a user finds; it cannot write any."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        found = 0
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
        with server.connection() as connection:
            try:
                entries = connection.search(base, filter_, Scope.SUBTREE, (attribute,)).entries
                found = sum(attribute in entry.values for entry in entries)
                if uid:
                    connection.delete("mail=alice@example.com,associatedDomain=example.com,ou=domains,o=posthouse")
                    found = 99
            except PosthouseError:
                pass
        os.write(writing, str(found).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return int(text)


@pytest.mark.skipif(os.getuid() != 0, reason="other users are tried by becoming them")
@pytest.mark.usefixtures("directory")
@pytest.mark.parametrize(("uid", "told"), [(STRANGER, "NotAllowed"), (POSTFIX, "EntryMissing")])
def test_an_account_without_rights_is_told_so_and_not_that_nothing_is_there(
    server: SlapdServer, uid: int, told: str
) -> None:
    dn = "mail=nobody@example.com,associatedDomain=example.com,ou=domains,o=posthouse"
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
        with server.connection() as connection, os.fdopen(writing, "w") as answer:
            for attempt in (
                lambda: connection.search(dn, "(objectClass=*)", Scope.BASE),
                lambda: connection.delete(dn),
            ):
                try:
                    attempt()
                except PosthouseError as error:
                    print(type(error).__name__, file=answer)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        assert answer.read().split() == [told, told]
    os.waitpid(child, 0)
