"""One node of the lab: a container of the shipped root filesystem with systemd as its init.

A node keeps its disk (`folder`/upper) until the lab ends, so it can be killed and
booted again like a server. Life: boot -> (freeze -> thaw)* -> kill or shutdown -> boot ...
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

from tests.lab import cgroups, network
from tests.lab.host import CommandFailed, LabError, Process, command, container_init, runs_systemd
from tests.lab.polling import wait_until

if TYPE_CHECKING:
    from tests.lab.lab import Lab

T = TypeVar("T")

DOMAIN = "posthouse.test"
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
}
#: Timers and consoles that would only disturb; masked on the container's kernel command line, not on its disk.
_MASKED = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "fstrim.timer",
    "console-getty.service",
)
#: What nspawn withholds by default and the product's services hold on a real server.
_CAPABILITIES = "CAP_NET_ADMIN,CAP_IPC_LOCK"

#: What differs from a server: a journal that drops nothing, and a clock that is the host's. chrony serves that
#: clock as a time source and does not set it (-x): a container must not.
_LAB_FILES = {
    "etc/systemd/journald.conf.d/lab.conf": "[Journal]\nStorage=persistent\nRateLimitBurst=0\nSyncIntervalSec=1\n",
    "etc/systemd/system/chrony.service.d/lab.conf": "[Unit]\nConditionCapability=\n",
    "etc/default/chrony": 'DAEMON_OPTS="-F 1 -x"\n',
    "etc/chrony/conf.d/lab.conf": "local stratum 10\n",
}


class Node:
    """A node, made by `Lab.node`. `options` are further ones for systemd-nspawn (binds of devices, …)."""

    def __init__(self, lab: Lab, name: str, number: int, options: Sequence[str] = ()) -> None:
        self.lab = lab
        self.name = name
        self.number = number
        self.options = tuple(options)
        self.machine = f"{lab.machine}-{name}"
        self.folder = lab.folder / name
        self._supervisor: Process | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._aged = False
        #: Its power switch and a test may both switch it at one moment.
        self._switching = threading.RLock()

    # -- what it is ------------------------------------------------------------------------------------------

    @property
    def hostname(self) -> str:
        """Its fully qualified name."""
        return f"{self.name}.{DOMAIN}"

    @property
    def address(self) -> str:
        """Its IPv4 address on the lab's bridge."""
        return network.node_address(self.number)

    @property
    def address6(self) -> str:
        """Its IPv6 address on the lab's bridge."""
        return network.node_address6(self.number)

    @property
    def supervisor(self) -> Process | None:
        """The systemd-nspawn process, while the container lives."""
        if self._supervisor is None or not self._supervisor.alive:  # another process may have booted it again
            try:
                self._supervisor = Process(*json.loads((self.folder / "supervisor").read_text()))
            except FileNotFoundError:
                return None
        return self._supervisor if self._supervisor.alive else None

    @property
    def init(self) -> Process | None:
        """The container's init, while it lives."""
        supervisor = self.supervisor
        return container_init(supervisor) if supervisor else None

    @property
    def running(self) -> bool:
        return self.supervisor is not None

    @property
    def root(self) -> Path:
        """The node's file tree as this host can read and write it, while the node runs."""
        return Path(f"/proc/{self._require_init().pid}/root")

    # -- its life --------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make its disk and its network port. Called once by the lab."""
        for part in ("upper", "work", "root"):
            (self.folder / part).mkdir(parents=True)
        self.put_offline("etc/hostname", self.hostname + "\n")
        self.put_offline("etc/machine-id", uuid.uuid4().hex + "\n", mode=0o444)
        self.put_offline("etc/resolv.conf", f"nameserver {network.LAB_ADDRESS}\noptions timeout:1 attempts:1\n")
        for path, text in _LAB_FILES.items():
            self.put_offline(path, text)
        network.attach(self.lab.namespace, self.machine, self.number)

    def put_offline(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file of the node's disk before it boots (parents are made as root's, mode 0755)."""
        if self.running:
            raise LabError(f"{self.name} runs: write through the node")
        target = self.folder / "upper" / path
        for folder in reversed(target.relative_to(self.folder / "upper").parents):
            place = self.folder / "upper" / folder
            if not place.exists():
                place.mkdir()
                place.chmod(0o755)
        target.write_text(text)
        target.chmod(mode)

    def boot(self, *, timeout: float = 60.0) -> Node:
        """Start the container; return when systemd has started everything (failed units do not matter)."""
        self.launch()
        self.wait_booted(timeout=timeout)
        return self

    def launch(self) -> None:
        """Start the container and return at once."""
        with self._switching:
            self._launch()

    def switch_on(self) -> None:
        """Start the container unless it runs, and return at once: its power switch and a test may both want to."""
        with self._switching:
            if not self.running:
                self._launch()

    def _launch(self) -> None:
        if self.running:
            raise LabError(f"{self.name} runs already")
        self._aged = False
        self.lab.save()  # its options, for those who attach to the lab
        network.forget_addresses(self.machine, self.number)
        self.plug()
        script = [str(Path(__file__).with_name("boot-node")), self.machine, ":".join(map(str, self.lab.lowers))]
        nspawn = [
            f"--network-namespace-path={network.namespace_path(self.machine)}",
            f"--hostname={self.hostname}",
            f"--capability={_CAPABILITIES}",
            *self.options,
            "--boot",
            *(f"systemd.mask={unit}" for unit in _MASKED),
        ]
        if runs_systemd():
            pid = self._launch_as_unit([*script, str(self.folder), "unit", *nspawn])
        else:
            pid = self._launch_as_child([*script, str(self.folder), "own", *nspawn])
        process = Process.of(pid)
        if process is None:
            raise LabError(f"{self.name} ended while starting: {self.console()}")
        self._supervisor = process
        draft = self.folder / "supervisor.new"  # others read it at any moment
        draft.write_text(json.dumps([process.pid, process.started]))
        draft.replace(self.folder / "supervisor")

    def _launch_as_child(self, script: list[str]) -> int:
        with (self.folder / "console").open("ab") as console:
            self._child = subprocess.Popen(
                ["unshare", "--mount", "--propagation=private", *script],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )
        return self._child.pid

    def _launch_as_unit(self, script: list[str]) -> int:
        log = f"append:{self.folder / 'console'}"
        properties = (
            "Delegate=yes",
            "TasksMax=infinity",
            "KillMode=mixed",
            f"StandardOutput={log}",
            "PrivateMounts=yes",
        )
        command(
            "systemd-run",
            "--quiet",
            "--collect",
            f"--unit={cgroups.unit(self.machine)}",
            *(f"--property={each}" for each in (*properties, f"StandardError={log}")),
            *script,
        )
        return int(command("systemctl", "show", "--property=MainPID", "--value", cgroups.unit(self.machine)))

    def wait_booted(self, *, timeout: float = 60.0) -> None:
        """Wait until systemd inside says that starting is over."""

        def ready() -> bool:
            if not self.running:
                raise LabError(f"{self.name} ended while booting: {self.console()}")
            if self.init is None:
                return False
            self._age_processes()
            done = self.run("systemctl", "is-system-running", check=False, timeout=10)
            return done.stdout.strip() in ("running", "degraded")

        wait_until(
            f"{self.name} booted", ready, timeout=timeout, explain=self.console, ignore=subprocess.TimeoutExpired
        )

    def _age_processes(self) -> None:
        """Let processes have numbers like those of a server that ran for long: no two nodes have the same ones."""
        init = self.init
        if init and not self._aged:
            most = int(Path("/proc/sys/kernel/pid_max").read_text())
            line = f"echo {random.randrange(most // 8, most // 2)} >/proc/sys/kernel/ns_last_pid"
            command("nsenter", f"--target={init.pid}", "--pid", "sh", "-c", line)
            self._aged = True

    def kill(self) -> None:
        """End the container at once: its cable first, then shared disks, then all its processes in one instant.

        Nobody hears of it any more, and its shared disks get nothing more, as in a power cut. Its own disk is no such
        thing: the kernel lives on, so what was written there is kept.
        """
        with self._switching:
            self._kill()

    def _kill(self) -> None:
        with suppress(CommandFailed):
            self.unplug()
        init, supervisor = self.init, self.supervisor
        for disk in self.lab.disks.values():
            if init and self.name in disk.loops:
                disk.cut(self)
        for process in (init, supervisor if init is None else None):
            if process:
                process.signal(signal.SIGKILL)
        # a process that cgroup v1 has frozen dies only when it is thawed; the group may be gone meanwhile
        with suppress(LookupError, OSError):
            self.thaw()
        self._wait_ended(15.0)

    def shutdown(self, *, timeout: float = 60.0) -> None:
        """Shut down in order, as `systemctl poweroff` does."""
        init = self.init
        if init:
            init.signal(signal.SIGRTMIN + 4)
            self._wait_ended(timeout)

    def _wait_ended(self, timeout: float) -> None:
        wait_until(f"{self.name} ended", lambda: not self.running, timeout=timeout, every=0.02, explain=self.console)
        if self._child:
            self._child.wait()
            self._child = None
        with suppress(CommandFailed):
            self.unplug()
        for disk in self.lab.disks.values():
            disk.wait_gone(self)
        cgroups.remove(self.machine)
        self._supervisor = None

    def freeze(self) -> None:
        """Stop every process of the node where it stands: it answers nothing and does not know it."""
        cgroups.set_frozen(self.machine, frozen=True)

    def thaw(self) -> None:
        """Let a frozen node go on."""
        if self.running:
            cgroups.set_frozen(self.machine, frozen=False)

    def unplug(self) -> None:
        """Pull its network cable."""
        network.set_cable(self.lab.namespace, self.number, plugged=False)

    def plug(self) -> None:
        """Plug its network cable in again."""
        network.set_cable(self.lab.namespace, self.number, plugged=True)

    def remove(self) -> None:
        """End it and remove what it used of the host, but for its folder."""
        self.kill()
        network.detach(self.lab.namespace, self.number)
        network.remove(self.machine)

    # -- working in it ---------------------------------------------------------------------------------------

    def _require_init(self) -> Process:
        init = self.init
        if init is None:
            raise LabError(f"{self.name} is not running")
        return init

    def command_line(self, *arguments: str, env: Mapping[str, str] | None = None) -> list[str]:
        """The host's command that runs `arguments` inside the node as root, with a clean environment."""
        environment = [f"{key}={value}" for key, value in {**_ENVIRONMENT, **(env or {})}.items()]
        enter = ["nsenter", f"--target={self._require_init().pid}", "--all", "--root", "--wd"]
        return [*enter, "env", "--ignore-environment", *environment, *arguments]

    def run(
        self,
        *arguments: str,
        input: str | None = None,
        check: bool = True,
        timeout: float = 60.0,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside as root. Raises CommandFailed unless it ends with 0 (or `check` is off).

        After `timeout` seconds it is killed and subprocess.TimeoutExpired raised. Bytes
        that are no UTF-8 come back as surrogates (`errors="surrogateescape"`).
        """
        process = self.popen(*arguments, env=env, stdin=subprocess.DEVNULL if input is None else subprocess.PIPE)
        try:
            output, errors = process.communicate(input, timeout=timeout)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise
        if check and process.returncode:
            raise CommandFailed([f"{self.name}:", *arguments], process.returncode, output, errors)
        return subprocess.CompletedProcess(list(arguments), process.returncode, output, errors)

    def popen(
        self,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        stdin: int | IO[Any] = subprocess.DEVNULL,
        stdout: int | IO[Any] = subprocess.PIPE,
        stderr: int | IO[Any] = subprocess.PIPE,
    ) -> subprocess.Popen[str]:
        """Start a command inside as root, in a process group of its own."""
        return subprocess.Popen(
            self.command_line(*arguments, env=env),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            encoding="utf-8",
            errors="surrogateescape",
            start_new_session=True,
        )

    def wait_until(self, what: str, condition: Callable[[], T], *, timeout: float = 30.0, every: float = 0.1) -> T:
        """Wait for a condition; when it does not come true, say so with the node's last journal lines."""
        return wait_until(f"{self.name}: {what}", condition, timeout=timeout, every=every, explain=self.last_words)

    def active(self, unit: str) -> bool:
        """True when the unit is active."""
        return self.run("systemctl", "is-active", "--quiet", unit, check=False).returncode == 0

    # -- what it said ----------------------------------------------------------------------------------------

    def journal(self, unit: str | None = None, *, lines: int | None = None, since: str | None = None) -> str:
        """The journal of a unit or of the whole node, also of one that is down. `since` as journalctl takes it."""
        options = ["--no-pager", "--quiet", "--output=short-precise"]
        options += [f"--unit={unit}"] if unit else []
        options += [f"--lines={lines}"] if lines else []
        options += [f"--since={since}"] if since else []
        if self.init:
            return self.run("journalctl", *options).stdout
        logs = self.folder / "upper" / "var" / "log" / "journal"
        return command("journalctl", f"--directory={logs}", *options) if logs.is_dir() else ""

    def last_words(self, lines: int = 40) -> str:
        """The last lines of its journal, or what there is to say instead."""
        try:
            return self.journal(lines=lines)
        except (LabError, subprocess.TimeoutExpired) as error:
            return f"(no journal: {error})"

    def console(self) -> str:
        """The last lines of its console."""
        try:
            return "\n".join((self.folder / "console").read_text(errors="replace").splitlines()[-20:])
        except FileNotFoundError:
            return "(no console output)"
