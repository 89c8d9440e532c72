"""Dovecot's tools on the group's instance, for one mailbox: doveadm and a pre-authenticated IMAP session.

They run with the configuration in force, start as root, and become the account that
owns mail. What a run needs besides (a further namespace, another server's password)
stands in a file of mode 0600 under /run; nothing secret is ever an argument.
"""

from __future__ import annotations

import os
import re
import secrets
import shlex
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from imapclient import IMAPClient

from appliance import paths
from appliance.cluster.names import EngineName, GroupName, InstanceId
from appliance.cluster.report import Notice
from appliance.errors import Unavailable
from appliance.migration.mail import wire
from appliance.migration.mail.here import FolderHere, folders
from appliance.migration.mail.processes import Children

_RUN = paths.RUN / "migration"
#: For questions; transfers are bounded by dsync's own time-out of each exchange instead.
_ASK = 600.0
_IO_TIMEOUT = "300"
_LOCK_WAIT = "60"
_BATCH = 500
_NAMES_AT_ONCE = 50
#: dsync's exit code when something changed while it ran: another run is wanted (doveadm-sync(1)).
AGAIN = 2
_RUNS = 3
_PROBLEM = re.compile(r"(?:^|: )(Error|Fatal|Panic): (?P<text>(?!Raw backtrace).*)")
_SHOWN = 300
#: Only what can stand in an address reaches the command of a session.
_ADDRESS = re.compile(r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-z0-9.-]+")
_NAMESPACE = "posthouse-migration/"


@dataclass(frozen=True)
class Done:
    """A doveadm that ended: its exit code, output, and what it complained about."""

    status: int
    output: str
    problems: tuple[str, ...]


class Dovecot:
    """Doveadm for one mailbox. `children` notes the running process, so that an orphan can be ended later."""

    def __init__(self, address: str, group: GroupName, children: Children) -> None:
        assert _ADDRESS.fullmatch(address), address
        self.address = address
        self.config = paths.config(InstanceId(EngineName("dovecot"), group)) / "dovecot.conf"
        self._children = children

    # -- asking ------------------------------------------------------------------------------------------------

    def require_running(self) -> None:
        """Raise Unavailable unless the instance answers and knows the mailbox."""
        done = self.run("user", "-f", "home", self.address, timeout=_ASK)
        if done.status:
            raise Unavailable("migrate-dovecot-unavailable", address=self.address, detail="; ".join(done.problems))

    def here(self) -> dict[str, FolderHere]:
        """What the mailbox holds. Raises Unavailable."""
        status = self._ask("-f", "tab", "mailbox", "status", "-u", self.address, "messages uidnext", "*")
        fetched = self._ask("-f", "tab", "fetch", "-u", self.address, "guid uid mailbox", "mailbox", "*")
        return folders(status, fetched)

    def quota(self) -> tuple[int, int] | None:
        """Bytes used and the limit; None without a limit. Raises Unavailable."""
        for line in self._ask("-f", "tab", "quota", "get", "-u", self.address).splitlines()[1:]:
            *_, kind, used, limit, _ = line.split("\t")
            if kind == "STORAGE" and limit.isdecimal():
                return int(used) * 1024, int(limit) * 1024
        return None

    def recount(self) -> Done:
        """Count what the mailbox holds anew into maildirsize: a killed run may have left files uncounted."""
        return self.run("quota", "recalc", "-u", self.address, timeout=_ASK)

    def digests(self, folder: str, uids: Sequence[int]) -> Counter[str]:
        """Digests of messages in a folder, read over IMAP. Raises Unavailable."""
        command = shlex.join(["doveadm", "-c", str(self.config), "exec", "imap", "-u", self.address])
        found: Counter[str] = Counter()
        try:
            with IMAPClient(f"exec {command} 2>/dev/null", stream=True, ssl=False) as session:
                session.select_folder(folder, readonly=True)
                for start in range(0, len(uids), _BATCH):
                    answer = session.fetch(list(uids[start : start + _BATCH]), ["BODY.PEEK[]"])
                    found.update(wire.digest(message[b"BODY[]"]) for message in answer.values())
        except (OSError, IMAPClient.Error) as error:
            raise Unavailable("migrate-dovecot-unavailable", address=self.address, detail=str(error)) from None
        return found

    # -- changing ----------------------------------------------------------------------------------------------

    def take_whole(self, location: Path, *, without_inbox: bool) -> Done:
        """Merge a Maildir++ tree into the mailbox by dsync: nothing that is here is changed or removed."""
        options = ["-x", "INBOX"] if without_inbox else []
        return self._synchronise(["sync", "-1", "-R", *options], f"maildir:{location}", self.config)

    def copy(self, location: Path, place: str, folder: str, count: int, *, exact: bool) -> Done:
        """Copy the `count` messages of folder `place`, whose UIDs are 1 to `count`, behind those of `folder`."""
        options = ["-o", "mail_save_crlf=yes"] if exact else []
        problems: list[str] = []
        with self.configuration(_hidden_namespace(location)) as config:
            for first in range(1, count + 1, _BATCH):
                messages = f"{first}:{min(first + _BATCH - 1, count)}"
                query = ["mailbox", _NAMESPACE + place, "uid", messages]
                done = self.run(*options, "copy", "-u", self.address, folder, *query, config=config)
                problems += done.problems
                if done.status:
                    return Done(done.status, "", tuple(problems))
        return Done(0, "", tuple(problems))

    def create(self, folder: str) -> Done:
        """Make a folder that is missing."""
        return self.run("mailbox", "create", "-u", self.address, folder, timeout=_ASK)

    def subscribe(self, wanted: Sequence[str]) -> Done:
        """Subscribe to folders."""
        done = Done(0, "", ())
        for start in range(0, len(wanted), _NAMES_AT_ONCE):
            names = wanted[start : start + _NAMES_AT_ONCE]
            done = self.run("mailbox", "subscribe", "-u", self.address, *names, timeout=_ASK)
        return done

    def mirror(self, source: str, config: Path, exclude: Sequence[str]) -> Done:
        """Make the mail location of `config` equal to `source`, by dsync."""
        options = [option for folder in exclude for option in ("-x", folder)]
        return self._synchronise(["backup", "-R", *options], source, config)

    def import_all(self, source: str, config: Path) -> Done:
        """Copy every message of the inbox of `source` into the mail location of `config`."""
        return self.run("import", "-u", self.address, source, "", "mailbox", "INBOX", config=config)

    def _synchronise(self, command: list[str], source: str, config: Path) -> Done:
        done = Done(0, "", ())
        for _ in range(_RUNS):
            done = self.run(*command, "-l", _LOCK_WAIT, "-T", _IO_TIMEOUT, "-u", self.address, source, config=config)
            if done.status != AGAIN:
                break
        return done

    # -- running -----------------------------------------------------------------------------------------------

    @contextmanager
    def configuration(self, text: str) -> Iterator[Path]:
        """A configuration that adds `text` to the one in force; only root can read it, and it is removed."""
        _RUN.mkdir(mode=0o700, exist_ok=True)
        _remove_left_behind()
        path = _RUN / f"{os.getpid()}-{secrets.token_hex(8)}.conf"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(f"!include {self.config}\n{text}")
        try:
            yield path
        finally:
            path.unlink()

    def run(self, *arguments: str, config: Path | None = None, timeout: float | None = None) -> Done:
        """Run doveadm to its end."""
        command = ["doveadm", "-c", str(config or self.config), *arguments]
        with (
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
            ) as process,
            self._children.noted(process),
        ):
            try:
                output, errors = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                raise Unavailable(
                    "migrate-dovecot-unavailable", address=self.address, detail=f"> {timeout:.0f} s"
                ) from None
            except BaseException:
                process.kill()
                raise
        return Done(process.returncode, output, _problems(errors))

    def _ask(self, *arguments: str) -> str:
        done = self.run(*arguments, timeout=_ASK)
        if done.status:
            raise Unavailable("migrate-dovecot-unavailable", address=self.address, detail="; ".join(done.problems))
        return done.output


def _remove_left_behind() -> None:
    """Remove the files of runs that were killed."""
    for path in _RUN.glob("*.conf"):
        owner = path.name.partition("-")[0]
        if not Path(f"/proc/{owner}").exists():
            path.unlink(missing_ok=True)


def _problems(errors: str) -> tuple[str, ...]:
    """The distinct complaints in what doveadm wrote, shortened."""
    found = dict.fromkeys(
        match["text"][:_SHOWN] for line in errors.splitlines() if (match := _PROBLEM.search(line.strip()))
    )
    return tuple(found)


def complaint(done: Done, what: str) -> list[Notice]:
    """Notices of a doveadm that failed, or that complained."""
    details = list(done.problems) or ([f"exit {done.status}"] if done.status else [])
    facts: Mapping[str, str | int | float]
    notices = []
    for detail in details[:10]:
        facts = {"what": what, "detail": detail}
        notices.append(Notice(key="migrate-dovecot-says", facts=facts))
    return notices


def _hidden_namespace(location: Path) -> str:
    return (
        f"namespace migration {{\n  prefix = {_NAMESPACE}\n  separator = /\n  location = maildir:{location}\n"
        "  list = no\n  hidden = yes\n  subscriptions = no\n}\n"
        # Only the mailbox's own folders count: a count begun now must not take the source in.
        "plugin {\n  quota = maildir:Mailbox:noenforcing:ns=\n}\n"
    )
