"""Which journal lines an operator is shown."""

from __future__ import annotations

import json

from nodeagent.agent.journal import tell


def entry(message: str, pid: int) -> str:
    return json.dumps({"MESSAGE": message, "_PID": str(pid)})


def test_the_units_own_words_come_before_systemds_words_about_it() -> None:
    entries = [entry("no such file", 99), entry("Main process exited", 1), entry("Scheduled restart", 1), "{torn"]
    assert tell(entries, 5) == ("no such file",)
    assert tell(entries[1:], 1) == ("Scheduled restart",)
    assert tell([json.dumps({"MESSAGE": [1, 2], "_PID": "9"})], 5) == ()


def test_what_the_probes_leave_in_the_log_is_left_out() -> None:
    noise = [
        "imap-login: Info: Login: user=<posthouse-probe>, method=PLAIN, rip=127.0.0.1",
        "imap(posthouse-probe)<7><x>: Info: Disconnected: Logged out in=30 out=500",
        "lmtp(12): Info: Connect from local",
        "lmtp(12): Info: Disconnect from local: Logged out (state=READY)",
        "connect from localhost[127.0.0.1]",
        "disconnect from localhost[127.0.0.1] ehlo=1 quit=1 commands=2",
    ]
    signs = [
        "imap-login: Info: Login: user=<alice@a.test>, method=PLAIN, rip=127.0.0.1",
        "disconnect from localhost[127.0.0.1] ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5",
        "fatal: open lock file: unable to set exclusive lock",
    ]
    lines = [entry(message, 9) for message in (*signs, *noise)]
    assert tell(lines, 5) == tuple(signs)


def test_probes_come_from_the_groups_own_address_too() -> None:
    lines = [entry(f"connect from unknown[{address}]", 9) for address in ("10.0.0.7", "2001:db8::7", "10.0.0.8")]
    assert tell(lines, 5, ("10.0.0.7", "2001:db8::7")) == ("connect from unknown[10.0.0.8]",)
