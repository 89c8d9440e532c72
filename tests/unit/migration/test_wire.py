"""A message as IMAP shows it: the same digest however it is stored and cut into chunks."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.migration.mail.wire import Wire, digest

MESSAGES = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"a", b"bc", "你".encode("gb18030"), b"\0"])).map(b"".join)


def shown(message: bytes) -> bytes:
    """What IMAP shows, said in another way: a LF without a CR before it gets one."""
    out = bytearray()
    for byte in message:
        if byte == 0x0A and not out.endswith(b"\r"):
            out += b"\r"
        out.append(byte)
    return bytes(out)


@given(MESSAGES, st.integers(1, 5))
def test_digest_and_size_are_those_of_what_imap_shows(message: bytes, step: int) -> None:
    wire = Wire()
    for start in range(0, len(message), step):
        wire.feed(message[start : start + step])
    expected = shown(message)
    assert wire.digest == hashlib.sha256(expected).hexdigest() == digest(message)
    assert wire.size == len(expected)
    assert wire.stored == len(message)


@given(MESSAGES)
def test_a_message_that_is_not_exact_is_the_same_when_stored_with_lf(message: bytes) -> None:
    wire = Wire()
    wire.feed(message)
    if not wire.exact:
        assert digest(message.replace(b"\r\n", b"\n")) == wire.digest


@pytest.mark.parametrize("message", [b"a\r\r\nb\n", b"a\n\r", b"\r"])
def test_what_lf_would_change_is_known(message: bytes) -> None:
    wire = Wire()
    wire.feed(message)
    assert wire.exact
