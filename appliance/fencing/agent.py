"""One program of fence-agents, by its protocol on standard input.

The protocol: name=value lines, `action` among them; the exit status is the answer. For `status`, 0 is on, 2 is off and
1 is an error (FenceAgentAPI.md of https://github.com/ClusterLabs/fence-agents, "fence_status").
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from appliance.cluster.decided import FenceSpec
from appliance.errors import PosthouseError

#: Where Debian's package, and an operator, put such programs.
FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")
#: So much of what a program says is kept for the operator.
_SAID = 300
_ON, _OFF = 0, 2
#: How soon a program that is not wanted any more is ended, seconds.
_STOPPED_WITHIN = 0.1


class FenceFailed(PosthouseError):
    """The program could not be run at all, or its parameters could not be read."""


@dataclass(frozen=True)
class Answer:
    """How a program ended: `status` None when it did not in time. `said` is its last words, never a secret."""

    status: int | None
    said: str = ""


def find(agent: str, folders: tuple[str, ...] = FOLDERS) -> Path:
    """The program's path; raise FenceFailed when it is not installed."""
    found = shutil.which(agent, path=os.pathsep.join(folders))
    if found is None:
        raise FenceFailed("fence-agent-missing", agent=agent)
    return Path(found)


def parameters(spec: FenceSpec, sealing_key: Path | None) -> dict[str, str]:
    """What the program is to be given, with its secrets unsealed; raise SealingFailed."""
    given = dict(spec.parameters)
    if spec.sealed:
        from appliance.pki import sealing  # noqa: PLC0415 - 6 MB that only a fence with secrets pays for

        given |= {name: sealing.unseal(value, sealing_key) for name, value in spec.sealed.items()}
    return given


def run(
    program: Path, action: str, given: dict[str, str], timeout: float, stop: threading.Event | None = None
) -> Answer:
    """Run the program for one action and wait `timeout` seconds at most; then it and its children are killed.

    They are killed too as soon as `stop` is set. Raises FenceFailed when it cannot be started.
    """
    words = "".join(f"{name}={value}\n" for name, value in {**given, "action": action}.items())
    try:
        process = subprocess.Popen(
            [str(program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise FenceFailed("fence-agent-unusable", agent=program.name, detail=error.strerror or str(error)) from error
    said = _said(process, words.encode(), timeout, stop)
    if said is None:
        _end(process)
        return Answer(None)
    return Answer(process.returncode, _told(said, given))


def _said(process: subprocess.Popen[bytes], words: bytes, timeout: float, stop: threading.Event | None) -> bytes | None:
    """What the program says until it ends; None when it does not in time, or is to stop."""
    until = time.monotonic() + timeout
    given: bytes | None = words
    while stop is None or not stop.is_set():
        left = until - time.monotonic()
        if left <= 0:
            return None
        try:
            return process.communicate(given, timeout=left if stop is None else min(left, _STOPPED_WITHIN))[0]
        except subprocess.TimeoutExpired:
            given = None  # it has been given; what was said is kept for the next try
    return None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill it with its children. A child that left the group may hold the pipe: its output is not waited for."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=1.0)


def is_off(answer: Answer) -> bool | None:
    """What an answer to `status` says; None: nothing that can be relied on."""
    return {_OFF: True, _ON: False}.get(answer.status) if answer.status is not None else None


def _told(said: bytes, given: dict[str, str]) -> str:
    """The last words in one line. A value that was given may be a secret, and some programs repeat them."""
    text = " ".join(said.decode("utf-8", "replace").split())
    for name, value in given.items():
        if any(word in name for word in ("pass", "secret", "key", "token")) and value:
            text = text.replace(value, "***")
    return "".join(character for character in text[-_SAID:] if character.isprintable())
