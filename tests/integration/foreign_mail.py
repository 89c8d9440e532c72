"""What mail comes from in the tests of migration: a second Dovecot on the node, and messages in many charsets.

The second Dovecot knows nothing of ours: its own base folder, ports, accounts in a file, and mail of a user of its own.
"""

from __future__ import annotations

import hashlib
import imaplib
import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from imapclient import imap_utf7

from tests.lab import Node

BASE = "/var/foreign"
IMAP, IMAPS = 20143, 20993
SECRET = 'for%eign "secret\\ #1'
CHINESE = "项目/已发送.2024"
#: Bodies that must come through byte for byte, in the charsets of Chinese mail.
BODIES: dict[str, bytes] = {
    "gb2312": "你好，世界".encode("gb2312"),
    "big5": "你好，世界".encode("big5"),
    "utf-8": "你好，世界 🐎".encode(),
    "hz-gb-2312": b"~{<:Ky2;2bSZHK!#~} HZ",
    "bare-cr": b"one\rtwo\r\r\nthree",
    "no-end-of-line": b"the end",
    "dots": b".\r\n..\r\n.x\r\nFrom here\r\n>From there",
    "long": b"x" * 20000,
}
#: What a snapshot leaves out: our server says it of messages, the foreign one does not.
_OURS = {"\\Recent", "$HasAttachment", "$HasNoAttachment"}

_CONFIGURATION = """
base_dir = /run/foreign
state_dir = /run/foreign
instance_name = foreign
log_path = /var/foreign/log
listen = *
protocols = imap
ssl = yes
ssl_cert = </var/foreign/cert.pem
ssl_key = </var/foreign/key.pem
disable_plaintext_auth = no
auth_username_chars =
mail_location = maildir:~/Maildir
mail_plugins = listescape
first_valid_uid = 1
mail_max_userip_connections = 50
passdb {
  driver = passwd-file
  args = scheme=PLAIN /var/foreign/users/%u
}
userdb {
  driver = static
  args = uid=foreign gid=foreign home=/var/foreign/home/%n
}
namespace inbox {
  inbox = yes
  prefix = INBOX/
  separator = /
}
service imap-login {
  inet_listener imap {
    port = 20143
  }
  inet_listener imaps {
    port = 20993
    ssl = yes
  }
}
"""


def message(number: int, charset: str = "utf-8") -> bytes:
    """A message with a body of BODIES; some without any header that tells it from others."""
    kind = charset if charset in ("gb2312", "big5", "utf-8", "hz-gb-2312") else "us-ascii"
    head = f"From: a@example.net\r\nTo: b@example.net\r\nSubject: =?utf-8?B?5L2g5aW9?= {number}\r\n"
    head += f"Message-ID: <{number}.{charset}@example.net>\r\n" if number % 3 else ""
    head += f"MIME-Version: 1.0\r\nContent-Type: text/plain; charset={kind}\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    return head.encode() + BODIES[charset]


@dataclass(frozen=True, order=True)
class Seen:
    """A message as IMAP shows it."""

    digest: str
    arrived: str
    flags: tuple[str, ...]
    uid: int = field(compare=False, default=0)


def snapshot(client: imaplib.IMAP4, prefix: str = "") -> dict[str, list[Seen]]:
    """Every message of every folder, by the folder's name in Unicode without the server's prefix."""
    found: dict[str, list[Seen]] = {}
    for name, selectable in _folders(client):
        if selectable:
            quoted = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
            assert client.select(quoted, readonly=True)[0] == "OK", name
            found[imap_utf7.decode(name.encode()).removeprefix(prefix)] = list(_messages(client))
    return found


def _folders(client: imaplib.IMAP4) -> Iterator[tuple[str, bool]]:
    for line in client.list()[1]:
        assert isinstance(line, bytes), line
        match = re.fullmatch(rb'\((?P<flags>.*?)\) (?:NIL|"."|"\\\\") (?P<name>.*)', line)
        assert match, line
        name = match["name"].decode()
        if name.startswith('"'):
            name = name[1:-1].replace('\\"', '"').replace("\\\\", "\\")
        yield name, b"\\noselect" not in match["flags"].lower()


def _messages(client: imaplib.IMAP4) -> Iterator[Seen]:
    for number in client.search(None, "ALL")[1][0].split():
        answer = client.fetch(number.decode(), "(UID FLAGS INTERNALDATE BODY.PEEK[])")[1][0]
        assert isinstance(answer, tuple)
        facts = answer[0].decode()
        uid, flags = re.search(r"UID (\d+)", facts), re.search(r"FLAGS \((.*?)\)", facts)
        arrived = re.search(r'INTERNALDATE "(.*?)"', facts)
        assert uid is not None
        assert flags is not None
        assert arrived is not None
        kept = tuple(sorted(set(flags[1].split()) - _OURS))
        yield Seen(hashlib.sha256(answer[1]).hexdigest(), arrived[1], kept, int(uid[1]))


def contents(seen: dict[str, list[Seen]]) -> dict[str, Counter[str]]:
    """The digests of each folder that has messages."""
    return {folder: Counter(each.digest for each in messages) for folder, messages in seen.items() if messages}


def posthouse(node: Node, *arguments: str, input: str | None = None, timeout: float = 120.0) -> Any:
    """Run `posthouse migrate …` and return its report; it must end well."""
    done = node.run("posthouse", "migrate", *arguments, "--json", input=input, timeout=timeout, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def refused(node: Node, *arguments: str, input: str | None = None) -> tuple[int, str]:
    """Run `posthouse migrate …`, which must fail: its exit code and all it said."""
    done = node.run("posthouse", "migrate", *arguments, input=input, check=False, env={"POSTHOUSE_LANG": "en"})
    assert done.returncode != 0, done.stdout
    return done.returncode, done.stdout + done.stderr


def write(node: Node, path: str, data: bytes) -> str:
    """Write a file of the node."""
    target = node.root / path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    return path


@dataclass(frozen=True)
class ForeignServer:
    """The running second Dovecot."""

    node: Node

    def account(self, user: str, password: str = SECRET) -> None:
        """Make an account."""
        self.node.run("tee", f"{BASE}/users/{user}", input=f"{user}:{{PLAIN}}{password}\n")

    @contextmanager
    def session(self, user: str, password: str = SECRET) -> Iterator[imaplib.IMAP4]:
        """Signed in to it as a mail client would."""
        with imaplib.IMAP4(self.node.address, IMAP, timeout=20) as client:
            client.authenticate("PLAIN", lambda _: b"\0" + user.encode() + b"\0" + password.encode())
            yield client

    def fill(self, user: str, folder: str, numbers: range, password: str = SECRET) -> None:
        """Put messages into a folder (INBOX, or a name in Unicode), with flags and dates of their own."""
        marks = ["", "\\Seen", "\\Seen \\Answered", "\\Flagged", "$Forwarded work", "\\Draft"]
        with self.session(user, password) as client:
            name = "INBOX" if folder == "INBOX" else imap_utf7.encode(f"INBOX/{folder}").decode()
            client.create(f'"{name}"')
            client.subscribe(f'"{name}"')
            for number in numbers:
                charset = list(BODIES)[number % len(BODIES)]
                when = f'"{number % 28 + 1:02d}-Mar-20{10 + number % 10} 10:11:12 +0800"'
                done = client.append(f'"{name}"', f"({marks[number % 6]})", when, message(number, charset))
                assert done[0] == "OK", done

    def snapshot(self, user: str) -> dict[str, list[Seen]]:
        """What the account holds."""
        with self.session(user) as client:
            return snapshot(client, "INBOX/")


@contextmanager
def foreign_server(node: Node) -> Iterator[ForeignServer]:
    """Run the second Dovecot on the node for the block."""
    node.run("useradd", "--system", "--no-create-home", "foreign")
    node.run("install", "-d", BASE, f"{BASE}/home", f"{BASE}/users")
    node.run("chown", "foreign:foreign", f"{BASE}/home")
    key = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    names = ("-subj", "/CN=old.example.net", "-addext", "subjectAltName=DNS:localhost,DNS:old.example.net")
    node.run(*key, *names, "-keyout", f"{BASE}/key.pem", "-out", f"{BASE}/cert.pem")
    node.run("tee", f"{BASE}/dovecot.conf", input=_CONFIGURATION)
    node.run("systemd-run", "--unit=foreign-imap", "/usr/sbin/dovecot", "-F", "-c", f"{BASE}/dovecot.conf")
    try:
        probe = ("doveadm", "-c", f"{BASE}/dovecot.conf", "who")
        node.wait_until("foreign server", lambda: node.run(*probe, check=False).returncode == 0)
        yield ForeignServer(node)
    finally:
        node.run("systemctl", "stop", "foreign-imap", check=False)
