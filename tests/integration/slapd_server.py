"""A real slapd of the root filesystem's for the directory's tests: our rendered configuration, on a socket of its own.

It runs by the root filesystem's own loader and libraries, without chroot and without
root: the identities that slapd knows are mapped to the uids that the test gives.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

import pytest

from appliance.cluster.model import Node, Role, ServiceGroup
from appliance.cluster.names import LOCAL_GROUP, MAIL_GROUP, NodeName
from appliance.directory import schema
from appliance.directory.connection import DirectoryConnection, DirectoryUnavailable
from appliance.directory.model import Mailbox
from appliance.directory.service import DirectoryService
from appliance.engines.base import RenderContext
from appliance.engines.slapd import Slapd, seed
from appliance.settings.layers import SYSTEM, Layer
from appliance.settings.registry import defaults
from tests.lab import LabError, rootfs

#: Of no password that anybody knows.
HASH = "{SSHA512}" + "eHh4" * 24
_LIBRARIES = ("usr/lib/x86_64-linux-gnu", "usr/lib/ldap")


@contextmanager
def running(**uids: int) -> Iterator[SlapdServer]:
    """A slapd with an empty directory, in memory where that is possible: its disk is tested elsewhere.

    `uids` says who stands for which account besides root.
    """
    memory = Path("/dev/shm")
    with TemporaryDirectory(prefix="slapd-", dir=memory if os.access(memory, os.W_OK) else None) as folder:
        made = SlapdServer(Path(folder), {"root": os.getuid(), **uids})
        made.folder.chmod(0o755)
        made.set_up()
        made.start()
        try:
            yield made
        finally:
            made.stop()


@contextmanager
def emptied(server: SlapdServer) -> Iterator[DirectoryService]:
    """The server's directory with nothing in it."""
    with server.service() as opened:
        for domain in list(opened.domains.all()):
            opened.delete_domain(domain.name)
        for gone in list(opened.mailboxes.deleted()):
            assert opened.mailboxes.doom(gone)
        for gone in list(opened.mailboxes.doomed(MAIL_GROUP)):
            opened.mailboxes.forget(gone)
        yield opened


def make(directory: DirectoryService, address: str) -> Mailbox:
    """A mailbox with a cheap password."""
    return directory.mailboxes.create(directory.mailboxes.wanted(address, password_hash=HASH))


def needs_slapd() -> pytest.MarkDecorator:
    """Skips where the root filesystem has not been built."""
    try:
        there = _base().exists()
    except LabError:
        there = False
    return pytest.mark.skipif(not there, reason="needs slapd of the root filesystem: ./run rootfs")


def context() -> RenderContext:
    """What slapd is rendered from on a node."""
    return RenderContext(
        instance=schema.SLAPD,
        group=ServiceGroup(name=LOCAL_GROUP),
        node=Node(name=NodeName("n1"), roles=frozenset({Role.DIRECTORY})),
        hostname="n1.example.com",
        settings=defaults(),
    )


@dataclass
class SlapdServer:
    """One slapd. Its database outlives `stop` and `kill`. `uids` says who stands for which account."""

    folder: Path
    uids: Mapping[str, int] = field(default_factory=lambda: {"root": os.getuid()})
    process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        return self.folder / "ldapi"

    @property
    def uri(self) -> str:
        return f"ldapi://{quote(str(self.socket), safe='')}"

    @property
    def configuration(self) -> Path:
        return self.folder / "slapd.conf"

    def set_up(self) -> None:
        """Render the configuration into the folder and load the first entries."""
        (self.folder / "database").mkdir(exist_ok=True)
        facts = context()
        base = _base()
        for name, file in Slapd(self.uids.__getitem__).render(facts).items():
            text = file.text.replace(str(facts.volume / "slapd"), str(self.folder / "database"))
            text = text.replace(str(facts.config), str(self.folder)).replace(str(facts.run), str(self.folder))
            text = text.replace("include /etc/", f"include {base}/etc/").replace(
                "modulepath /usr/", f"modulepath {base}/usr/"
            )
            (self.folder / name).write_text(text)
        self.tool("slapadd", "-w", "-b", schema.SUFFIX, "-f", str(self.configuration), text=seed.tree())

    def start(self) -> None:
        """Start and wait until it answers."""
        assert self.process is None
        # no word to this machine's syslog (-s 0): where nobody reads that, slapd would wait for ever
        command = [*_command("slapd"), "-d", "none", "-s", "0", "-h", f"{self.uri}/????x-mod=-rwxrwxrwx"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "-f", str(self.configuration)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        ends = time.monotonic() + 20
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > ends:
                raise RuntimeError((self.folder / "log").read_text())

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it by a signal; SIGKILL is a crash."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(30)
            self.process = None

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def tool(self, name: str, *arguments: str, text: str | None = None) -> str:
        """Run slapadd, slapcat, slaptest; return what it prints."""
        done = subprocess.run(
            [*_command(name), *arguments], input=text, capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        return done.stdout

    def connection(self, *, answer_deadline: int = 10) -> DirectoryConnection:
        return DirectoryConnection(self.uri, answer_deadline=answer_deadline)

    def service(self, settings: Mapping[str, str] | None = None) -> DirectoryService:
        """The directory with the given system settings (JSON texts by name)."""
        layer = Layer(SYSTEM, settings or {})
        return DirectoryService(self.connection(), lambda: layer)

    def _answers(self) -> bool:
        try:
            with self.connection(answer_deadline=1) as connection:
                return connection.read(schema.SUFFIX, ("1.1",)) is not None
        except DirectoryUnavailable:
            return False


def _base() -> Path:
    """The layer of the root filesystem that holds Debian."""
    return rootfs.layers()[-1]


def _command(name: str) -> list[str]:
    """How to run a program of the root filesystem with its own loader and libraries."""
    base = _base()
    libraries = ":".join(str(base / each) for each in _LIBRARIES)
    loader = base / "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
    return [str(loader), "--library-path", libraries, str(base / "usr/sbin" / name)]
