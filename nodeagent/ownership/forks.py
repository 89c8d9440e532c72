"""Processes for what may hang: mounting, unmounting, storage keys, addresses. Each has a deadline and an end.

A server process forks one process for each job: forking costs a few milliseconds where starting Python costs a
good part of a second of outage. The server is the parent of everything that a job starts, orphans included
(PR_SET_CHILD_SUBREAPER, prctl(2)), so it knows when nothing of a job runs any more. A mount(2) that hangs in the
kernel outlives SIGKILL: its job is over only when it is, and nobody unmounts in between.

A job's line is a socket pair. The keeper's end closed, or the deadline passed: the job is killed. The server's
end closed: the job is over.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from appliance.cluster.names import Seconds
from appliance.errors import PosthouseError, Unavailable

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
#: Longest request and longest answer.
_LONGEST = 65_536
#: Between two looks at jobs that were killed and are not over.
_AGAIN = 0.05
#: So long an old server may take to end, looked at so often.
_FAREWELL, _POLL = 1.0, 0.01


class WorkFailed(PosthouseError):
    """A job ended with an error; its key and facts are those of the error in the job's process."""


class WorkEnded(Unavailable):
    """A job was killed, at its deadline or by its keeper, or its process crashed."""

    def __init__(self, job: str) -> None:
        super().__init__("work-ended", job=job)


# --- the keeper's side ------------------------------------------------------------------------------------


@dataclass
class Job:
    """One job on its way."""

    name: str
    line: socket.socket

    def kill(self) -> None:
        """From any thread: end it as soon as the kernel lets it; `wait` still waits until it is over."""
        with suppress(OSError):
            self.line.shutdown(socket.SHUT_WR)

    def wait(self) -> None:
        """Wait until nothing of the job runs any more; raise WorkFailed or WorkEnded unless it went well."""
        answer = b""
        with self.line:
            while part := _received(self.line):
                answer = part
        if not answer:
            raise WorkEnded(self.name)
        said = json.loads(answer)
        if said:
            raise WorkFailed(said["key"], **said["facts"])


def _received(line: socket.socket) -> bytes:
    try:
        return line.recv(_LONGEST)
    except ConnectionResetError:
        return b""


class Forks:
    """The server, as the keeper sees it; started when it is first needed, and again when it died. Thread-safe.

    `module` has the function `do` that carries out a request; only the server imports it, and only when it has to.
    """

    def __init__(self, module: str = "nodeagent.ownership.work") -> None:
        self._module = module
        self._lock = threading.Lock()
        self._line: socket.socket | None = None
        #: The server's process.
        self.pid: int | None = None

    def split_off(self) -> None:
        """Fork the server from this process, which shares its memory; only while this process has one thread."""
        mine, its = _pair()
        gc.collect()
        gc.freeze()  # a collection writes into every object it looks at, and would end the sharing
        self.pid = os.fork()
        if self.pid == 0:
            gc.disable()
            mine.close()
            _serve_and_exit(its, self._module)
        its.close()
        self._line = mine

    def start(self, request: Mapping[str, Any], deadline: Seconds) -> Job:
        """Begin a job; raises OSError when there is no process for it."""
        mine, its = _pair()
        text = json.dumps({**request, "deadline": deadline}).encode()
        with its:
            try:
                self._send(text, its)
            except OSError:
                mine.close()
                raise
        return Job(str(request.get("do")), mine)

    def warm(self) -> None:
        """Let the server load what jobs need, so that the first one does not wait for it."""
        with suppress(OSError):
            self.start({"do": "warm"}, Seconds(30.0)).line.close()

    def close(self) -> None:
        """End the server, and with it every job."""
        with self._lock:
            if self._line is not None:
                self._line.close()
                self._line = None
                self._reap()

    def _send(self, text: bytes, its: socket.socket) -> None:
        with self._lock:
            if self._line is not None:
                with suppress(OSError):
                    socket.send_fds(self._line, [text], [its.fileno()])
                    return
                self._line.close()
            self._launch()
            assert self._line is not None
            socket.send_fds(self._line, [text], [its.fileno()])

    def _reap(self) -> None:
        """A server whose line is closed ends when its jobs are over; one that hangs is left to itself."""
        until = time.monotonic() + _FAREWELL
        with suppress(ChildProcessError):
            while self.pid is not None and os.waitpid(self.pid, os.WNOHANG) == (0, 0) and time.monotonic() < until:
                time.sleep(_POLL)
        self.pid = None

    def _launch(self) -> None:
        self._reap()
        mine, its = _pair()
        with its:
            its.set_inheritable(True)
            self.pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-m", "nodeagent.ownership.forks", str(its.fileno()), self._module],
                os.environ,
                file_actions=[(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)],
            )
        self._line = mine


def _pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


# --- the server's side ------------------------------------------------------------------------------------


@dataclass
class _Running:
    """A job: its process group, which is the number of its first process."""

    group: int
    ends: float
    killed: bool = False


class _Server:
    def __init__(self, line: socket.socket, module: str) -> None:
        self._line = line
        self._module = module
        self._running: dict[socket.socket, _Running] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(line, selectors.EVENT_READ)
        self._wake, wake = os.pipe()
        for end in (self._wake, wake):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self._selector.register(self._wake, selectors.EVENT_READ)

    def serve(self) -> None:
        """Until the keeper's end closes; then every job is killed, and the server ends when they are over."""
        listening = True
        while listening or self._running:
            for key, _ in self._selector.select(self._pause()):
                if key.fileobj is self._line:
                    listening = self._accept()
                elif key.fileobj == self._wake:
                    with suppress(BlockingIOError):
                        os.read(self._wake, 512)
                elif isinstance(key.fileobj, socket.socket):
                    self._hung_up(key.fileobj)
            if not listening:
                for job in self._running.values():
                    job.killed = True
            self._tend()

    def _accept(self) -> bool:
        try:
            text, passed, _, _ = socket.recv_fds(self._line, _LONGEST, 1)
        except ConnectionResetError:
            text, passed = b"", []
        if not text:
            self._selector.unregister(self._line)
            return False
        answer = socket.socket(fileno=passed[0])
        request = json.loads(text)
        if request["do"] == "warm":
            answer.close()
            importlib.import_module(self._module)
            return True
        server = os.getpid()
        process = os.fork()
        if process == 0:
            _work_and_exit(self._module, request, answer, server)
        with suppress(ProcessLookupError, PermissionError):
            os.setpgid(process, process)  # here and in the process: whoever is first
        self._running[answer] = _Running(process, time.monotonic() + request["deadline"])
        self._selector.register(answer, selectors.EVENT_READ)
        return True

    def _hung_up(self, answer: socket.socket) -> None:
        self._selector.unregister(answer)
        self._running[answer].killed = True

    def _pause(self) -> float | None:
        if not self._running:
            return None
        if any(job.killed for job in self._running.values()):
            return _AGAIN
        return max(0.0, min(job.ends for job in self._running.values()) - time.monotonic())

    def _tend(self) -> None:
        now = time.monotonic()
        for answer, job in list(self._running.items()):
            if job.killed or now >= job.ends:
                job.killed = True
                with suppress(ProcessLookupError):
                    os.killpg(job.group, signal.SIGKILL)
            if _is_over(job.group):
                del self._running[answer]
                with suppress(KeyError):
                    self._selector.unregister(answer)
                answer.close()


def _is_over(group: int) -> bool:
    """Reap what has ended; True when no process of the group is left, our own child or an orphan of it."""
    while True:
        try:
            reaped, _ = os.waitpid(-group, os.WNOHANG)
        except ChildProcessError:
            return True
        if reaped == 0:
            return False


def _serve_and_exit(line: socket.socket, module: str) -> None:
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # it ends when the line is closed
    try:
        _Server(line, module).serve()
    finally:
        os._exit(0)


def _work_and_exit(module: str, request: dict[str, Any], answer: socket.socket, server: int) -> None:
    """In the job's process: do it, say how it went, end."""
    os.setpgid(0, 0)
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != server:  # it died before that
        os._exit(1)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    try:
        importlib.import_module(module).do(request)
        said: dict[str, Any] = {}
    except PosthouseError as error:
        said = {"key": error.key, "facts": {name: str(value) for name, value in error.facts.items()}}
    except BaseException as error:
        said = {"key": "work-crashed", "facts": {"job": str(request.get("do")), "detail": repr(error)}}
    with suppress(OSError):
        answer.send(json.dumps(said).encode()[:_LONGEST])
    os._exit(0)


if __name__ == "__main__":
    _serve_and_exit(socket.socket(fileno=int(sys.argv[1])), sys.argv[2])
