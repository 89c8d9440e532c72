"""The demo's small mail load, and what it counts: `python -m tests.demo.load HOST DOMAIN FILE`, password on its input.

Runs until SIGTERM; writes how much was sent, delivered to mailboxes and changed into FILE every second.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from pathlib import Path

from tests.load.mail_load import MailLoad, People

_EVERY = 1.0


def main() -> None:
    """Keep the load going until told to end."""
    host, domain, file = sys.argv[1:]
    load = MailLoad(host, People(domain, sys.stdin.readline().strip()))
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    for part in (load.senders, load.imap, load.pop3):
        part.start()
    while not ended.wait(_EVERY):
        draft = Path(file + ".new")
        draft.write_text(json.dumps({"accepted": load.senders.accepted, "changed": load.imap.done}))
        draft.replace(file)
    load.stop()


if __name__ == "__main__":
    main()
