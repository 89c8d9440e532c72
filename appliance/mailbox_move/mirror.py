"""One home made like another, by rsync(1): every file with its times, so that Dovecot finds the mailbox it knew.

Runs as the account that mail belongs to: whatever stands in a home leads it to nothing that this account may not touch.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

from appliance import durable_files
from appliance.cluster.names import Seconds
from appliance.errors import PosthouseError

_VMAIL: Final = "vmail"
#: Stands in a home whose copy is complete; whatever is younger is not in the copy.
_COMPLETE: Final = ".posthouse-copied"
#: Times to the nanosecond: an index may change twice in a second without growing.
_OPTIONS: Final = (f"--exclude=/{_COMPLETE}", "--archive", "--hard-links", "--delete", "--modify-window=-1", "--mkpath")
#: Files that went away while they were being read, as in a mailbox that is in use (rsync(1), exit values).
_VANISHED: Final = 24


def copy(source: Path, target: Path, deadline: Seconds, lock: int) -> None:
    """Make `target` like `source`, which may be in use; what it holds at the end is on disk.

    rsync holds the open file `lock` as well: one that outlives us keeps the next move away. Raises PosthouseError.
    """
    _rsync(source, target, deadline, lock, "--fsync")


def differences(source: Path, target: Path, deadline: Seconds, lock: int) -> list[str]:
    """What `copy` would still have to do, a line each. Raises PosthouseError."""
    return [
        line for line in _rsync(source, target, deadline, lock, "--dry-run", "--itemize-changes").splitlines() if line
    ]


def note_complete(source: Path) -> None:
    """Note in a home that its copy is complete."""
    note = source / _COMPLETE
    note.unlink(missing_ok=True)
    durable_files.write_new(note, b"", 0o600)


def changed_after_completion(source: Path) -> Path | None:
    """A message that came into the home after its copy was complete: it is in no copy. None where there is none, or
    the copy never was complete and is the one to be removed."""
    try:
        complete = (source / _COMPLETE).lstat().st_mtime_ns
    except FileNotFoundError:
        return None
    for folder, _, files in os.walk(source):
        if Path(folder).name in {"new", "cur"}:
            for name in files:
                message = Path(folder, name)
                if message.lstat().st_ctime_ns > complete:
                    return message
    return None


def _rsync(source: Path, target: Path, deadline: Seconds, lock: int, *words: str) -> str:
    try:
        done = subprocess.run(
            ["rsync", *_OPTIONS, *words, f"{source}/", f"{target}/"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=deadline,
            user=durable_files.user_id(_VMAIL),
            group=durable_files.group_id(_VMAIL),
            extra_groups=(),
            umask=0o077,
            pass_fds=(lock,),
            cwd="/",
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PosthouseError("program-failed", program="rsync", detail=str(error)) from error
    if done.returncode not in {0, _VANISHED}:
        raise PosthouseError("program-failed", program="rsync", detail=done.stderr.strip()[-300:])
    return done.stdout
