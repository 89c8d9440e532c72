"""What Postfix's own programs say about a rendered configuration.

`postconf` finds names that nobody uses, tables that do not open and lines of
master.cf that cannot be read; `postmap` finds bad values of the parameters that all
programs share; `smtpd -S` finds bad restrictions and values of its own. `postfix
check` is left out: it looks at the queue and the installed programs, makes and
chowns folders, and finds no more than these about the configuration.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_DEADLINE: Final = 20.0
_SMTPD: Final = "/usr/lib/postfix/sbin/smtpd"
#: Postfix reads main.cf again and again until it is this old (seconds), lest it read half of one.
COOL: Final = 10.0
#: No line of a log is longer (octets).
_LONGEST: Final = 65536
_GRAVE: Final = re.compile(r"^(fatal|panic|error): ")
_SPOOL: Final = re.compile(r"^(queue|data)_directory = .*$", re.MULTILINE)
#: The group's addresses are up where it runs, and a standby is checked as well.
_INTERFACES: Final = re.compile(r"^inet_interfaces = .*$", re.MULTILINE)


def problems(folder: Path) -> list[str]:
    """Everything that speaks against the configuration in `folder`; empty when nothing does.

    Runs on a copy with a queue of its own, so that neither the real queue, its volume nor the group's addresses
    are needed.
    """
    with tempfile.TemporaryDirectory(prefix="posthouse-postfix-") as scratch:
        trial = Path(scratch)
        # smtpd looks at its queue as its own user
        trial.chmod(0o755)
        for name in ("queue", "data"):
            (trial / name).mkdir(mode=0o755)
        main = _SPOOL.sub(lambda match: f"{match[1]}_directory = {trial / match[1]}", (folder / "main.cf").read_text())
        main = _INTERFACES.sub("inet_interfaces = all", main)
        _put(trial, main)
        (trial / "master.cf").write_text((folder / "master.cf").read_text())
        return (
            _complaints(["postconf", "-c", scratch])
            or _complaints(["postmap", "-c", scratch, "-q", "nothing", "static:nothing"])
            or _smtpd_complaints(trial, main)
        )


def _put(trial: Path, main: str) -> None:
    """Write main.cf, old enough to be read once."""
    (trial / "main.cf").write_text(main)
    cooled = (trial / "main.cf").stat().st_mtime - COOL
    os.utime(trial / "main.cf", (cooled, cooled))


def _complaints(command: list[str]) -> list[str]:
    result = _run(command, None)
    said = [line for line in result.stderr.splitlines() if line.strip()]
    return said or ([f"{command[0]}: exit status {result.returncode}"] if result.returncode else [])


def _smtpd_complaints(trial: Path, main: str) -> list[str]:
    """Whether smtpd greets, and its own words when it does not.

    Without TLS: no tlsmgr(8) runs beside the trial, so smtpd would wait for it, warn and go without.
    """
    _put(trial, f"{main}\nmaillog_file_prefixes = {trial}\nmaillog_file = {trial / 'log'}\n")
    with _postlog(trial / "queue/public") as said:
        result = _run([_SMTPD, "-S", "-o", "smtpd_tls_security_level=none"], "QUIT\r\n", MAIL_CONFIG=str(trial))
    if result.returncode == 0 and result.stdout.startswith("220 "):
        return []
    grave = [line for line in said if _GRAVE.search(line)]
    return grave or said or [result.stderr.strip() or f"smtpd does not greet: exit status {result.returncode}"]


@contextmanager
def _postlog(folder: Path) -> Iterator[list[str]]:
    """Stand in for postlogd(8), for which programs wait a second where nobody listens; what they say, without times."""
    said: list[str] = []
    folder.mkdir(mode=0o755)
    name = str(folder / "postlog")

    def listen() -> None:
        while line := socket_.recv(_LONGEST):
            said.append(line.decode(errors="replace").partition("]: ")[2])

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as socket_:
        socket_.bind(name)
        Path(name).chmod(0o666)
        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        try:
            yield said
        finally:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
                last.sendto(b"", name)
            listener.join(_DEADLINE)


def _run(command: list[str], text: str | None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        input=text,
        stdin=subprocess.DEVNULL if text is None else None,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_DEADLINE,
        env={**os.environ, **environment},
        check=False,
    )
