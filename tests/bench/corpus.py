"""A mailbox to read: messages in threads, with Latin and Chinese subjects, written straight into a Maildir.

The same messages each time (a seeded generator), named as Dovecot names them, with
their sizes (S=, W=).
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Final

from tests.bench.accounts import DOMAIN

_WORDS: Final = [
    f"{start}{middle}{end}" for start in "bdfgklmprst" for middle in ("a", "eo", "i", "ou") for end in "nrlsx"
]
_CHINESE_SUBJECTS: Final = ("=?UTF-8?B?5pyI5bqm5oql5ZGK?=", "=?UTF-8?B?5Lya6K6u6YCa55+l?=")
_SUBJECTS: Final = (*_CHINESE_SUBJECTS, "Invoice", "Minutes", "Holiday plans", "Build")
_START: Final = datetime(2026, 1, 1, tzinfo=UTC)
#: In one message of fifty, in its body only.
RARE_WORD: Final = "postillion"


@dataclass(frozen=True)
class Written:
    """A message and the instant at which it arrived."""

    text: bytes
    arrived: datetime


def messages(count: int, seed: int = 57) -> Iterator[Written]:
    """Messages of 1 to 8 KB; a third of them start a thread, the others answer one of the last hundred."""
    dice = random.Random(seed)
    threads: list[tuple[str, list[str]]] = []
    for number in range(count):
        arrived = _START + timedelta(minutes=20 * number, seconds=dice.randrange(1200))
        identity = f"<{number}.{dice.getrandbits(48):x}@{DOMAIN}>"
        if threads and dice.random() < 2 / 3:
            subject, references = dice.choice(threads[-100:])
            subject, references = f"Re: {subject.removeprefix('Re: ')}", references[-8:]
        else:
            subject, references = f"{dice.choice(_SUBJECTS)} {dice.choice(_WORDS)}", []
        threads.append((subject, [*references, identity]))
        yield Written(_compose(dice, number, arrived, (identity, subject, references)), arrived)


def _compose(dice: random.Random, number: int, arrived: datetime, thread: tuple[str, str, list[str]]) -> bytes:
    identity, subject, references = thread
    sent = arrived - timedelta(seconds=dice.randrange(86400) if number % 20 == 0 else dice.randrange(60))
    header = [
        f"Return-Path: <{dice.choice(_WORDS)}@example.net>",
        f"Received: from mail.example.net by mail.{DOMAIN} with ESMTPS id {number:x}; {format_datetime(arrived)}",
        f"Date: {format_datetime(sent)}",
        f"From: {dice.choice(_WORDS).title()} {dice.choice(_WORDS).title()} <{dice.choice(_WORDS)}@example.net>",
        f"To: bench <bench@{DOMAIN}>",
        f"Subject: {subject}",
        f"Message-ID: {identity}",
        *([f"In-Reply-To: {references[-1]}", f"References: {' '.join(references)}"] if references else []),
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: 8bit",
    ]
    lines = [" ".join(dice.choices(_WORDS, k=14)) for _ in range(dice.randrange(10, 110))]
    if number % 50 == 0:
        lines.append(f"the {RARE_WORD} rode on")
    return ("\n".join([*header, "", *lines]) + "\n").encode()


def write_maildir(folder: Path, count: int, owner: int) -> None:
    """Write `count` messages as seen mail into a new Maildir, all of it owned by `owner`."""
    for part in (folder.parent, folder, *(folder / name for name in ("cur", "new", "tmp"))):
        part.mkdir(parents=True, exist_ok=True)
    for number, message in enumerate(messages(count)):
        seconds = int(message.arrived.timestamp())
        size, virtual = len(message.text), len(message.text) + message.text.count(b"\n")
        path = folder / "cur" / f"{seconds}.M{number}P1.bench,S={size},W={virtual}:2,{'S' if number % 10 else ''}"
        path.write_bytes(message.text)
        path.chmod(0o600)
    hand_over(folder.parent, owner)


def hand_over(folder: Path, owner: int) -> None:
    """Give a tree to its owner."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, owner, owner)
