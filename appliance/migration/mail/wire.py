"""A message as IMAP shows it: every line ends in CRLF (RFC 3501, 2.3.4), however it is stored.

Dovecot stores LF and adds the CR when asked. That is exact, except for a message with
CR CR LF or with a CR at its end; such a message is stored with CRLF instead.
"""

from __future__ import annotations

import hashlib


class Wire:
    """Digest and sizes of a message, fed in chunks as it is stored."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._last_cr = False
        #: Bytes as stored, and as IMAP shows them.
        self.stored = 0
        self.virtual = 0
        self._exact = False

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        if not chunk:
            return
        self.stored += len(chunk)
        joined = b"\r" + chunk if self._last_cr else chunk
        self._exact = self._exact or b"\r\r\n" in joined
        self._last_cr = joined.endswith(b"\r")
        # A CR at the end waits: what follows says whether it belongs to a line's end.
        shown = (joined[:-1] if self._last_cr else joined).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        self.virtual += len(shown)
        self._hash.update(shown)

    @property
    def digest(self) -> str:
        """SHA-256 of the message as IMAP shows it, hexadecimal."""
        whole = self._hash.copy()
        if self._last_cr:
            whole.update(b"\r")
        return whole.hexdigest()

    @property
    def size(self) -> int:
        """Bytes of the message as IMAP shows it (RFC822.SIZE)."""
        return self.virtual + self._last_cr

    @property
    def exact(self) -> bool:
        """True when storing it with LF would change it."""
        return self._exact or self._last_cr


def digest(message: bytes) -> str:
    """The digest of a whole message."""
    wire = Wire()
    wire.feed(message)
    return wire.digest
