"""Letters as bytes: what a mail program writes, and how to find it again in what arrived."""

from __future__ import annotations

import re
from email.header import Header

#: The fields that servers put on top of a message on its way (RFC 5321 4.4; Delivered-To by Dovecot).
_TRACE = re.compile(rb"(?:(?:Return-Path|Delivered-To|Received):.*\r\n(?:[ \t].*\r\n)*)+", re.IGNORECASE)


def written(sender: str, recipient: str, word: str, subject: str = "你好") -> bytes:
    """A complete letter with a Chinese subject and 8-bit text, a line of a dot alone and a long line."""
    return (
        f"Date: Tue, 24 Nov 2026 06:06:29 +0800\r\nMessage-ID: <{word}@client.example.net>\r\n"
        f"From: =?utf-8?B?546L?= <{sender}>\r\nTo: {recipient}\r\nSubject: {encoded(subject)}\r\n"
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
        f"驿站 {word}\r\n.\r\n..\r\nFrom here on\r\n{'长' * 300}\r\n"
    ).encode()


def encoded(text: str) -> str:
    """A header's text as an encoded word (RFC 2047)."""
    return Header(text, "utf-8").encode()


def without_trace(arrived: bytes) -> bytes:
    """A message without the fields that servers put on top of it."""
    found = _TRACE.match(arrived)
    assert found, arrived[:200]
    return arrived[found.end() :]
