"""All the load at once, and what its ledgers say against the mailboxes when it is over."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.lab.polling import wait_until
from tests.load.auditors import Finding, Misplaced, audit, audit_mailbox, delivered, whereabouts
from tests.load.senders import Senders
from tests.load.workers import ImapWorker, Pop3Worker


@dataclass(frozen=True)
class People:
    """The accounts that the load uses, all of one password."""

    domain: str
    password: str

    @property
    def imap(self) -> str:
        return f"imap@{self.domain}"

    @property
    def pop3(self) -> str:
        return f"pop3@{self.domain}"

    @property
    def probe(self) -> str:
        return f"probe@{self.domain}"

    @property
    def posts(self) -> tuple[str, ...]:
        """Who gets the senders' messages."""
        return (self.pop3, f"post1@{self.domain}", f"post2@{self.domain}")

    @property
    def all(self) -> tuple[str, ...]:
        return (self.imap, self.probe, *self.posts)


@dataclass(frozen=True)
class Outcome:
    """What the audit of mail found. `wrong` must be empty."""

    accepted: int
    changed: int
    fetched: int
    mail: Finding
    misplaced: tuple[Misplaced, ...] = ()
    refused_for_good: tuple[str, ...] = ()

    @property
    def wrong(self) -> list[str]:
        """Everything that breaks a promise."""
        return [
            *(f"lost: {identity}" for identity in self.mail.lost),
            *(f"{each.identity} should be in {each.allowed}, is in {each.found}" for each in self.misplaced),
            *(f"refused for good: {each}" for each in self.refused_for_good),
        ]

    def __str__(self) -> str:
        return (
            f"{self.accepted} messages accepted, {self.changed} changes confirmed, {self.fetched} fetched, "
            f"{len(self.mail.duplicates)} arrived twice; wrong: {self.wrong or 'nothing'}"
        )


@dataclass
class MailLoad:
    """Senders, an IMAP worker and a POP3 worker against one address."""

    host: str
    people: People
    senders: Senders = field(init=False)
    imap: ImapWorker = field(init=False)
    pop3: Pop3Worker = field(init=False)

    def __post_init__(self) -> None:
        self.senders = Senders(self.host, self.people.posts, senders=2, pause=0.1, size=2000)
        self.imap = ImapWorker(self.host, self.people.imap, self.people.password)
        self.pop3 = Pop3Worker(self.host, self.people.pop3, self.people.password)

    def start(self) -> MailLoad:
        """Begin; returns when each kind of work goes on."""
        self.senders.start()
        self.imap.start()
        self.pop3.start()
        self.wait_flowing()
        return self

    def _done(self) -> tuple[int, int, int]:
        return self.senders.accepted, self.imap.done, self.pop3.done

    def wait_flowing(self, *, timeout: float = 60.0) -> None:
        """Wait until each kind of work has got on since now."""
        before = self._done()
        wait_until(
            "the load flows",
            lambda: all(now > then for now, then in zip(self._done(), before, strict=True)),
            timeout=timeout,
            explain=lambda: f"refused lately: {(self.imap.refusals + self.pop3.refusals)[-4:]}",
        )

    def stop(self) -> None:
        """End all of it in order; the deliveries may go on."""
        self.senders.stop()
        self.imap.stop()
        self.pop3.stop()

    def outcome(self) -> Outcome:
        """Audit; the queue is empty."""
        ledger = self.senders.ledger
        found = delivered(self.host, dict.fromkeys(self.people.posts, self.people.password))
        places = whereabouts(self.host, self.people.imap, self.people.password)
        return Outcome(
            accepted=len(ledger.accepted),
            changed=self.imap.done,
            fetched=len(self.pop3.taken),
            mail=audit(ledger, found, self.pop3.taken | self.pop3.unsure),
            misplaced=tuple(audit_mailbox(self.imap.ledger, places)),
            refused_for_good=tuple(ledger.refused_for_good),
        )
