"""Auditors: independent of the senders and workers, they count what really stands in the mailboxes."""

from __future__ import annotations

import imaplib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tests.load.senders import Ledger
from tests.load.workers import FOLDERS, IDENTITY, MailboxLedger, Place, insecure


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
    for address, password in accounts.items():
        with imaplib.IMAP4_SSL(host, ssl_context=insecure(), timeout=30) as session:
            session.login(address, password)
            found += _identities(session, folder)
    return found


def _identities(session: imaplib.IMAP4_SSL, folder: str) -> Counter[str]:
    """Count each load message of a folder. Raises IMAP4.error when the folder cannot be read."""
    state, said = session.select(folder, readonly=True)
    if state != "OK":
        raise imaplib.IMAP4.error(f"{folder}: {said!r}")
    _, parts = session.uid("FETCH", "1:*", "(BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")
    matches = (IDENTITY.search(part[1]) for part in parts if isinstance(part, tuple))
    return Counter(match[1].decode() for match in matches if match)


def audit(ledger: Ledger, found: Counter[str], fetched: Iterable[str] = ()) -> Finding:
    """Hold what was accepted against what is there; `fetched` was taken out by POP3 workers."""
    sent = ledger.accepted.keys() | ledger.unsure
    duplicates = {identity: count for identity, count in found.items() if count > 1 and identity in sent}
    return Finding(
        lost=frozenset(ledger.accepted.keys() - found.keys() - set(fetched)),
        duplicates=duplicates,
        delivered=sum(found.values()),
    )


@dataclass(frozen=True)
class Misplaced:
    """A message that is not where the last answered operation left it."""

    identity: str
    allowed: tuple[str, ...]
    found: tuple[str, ...]


def whereabouts(host: str, address: str, password: str) -> dict[str, list[str]]:
    """The folders in which each message of an IMAP worker stands, once for each copy."""
    found: dict[str, list[str]] = {}
    with imaplib.IMAP4_SSL(host, ssl_context=insecure(), timeout=30) as session:
        session.login(address, password)
        for folder in FOLDERS:
            for identity, count in _identities(session, folder).items():
                found.setdefault(identity, []).extend([folder] * count)
    return found


def audit_mailbox(ledger: MailboxLedger, found: Mapping[str, list[str]]) -> list[Misplaced]:
    """Hold what was answered OK against what is there. A message whose last operation was not answered may be in
    either place, or in both: a move is a copy and a deletion."""
    return [
        Misplaced(identity, tuple(str(each) for each in allowed), tuple(found.get(identity, [])))
        for identity, allowed in ledger.places.items()
        if not _is_as_answered(allowed, found.get(identity, []))
    ]


def _is_as_answered(allowed: frozenset[Place], there: list[str]) -> bool:
    if len(allowed) == 1:
        return there == [each for each in allowed if each]
    return set(there) <= allowed and (bool(there) or None in allowed)
