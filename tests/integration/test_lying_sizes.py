"""A message whose file was changed behind Dovecot's back: what its reader sees, and that the page for it mends it."""

from __future__ import annotations

import imaplib
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.integration.mail_clients import Account, MailNode, letter, mail_node, mark
from tests.lab import Node

CONFIG: Final = "/var/lib/posthouse/engines/dovecot@mail/current/dovecot.conf"
PAGE: Final = Path(__file__).parents[2] / "docs/operators/status.md"


@pytest.fixture(scope="module")
def mail(node: Node, ca_file: Path) -> Iterator[MailNode]:
    with mail_node(node, ca_file, "sizes.test") as made:
        yield made


def commands_of_the_page() -> str:
    """The commands that the page gives for this case."""
    block = re.search(r"^    cd /srv/posthouse/mail/mailboxes\n(?:    .*\n)+", PAGE.read_text(encoding="utf-8"), re.M)
    assert block is not None
    return textwrap.dedent(block[0])


def read_all(mail: MailNode, account: Account, folder: str) -> list[bytes]:
    """Every message of a folder, fetched by one command. Raises imaplib.IMAP4.abort when the server hangs up."""
    client = mail.imap(account)
    try:
        assert client.select(f'"{folder}"', readonly=True)[0] == "OK"
        answers = client.uid("FETCH", "1:*", "(RFC822.SIZE BODY.PEEK[])")[1]
    finally:
        client.shutdown()
    found = [answer for answer in answers if isinstance(answer, tuple)]
    for head, body in found:
        assert f"RFC822.SIZE {len(body)}".encode() in head
    return [body for _, body in found]


@pytest.mark.parametrize(
    "change", ["{ cat; echo more; }", "head -c 150", "sed 's/$/\\r/'"], ids=["longer", "shorter", "ends"]
)
def test_the_page_mends_files_whose_names_lie(mail: MailNode, change: str) -> None:
    account = mail.mailbox()
    # a name with all that a shell could trip over
    folder = "it's, S=1 &- a (folder)"
    with mail.imap(account) as session:
        session.create(f'"{folder}"')
        for flags in (r"(\Flagged)", "", ""):
            message = letter("somebody@example.net", account.address, mark()).as_bytes()
            assert session.append(f'"{folder}"', flags, "", message)[0] == "OK"
    whole = read_all(mail, account, folder)
    assert len(whole) == 3

    home = mail.node.run("doveadm", "-c", CONFIG, "user", "-f", "home", account.address).stdout.strip()
    changed = f'set -e; f=$(find {home} -name "*:2,*F*"); {change} <"$f" >/root/changed; cat /root/changed >"$f"'
    mail.node.run("sh", "-c", changed)
    for helper in ("true", "true", f"doveadm -c {CONFIG} force-resync -u {account.address} '*'"):
        mail.node.run("sh", "-c", helper)
        with pytest.raises(imaplib.IMAP4.abort):
            read_all(mail, account, folder)

    mail.node.run("sh", "-e", "-c", commands_of_the_page())
    mended = read_all(mail, account, folder)
    assert len(mended) == 3
    assert len(set(mended) & set(whole)) >= 2
    with mail.imap(account) as session:
        session.select(f'"{folder}"', readonly=True)
        assert len(session.search(None, "FLAGGED")[1][0].split()) == 1
