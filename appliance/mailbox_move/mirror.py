"""One home made like another, by rsync(1): every file with its times, so that Dovecot finds the mailbox it knew.

Here runs rsync's sending side, as the account that mail belongs to: whatever stands in a home leads it to nothing that
this account may not touch. Its line goes to a `Carrier`, which brings it to the receiving side (`RECEIVE`, `COMPARE`).
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from appliance import durable_files
from appliance.cluster.names import Seconds
from appliance.errors import PosthouseError, Unavailable
from appliance.mailbox_move import line

_VMAIL: Final = "vmail"
#: Stands in a home whose copy is complete; whatever is younger is not in the copy.
COMPLETE: Final = ".posthouse-copied"
#: Seconds of silence after which either side gives up.
_SILENCE: Final = 120
#: Times to the nanosecond: an index may change twice in a second without growing.
_OPTIONS: Final = (
    f"--exclude=/{COMPLETE}",
    "--archive",
    "--hard-links",
    "--delete",
    "--modify-window=-1",
    f"--timeout={_SILENCE}",
)
#: What rsync asks of the other side for these options. The receiving side goes by its own copy of this and by nothing
#: that it is sent, and runs in the home; links that lead out of it are left out, or Dovecot would follow them into
#: another's mail. The letters after `e.` say what a release of rsync can do (protocol 31, 32).
_COMMON: Final = (f"--timeout={_SILENCE}", "--delete", "--modify-window=-1", "--safe-links")
RECEIVE: Final = ("rsync", "--server", "-lHogDtpre.iLsfxCIvu", *_COMMON, "--fsync", ".", ".")
COMPARE: Final = ("rsync", "--server", "-nlHogDtpre.iLsfxCIvu", "--log-format=%i", *_COMMON, ".", ".")
_LETTERS: Final = slice(0, 3)
#: Files that went away while they were being read (rsync(1), exit values): those that were left are copied.
_VANISHED: Final = 24
#: Files that could not be copied as they were found, as one that shrinks while it is read.
_PARTIAL: Final = 23
#: What may be in use is copied by a later copy.
_AT_REST: Final = frozenset({0, _VANISHED})
_IN_USE: Final = _AT_REST | {_PARTIAL}
#: So long rsync may take to ask for its line.
_START: Final = 10.0

#: Brings what is read from the first handle to the receiving side and what that one says to the second, at most for so
#: many seconds; gives the exit status of the receiving side. Raises PosthouseError.
Carrier = Callable[[int, int, Seconds], int]


def copy(source: Path, carry: Carrier, deadline: Seconds, lock: int, *, at_rest: bool) -> None:
    """Make the other side like `source`; what it holds at the end is on disk. Unless `source` is `at_rest`, what
    changes meanwhile may be left out.

    rsync holds the open file `lock` as well: one that outlives us keeps the next move away. Raises PosthouseError.
    """
    _rsync(source, carry, deadline, lock, RECEIVE, "--fsync", accept=_AT_REST if at_rest else _IN_USE)


def differences(source: Path, carry: Carrier, deadline: Seconds, lock: int) -> list[str]:
    """What `copy` would still have to do, a line each. Raises PosthouseError."""
    said = _rsync(source, carry, deadline, lock, COMPARE, "--dry-run", "--itemize-changes")
    return [each for each in said.splitlines() if each]


def note_complete(source: Path) -> None:
    """Note in a home that its copy is complete."""
    note = source / COMPLETE
    note.unlink(missing_ok=True)
    durable_files.write_new(note, b"", 0o600)


def is_complete(source: Path) -> bool:
    """Whether the home has a complete copy somewhere, and has not begun to be one itself since."""
    return (source / COMPLETE).exists()


def changed_after_completion(source: Path) -> Path | None:
    """A message that came into the home after its copy was complete: it is in no copy. None where there is none, or
    the copy never was complete and is the one to be removed."""
    try:
        complete = (source / COMPLETE).lstat().st_mtime_ns
    except FileNotFoundError:
        return None
    for folder, _, files in os.walk(source):
        if Path(folder).name in {"new", "cur"}:
            for name in files:
                message = Path(folder, name)
                if message.lstat().st_ctime_ns > complete:
                    return message
    return None


def _rsync(
    source: Path,
    carry: Carrier,
    deadline: Seconds,
    lock: int,
    wanted: tuple[str, ...],
    *words: str,
    accept: frozenset[int] = _AT_REST,
) -> str:
    ours, theirs = socket.socketpair()
    with ours, theirs, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        shell = f"{sys.executable} -I -S {line.__file__} {theirs.fileno()}"
        try:
            process = subprocess.Popen(
                ["rsync", *_OPTIONS, *words, f"--rsh={shell}", f"{source}/", "there:."],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=errors,
                user=durable_files.user_id(_VMAIL),
                group=durable_files.group_id(_VMAIL),
                extra_groups=(),
                umask=0o077,
                pass_fds=(lock, theirs.fileno()),
                cwd="/",
            )
        except OSError as error:
            raise PosthouseError("program-failed", program="rsync", detail=str(error)) from error
        theirs.close()
        try:
            _connect(ours, wanted, carry, deadline)
            status = process.wait(_SILENCE)
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            raise PosthouseError("program-failed", program="rsync", detail=_said(errors) or str(error)) from error
        finally:
            process.kill()
            process.wait()
        if status not in accept:
            raise PosthouseError("program-failed", program="rsync", detail=_said(errors))
        out.seek(0)
        return out.read().decode("utf-8", "replace")


def _connect(ours: socket.socket, wanted: tuple[str, ...], carry: Carrier, deadline: Seconds) -> None:
    ours.settimeout(_START)
    asked, handles, _, _ = socket.recv_fds(ours, line.LONGEST, 2)
    try:
        if tuple(json.loads(asked))[_LETTERS] != wanted[_LETTERS]:
            raise Unavailable("move-rsync-differs", detail=asked.decode(errors="replace")[:200])
        status = carry(handles[0], handles[1], deadline)
        ours.send(bytes((status if 0 <= status <= 255 else 1,)))  # noqa: PLR2004 - an exit status
    finally:
        for handle in handles:
            with suppress(OSError):
                os.close(handle)


def _said(errors: IO[bytes]) -> str:
    errors.seek(0)
    return errors.read().decode("utf-8", "replace").strip()[-300:]
