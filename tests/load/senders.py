"""SMTP senders that write down every message the server took responsibility for.

A message counts as accepted only when the answer to the final dot was 250
(RFC 5321, 6.1); everything else may be sent again under the same identity, so an
identity that was answered 250 twice, or once after a lost answer, may arrive twice.
"""

from __future__ import annotations

import smtplib
import sys
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage

_CONNECT = 5.0
_PAUSE = 0.2


@dataclass
class Ledger:
    """What was accepted, by message identity -> recipient; and identities whose answer got lost."""

    accepted: dict[str, str] = field(default_factory=dict)
    unsure: set[str] = field(default_factory=set)
    refused_for_now: int = 0
    refused_for_good: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass
class Senders:
    """Several senders at once against one server, until stopped or each has sent its share.

    `pause`, seconds: waited between two messages of a sender.
    """

    host: str
    recipients: Sequence[str]
    each: int = sys.maxsize
    senders: int = 4
    pause: float = 0.0
    size: int = 4096
    port: int = 25
    ledger: Ledger = field(default_factory=Ledger)
    _ended: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> Senders:
        """Begin; returns at once."""
        for number in range(self.senders):
            thread = threading.Thread(target=self._send_share, args=(number,), daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def finish(self, timeout: float) -> Ledger:
        """Wait until every sender has its share accepted; raise TimeoutError after `timeout` seconds."""
        until = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        alive = sum(thread.is_alive() for thread in self._threads)
        self._ended.set()
        if alive:
            raise TimeoutError(f"{alive} senders not done; {len(self.ledger.accepted)} accepted")
        return self.ledger

    def stop(self) -> Ledger:
        """End the senders where they are."""
        self._ended.set()
        for thread in self._threads:
            thread.join(_CONNECT * 3)
        return self.ledger

    @property
    def accepted(self) -> int:
        return len(self.ledger.accepted)

    def _send_share(self, number: int) -> None:
        left, identity = self.each, uuid.uuid4().hex
        while left and not self._ended.is_set():
            try:
                with smtplib.SMTP(self.host, self.port, timeout=_CONNECT) as session:
                    while left and not self._ended.wait(self.pause):
                        self._send_one(session, number, identity)
                        left, identity = left - 1, uuid.uuid4().hex
            except smtplib.SMTPResponseException as error:
                self._note_refusal(error, identity)
                time.sleep(_PAUSE)
            except (OSError, smtplib.SMTPException):
                time.sleep(_PAUSE)

    def _send_one(self, session: smtplib.SMTP, number: int, identity: str) -> None:
        recipient = self.recipients[hash(identity) % len(self.recipients)]
        message = EmailMessage()
        message["From"] = f"sender{number}@load.test"
        message["To"] = recipient
        message["Subject"] = f"load {identity}"
        message["Message-ID"] = f"<{identity}@load.test>"
        message.set_content("x" * 70 + "\n" + ("y" * 70 + "\n") * (self.size // 71))
        try:
            refused = session.sendmail(f"sender{number}@load.test", [recipient], message.as_bytes())
        except smtplib.SMTPRecipientsRefused as error:
            code, text = next(iter(error.recipients.values()))
            raise smtplib.SMTPResponseException(code, text) from error
        except (OSError, smtplib.SMTPServerDisconnected):
            # The answer to the dot may have been lost on its way: the message may be there.
            with self.ledger.lock:
                self.ledger.unsure.add(identity)
            raise
        assert not refused
        with self.ledger.lock:
            self.ledger.accepted[identity] = recipient

    def _note_refusal(self, error: smtplib.SMTPResponseException, identity: str) -> None:
        with self.ledger.lock:
            if error.smtp_code >= 500:
                self.ledger.refused_for_good.append(f"{identity}: {error.smtp_code} {error.smtp_error!r}")
            else:
                self.ledger.refused_for_now += 1
