"""TLS on every port as clients old and new find it: versions, cipher suites, the certificate and its chain."""

from __future__ import annotations

import os
import socket
import ssl
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import pytest

from tests.integration.mail_clients import TIMEOUT
from tests.lab import Node

#: Port, and what openssl calls the protocol that leads to TLS there; none where TLS comes first.
PORTS: Final[Mapping[int, str | None]] = {
    25: "smtp",
    587: "smtp",
    465: None,
    143: "imap",
    993: None,
    110: "pop3",
    995: None,
    4190: "sieve",
}
#: What a client says to get there, and how the server's answer to it begins.
_ASKED: Final = {
    "smtp": ([b"EHLO client.example.net\r\n", b"STARTTLS\r\n"], b"220 2.0.0"),
    "imap": ([b"a STARTTLS\r\n"], b"a OK"),
    "pop3": ([b"STLS\r\n"], b"+OK Begin"),
    "sieve": ([b"STARTTLS\r\n"], b'OK "Begin'),
}
# TLS 1.2, RFC 5246, 6.2.1 and 7.2
_ALERT, _HANDSHAKE, _SERVER_HELLO, _HANDSHAKE_FAILURE, _PROTOCOL_VERSION = 21, 22, 2, 40, 70
_TLS_1_2: Final = 0x0303

#: Suites by what is wrong with them (https://www.iana.org/assignments/tls-parameters).
WEAK: Final = {
    "no encryption": (0x0001, 0x0002, 0x003B, 0xC006, 0xC010),
    "export": (0x0003, 0x0006, 0x0008, 0x000B, 0x000E, 0x0011, 0x0014, 0x0017, 0x0019, 0x0062, 0x0064),
    "RC4": (0x0004, 0x0005, 0xC002, 0xC007, 0xC00C, 0xC011),
    "DES": (0x0009, 0x000C, 0x000F, 0x0012, 0x0015),
    "3DES": (0x000A, 0x000D, 0x0010, 0x0013, 0x0016, 0xC003, 0xC008, 0xC00D, 0xC012),
    "anonymous": (
        0x0018,
        0x001A,
        0x001B,
        0x0034,
        0x003A,
        0x006C,
        0x006D,
        0x00A6,
        0x00A7,
        0xC016,
        0xC017,
        0xC018,
        0xC019,
    ),
    "SHA-1 or CBC without forward secrecy": (0x002F, 0x0035, 0x003C, 0x003D, 0x0041, 0x0084, 0x0096),
}
#: ECDHE with AES-GCM or ChaCha20, for both kinds of key.
GOOD: Final = (0xC02B, 0xC02C, 0xC02F, 0xC030, 0xCCA8, 0xCCA9)
#: What clients of TLS 1.0 were served with: AES-CBC, with ECDHE and without.
OF_OLD: Final = (0xC009, 0xC00A, 0xC013, 0xC014, 0x002F, 0x0035)


@contextmanager
def connected(node: Node, port: int) -> Iterator[socket.socket]:
    """A connection on which the server waits for the first byte of TLS."""
    with socket.create_connection((node.address, port), timeout=TIMEOUT) as connection:
        if (protocol := PORTS[port]) is not None:
            commands, answer = _ASKED[protocol]
            file = connection.makefile("rb")
            # ManageSieve greets with its capabilities (RFC 5804, 1.7)
            until(file, b"OK " if protocol == "sieve" else b"")
            for command in commands[:-1]:
                connection.sendall(command)
                until(file, b"250 ")
            connection.sendall(commands[-1])
            assert until(file, b"").startswith(answer)
            file.close()
        yield connection


def until(file: BinaryIO, start: bytes) -> bytes:
    """Read lines up to one that begins so."""
    line = file.readline()
    while line and not line.startswith(start):
        line = file.readline()
    return line


# -- the certificate ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("port", PORTS)
def test_the_certificate_is_the_servers_and_the_installation_vouches_for_it(
    node: Node, ca_file: Path, port: int
) -> None:
    context = ssl.create_default_context(cafile=str(ca_file))
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    with connected(node, port) as plain, context.wrap_socket(plain, server_hostname=node.hostname) as session:
        assert session.version() == "TLSv1.3"
        assert session.compression() is None


@pytest.mark.parametrize("port", PORTS)
def test_a_client_that_means_another_server_or_knows_another_authority_turns_away(
    node: Node, ca_file: Path, port: int
) -> None:
    context = ssl.create_default_context(cafile=str(ca_file))
    with connected(node, port) as plain, pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        context.wrap_socket(plain, server_hostname="mail.example.com")
    strangers = ssl.create_default_context()
    with (
        connected(node, port) as plain,
        pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"),
    ):
        strangers.wrap_socket(plain, server_hostname=node.hostname)


# -- versions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("port", PORTS)
def test_versions_of_today_are_spoken(node: Node, ca_file: Path, port: int, version: ssl.TLSVersion) -> None:
    context = ssl.create_default_context(cafile=str(ca_file))
    context.minimum_version = context.maximum_version = version
    with connected(node, port) as plain, context.wrap_socket(plain, server_hostname=node.hostname) as session:
        assert session.version() == {"TLSv1_2": "TLSv1.2", "TLSv1_3": "TLSv1.3"}[version.name]
        cipher = session.cipher()
        assert cipher is not None
        assert any(each in cipher[0] for each in ("GCM", "CHACHA20"))


# -- old versions and cipher suites, by a client hello of our own: no TLS library of today offers them ------------


def extension(kind: int, body: bytes) -> bytes:
    return struct.pack("!HH", kind, len(body)) + body


def client_hello(suites: tuple[int, ...], version: int) -> bytes:
    """The first record of a client that knows these suites and nothing newer than this version (RFC 5246, 7.4.1.2)."""
    groups = struct.pack("!HHHHH", 8, 0x001D, 0x0017, 0x0018, 0x0019)
    algorithms = (0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0203, 0x0201)
    signatures = struct.pack(f"!H{len(algorithms)}H", 2 * len(algorithms), *algorithms)
    extensions = extension(10, groups) + extension(11, b"\x01\x00") + extension(13, signatures)
    body = struct.pack("!H", version) + os.urandom(32) + b"\x00"
    body += struct.pack(f"!H{len(suites)}H", 2 * len(suites), *suites) + b"\x01\x00"
    body += struct.pack("!H", len(extensions)) + extensions
    handshake = b"\x01" + struct.pack("!I", len(body))[1:] + body
    return struct.pack("!BHH", _HANDSHAKE, 0x0301, len(handshake)) + handshake


class Refused(Exception):
    """The server did not go on; the number is its alert, or None when it just hung up (as Dovecot does)."""


def hello(node: Node, port: int, suites: tuple[int, ...], version: int = _TLS_1_2) -> int:
    """Greet with just these suites; returns the version that the server chose. Raises Refused."""
    with connected(node, port) as connection:
        connection.sendall(client_hello(suites, version))
        with connection.makefile("rb") as file:
            head = file.read(5)
            if not head:
                raise Refused(None)
            kind, _, length = struct.unpack("!BHH", head)
            content = file.read(length)
    if kind == _ALERT:
        raise Refused(content[1])
    assert (kind, content[0]) == (_HANDSHAKE, _SERVER_HELLO)
    return int(struct.unpack("!H", content[4:6])[0])


def refusal(node: Node, port: int, suites: tuple[int, ...], version: int = _TLS_1_2) -> int | None:
    """With which alert the server refuses that greeting."""
    with pytest.raises(Refused) as refused:
        hello(node, port, suites, version)
    alert: int | None = refused.value.args[0]
    return alert


@pytest.mark.parametrize("port", PORTS)
def test_a_client_with_good_suites_is_served(node: Node, port: int) -> None:
    assert hello(node, port, GOOD) == _TLS_1_2


@pytest.mark.parametrize("version", [0x0300, 0x0301, 0x0302], ids=["SSL 3", "TLS 1.0", "TLS 1.1"])
@pytest.mark.parametrize("port", PORTS)
def test_old_versions_are_refused(node: Node, port: int, version: int) -> None:
    # OpenSSL no longer knows SSL 3 at all and finds nothing in common
    expected = _HANDSHAKE_FAILURE if version == 0x0300 else _PROTOCOL_VERSION
    assert refusal(node, port, (*GOOD, *OF_OLD), version) in (expected, None)


@pytest.mark.parametrize("weakness", WEAK)
@pytest.mark.parametrize("port", PORTS)
def test_a_client_with_nothing_but_weak_suites_is_refused(node: Node, port: int, weakness: str) -> None:
    assert refusal(node, port, WEAK[weakness]) in (_HANDSHAKE_FAILURE, None)
