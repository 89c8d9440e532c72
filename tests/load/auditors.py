"""Auditors: independent of the senders, they count what really stands in the mailboxes."""

from __future__ import annotations

import imaplib
import re
import ssl
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from tests.load.senders import Ledger

_IDENTITY = re.compile(rb"<([0-9a-f]{32})@load\.test>")


@dataclass(frozen=True)
class Finding:
    """What an audit found. Nothing may be lost; a copy more is allowed only where an answer got lost on its way
    (client to server, or queue to mailbox when one of them was killed: RFC 5321, 4.5.4.1 and 6.1)."""

    lost: frozenset[str]
    duplicates: Mapping[str, int]
    delivered: int


def delivered(host: str, accounts: Mapping[str, str], folder: str = "INBOX") -> Counter[str]:
    """Count each load message in the mailboxes of `accounts` (address -> password), over IMAPS."""
    found: Counter[str] = Counter()
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    for address, password in accounts.items():
        with imaplib.IMAP4_SSL(host, ssl_context=context, timeout=30) as session:
            session.login(address, password)
            session.select(folder, readonly=True)
            _, parts = session.uid("FETCH", "1:*", "(BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")
            for part in parts:
                if isinstance(part, tuple) and (match := _IDENTITY.search(part[1])):
                    found[match[1].decode()] += 1
    return found


def audit(ledger: Ledger, found: Counter[str]) -> Finding:
    """Hold what was accepted against what is there."""
    duplicates = {identity: count for identity, count in found.items() if count > 1}
    return Finding(
        lost=frozenset(ledger.accepted.keys() - found.keys()),
        duplicates=duplicates,
        delivered=sum(found.values()),
    )
