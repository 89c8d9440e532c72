"""Mail in every way Chinese has been written, byte for byte from SMTP to IMAP and POP3; folder names in modified UTF-7.

Bodies and headers are what programs of three decades send: HZ (RFC 1842, 1843), GB2312 and Big5 in 8 bits, UTF-8
(RFC 6532) and both transfer encodings of MIME (RFC 2045).
"""

from __future__ import annotations

import base64
import imaplib
import quopri
from collections.abc import Iterator
from pathlib import Path

import pytest
from imapclient import IMAPClient

from tests.integration.letters import without_trace
from tests.integration.mail_clients import Account, MailNode, Wire, mail_node, mark
from tests.lab import Node

OUTSIDE = "somebody@example.net"
TRADITIONAL = "驛站：每位信使都有一匹新馬在等候。"
SIMPLIFIED = "驿站：每位信使都有一匹新马在等候。"


def lines(*parts: str | bytes) -> bytes:
    return b"".join((part.encode() if isinstance(part, str) else part) + b"\r\n" for part in parts)


def message(subject: bytes, charset: str, encoding: str, body: bytes) -> bytes:
    """A complete message; the header's bytes are as given."""
    return lines(
        "Date: Tue, 24 Nov 2026 06:06:29 +0800",
        "Message-ID: <MARK@client.example.net>",
        "From: somebody@example.net",
        "To: RECIPIENT",
        b"Subject: " + subject,
        "MIME-Version: 1.0",
        f'Content-Type: text/plain; charset="{charset}"',
        f"Content-Transfer-Encoding: {encoding}",
        "",
        body,
    )


def folded_base64(data: bytes) -> bytes:
    return base64.encodebytes(data).replace(b"\n", b"\r\n")


#: Every octet but NUL, CR and LF, in lines of all lengths up to what SMTP allows (RFC 5321, 4.5.3.1.6).
_OCTETS = bytes(each for each in range(1, 256) if each not in b"\r\n")
BINARY = b"\r\n".join(_OCTETS * (size // len(_OCTETS)) + _OCTETS[: size % len(_OCTETS)] for size in (998, 1, 253, 72))

MESSAGES = {
    # RFC 1842 and 1843: ~{ and ~} around GB2312 without its high bits, ~~ for a tilde, lines that end in ASCII
    "hz": message(
        b"~{1>JT~} (HZ) ~~",
        "HZ-GB-2312",
        "7bit",
        b"This sentence is in ASCII.\r\nThe next sentence is in GB.~{<:Ky2;S{#,NpJ)l6HK!#~}Bye.\r\n~~ "
        + SIMPLIFIED.encode("hz"),
    ),
    "gb2312-8bit": message(SIMPLIFIED.encode("gb2312"), "GB2312", "8bit", SIMPLIFIED.encode("gb2312")),
    "gb18030-8bit": message("𠮷㐀".encode("gb18030"), "GB18030", "8bit", "𠮷㐀€".encode("gb18030")),
    # the second octet of 功, 許 and 蓋 is a backslash in Big5
    "big5-8bit": message("功許蓋".encode("big5"), "Big5", "8bit", ("功許蓋\\" + TRADITIONAL).encode("big5")),
    "utf-8-8bit": message(
        "😀 驿站".encode(), "utf-8", "8bit", (SIMPLIFIED + TRADITIONAL + "😀 e\u0301\ufeff").encode()
    ),
    "shift-jis-8bit": message("表示".encode("shift-jis"), "Shift_JIS", "8bit", "表示ソ能\\".encode("shift-jis")),
    "iso-2022-jp": message(b"=?iso-2022-jp?B?GyRCJDMbKEI=?=", "iso-2022-jp", "7bit", "駅".encode("iso-2022-jp")),
    "base64": message(b"=?GB2312?B?suLK1A==?=", "GB2312", "base64", folded_base64(SIMPLIFIED.encode("gb2312") * 40)),
    "quoted-printable": message(
        b"=?Big5?Q?=B4=FA=B8=D5?=",
        "Big5",
        "quoted-printable",
        quopri.encodestring(TRADITIONAL.encode("big5") * 20, quotetabs=True).replace(b"\n", b"\r\n"),
    ),
    "long-lines": message(b"x" * 900, "utf-8", "8bit", ("长" * 30_000).encode() + b"\r\n" + b"y" * 100_000),
    "dots": message(
        b"dots", "us-ascii", "7bit", b".\r\n..\r\n...x\r\n. \r\n\r\n.\r\nFrom the start\r\n>From\r\n\t\r\n "
    ),
    "octets": message(b"octets", "x-unknown", "8bit", BINARY),
    "odd-header": lines(
        "X-Folded: one",
        "\ttwo",
        "  three",
        "x-CASE:no space after the colon   ",
        "X-Empty:",
        "X-Empty: ",
        b"X-Eight-Bit: " + SIMPLIFIED.encode("gb2312"),
        "Received: from nowhere by nobody; Thu, 1 Jan 1970 00:00:00 +0000",
        "From: =?utf-8?B?546L?= <somebody@example.net>, (a comment) other@example.net",
        "Subject: MARK RECIPIENT",
        "X-Folded: again",
        "",
        "body",
    ),
    "no-body": lines("From: somebody@example.net", "Subject: MARK", "To: RECIPIENT", ""),
}
#: In these a search for text finds the message whatever it was coded in. Dovecot decodes with glibc, which has no HZ.
SEARCHED = {
    "gb2312-8bit": "匹新马在",
    "big5-8bit": "匹新馬在",
    "utf-8-8bit": "匹新馬在",
    "quoted-printable": "匹新馬在",
}


@pytest.fixture(scope="module")
def mail(node: Node, ca_file: Path) -> Iterator[MailNode]:
    with mail_node(node, ca_file, "charsets.test") as made:
        yield made


@pytest.fixture(scope="module")
def reader(mail: MailNode) -> Account:
    return mail.mailbox()


@pytest.fixture(scope="module")
def words(mail: MailNode, reader: Account) -> dict[str, str]:
    """Every message delivered to one mailbox, each with a word of its own."""
    made = {name: mark() for name in MESSAGES}
    with mail.smtp() as client:
        for name, word in made.items():
            assert client.sendmail(OUTSIDE, [reader.address], filled(name, word, reader), ["BODY=8BITMIME"]) == {}
    mail.settle()
    return made


def filled(name: str, word: str, reader: Account) -> bytes:
    """The message of that name, as it is sent."""
    return MESSAGES[name].replace(b"MARK", word.encode()).replace(b"RECIPIENT", reader.address.encode())


@pytest.fixture(scope="module")
def by_imap(mail: MailNode, reader: Account, words: dict[str, str]) -> list[bytes]:
    return mail.messages(reader)


@pytest.fixture(scope="module")
def by_pop3(mail: MailNode, reader: Account, words: dict[str, str]) -> list[bytes]:
    with Wire(mail.node.address, 995, mail.context) as wire:
        wire.line()
        for command in (f"USER {reader.address}", f"PASS {reader.password}"):
            wire.send(command + "\r\n")
            assert wire.line().startswith("+OK")
        return [retrieved(wire, number + 1) for number in range(len(words))]


def retrieved(wire: Wire, number: int) -> bytes:
    """A message by POP3, its bytes as RFC 1939 carries them. Python's poplib refuses lines beyond 2048 octets."""
    wire.send(f"RETR {number}\r\n")
    assert wire.line().startswith("+OK")
    found = list(iter(wire.file.readline, b".\r\n"))
    return b"".join(line.removeprefix(b".") for line in found)


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_is_fetched_by_imap_and_pop3_as_it_was_sent(
    reader: Account, words: dict[str, str], by_imap: list[bytes], by_pop3: list[bytes], name: str
) -> None:
    for fetched in (by_imap, by_pop3):
        (found,) = (each for each in fetched if words[name].encode() in each)
        assert without_trace(found) == filled(name, words[name], reader)


@pytest.mark.parametrize("name", SEARCHED)
def test_text_is_found_whatever_it_was_coded_in(
    mail: MailNode, reader: Account, words: dict[str, str], name: str
) -> None:
    with IMAPClient(mail.node.address, ssl_context=mail.context, timeout=20) as client:
        client.login(reader.address, reader.password)
        client.select_folder("INBOX", readonly=True)
        found = client.fetch(client.search(["TEXT", SEARCHED[name]], charset="UTF-8"), ["BODY.PEEK[HEADER]"])
    assert any(words[name].encode() in each[b"BODY[HEADER]"] for each in found.values())


# -- by other ways than DATA -------------------------------------------------------------------------------------


def chunked(mail: MailNode, reader: Account, chunks: list[bytes]) -> str:
    """Send chunks by BDAT (RFC 3030); returns the last line of the server's last answer."""
    with Wire(mail.node.address, 25) as wire:
        wire.reply()
        wire.ask("EHLO client.example.net")
        wire.ask(f"MAIL FROM:<{OUTSIDE}> BODY=8BITMIME")
        answer = wire.ask(f"RCPT TO:<{reader.address}>")
        for chunk in chunks:
            wire.send(f"BDAT {len(chunk)}\r\n".encode() + chunk)
            answer = wire.reply()
            assert answer.startswith("250 "), answer
        return wire.ask("BDAT 0 LAST")


@pytest.mark.parametrize(("name", "size"), [("dots", 1), ("utf-8-8bit", 7), ("octets", 997), ("octets", 4096)])
def test_octets_sent_in_chunks_of_any_size_arrive_unchanged(
    mail: MailNode, reader: Account, name: str, size: int
) -> None:
    # chunks end within characters, within CR LF, and before a dot
    raw = filled(name, word := mark(), reader)
    chunks = [raw[start : start + size] for start in range(0, len(raw), size)]
    assert chunked(mail, reader, chunks).startswith("250 2.0.0")
    assert without_trace(mail.arrived(reader, word)) == raw


def test_binary_mime_is_not_taken_for_text(mail: MailNode, reader: Account) -> None:
    """BINARYMIME is not offered, so a client that asks for it is told so, and sends base64 instead (RFC 3030, 3)."""
    with mail.smtp() as client:
        assert "binarymime" not in client.esmtp_features
        assert client.docmd("MAIL", f"FROM:<{OUTSIDE}> BODY=BINARYMIME")[0] == 555


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_that_a_mail_program_files_is_read_back_unchanged(mail: MailNode, reader: Account, name: str) -> None:
    raw = filled(name, mark(), reader)
    with mail.imap(reader) as client:
        client.create("filed")
        assert client.append("filed", r"(\Seen)", None, raw)[0] == "OK"
        number = client.select("filed", readonly=True)[1][0]
        assert number is not None
        answer = client.fetch(number.decode(), "(RFC822.SIZE BODY.PEEK[])")[1][0]
    assert isinstance(answer, tuple)
    assert answer[1] == raw
    assert f"RFC822.SIZE {len(raw)} ".encode() in answer[0]


# -- folder names ------------------------------------------------------------------------------------------------

#: What Outlook, Foxmail and others send for these names: modified UTF-7 (RFC 3501, 5.1.3), written out by hand.
FOLDERS = {
    "草稿箱": b"&g0l6P3ux-",
    "已发送": b"&XfJT0ZAB-",
    "已删除邮件": b"&XfJSIJZkkK5O9g-",
    "垃圾邮件": b"&V4NXPpCuTvY-",
    "項目/二〇二六": b"&mAV27g-/&TowwB06MUW0-",
    "mail/台北/日本語": b"mail/&U,BTFw-/&ZeVnLIqe-",  # the example of RFC 3501
    "研发 & 测试": b"&eBRT0Q- &- &bUuL1Q-",
    "驿站😀": b"&mn962dg93gA-",
    "Entwürfe": b"Entw&APw-rfe",
    # not only letters: as a quoted string
    'Say "hi"\\': b'Say \\"hi\\"\\\\',
}


@pytest.fixture(scope="module")
def folders_of(mail: MailNode) -> Account:
    return mail.mailbox()


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_named_as_chinese_programs_name_it_is_listed_by_the_same_bytes(
    mail: MailNode, folders_of: Account, name: str
) -> None:
    coded = b'"' + FOLDERS[name] + b'"'
    with mail.imap(folders_of) as client:
        raw = Raw(client)
        for command in (b"CREATE %s", b"SUBSCRIBE %s", b"STATUS %s (MESSAGES)", b"SELECT %s"):
            assert raw.ask(command % coded)[-1].startswith(b"OK"), command
        for command in (b'LIST "" "*"', b'LSUB "" "*"'):
            named = [line.partition(b'"/" ')[2] for line in raw.ask(command)]
            assert coded in named or coded.strip(b'"') in named, named


class Raw:
    """A signed-in session in which commands and answers are the very bytes."""

    def __init__(self, client: imaplib.IMAP4_SSL) -> None:
        self._client = client
        self._number = 0

    def ask(self, command: bytes) -> list[bytes]:
        """Send a command; returns the answer's lines without `* ` and tag, the tagged one last."""
        self._number += 1
        tag = b"R%d " % self._number
        self._client.send(tag + command + b"\r\n")
        found = [self._client.readline()]
        while not found[-1].startswith(tag):
            found.append(self._client.readline())
        return [line.rstrip(b"\r\n").removeprefix(b"* ").removeprefix(tag) for line in found]
