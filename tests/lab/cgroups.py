"""Control groups of a node's container, with cgroup v1, v2 and systemd's hybrid of both.

On a bare host the lab makes the groups itself (`boot-node` moves into them); where
systemd runs, the node is a transient service with a delegated group.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from tests.lab.host import CommandFailed, command, runs_systemd
from tests.lab.polling import wait_until

_ROOT = Path("/sys/fs/cgroup")


def unit(machine: str) -> str:
    """The transient service that runs the machine where systemd is in charge."""
    return f"{machine}.service"


def folders(machine: str) -> list[Path]:
    """The machine's cgroup folders that exist now, one for each hierarchy."""
    if runs_systemd():
        path = command("systemctl", "show", "--property=ControlGroup", "--value", unit(machine)).strip()
        candidates = [_ROOT / path.lstrip("/"), *(_ROOT.glob(f"*{path}"))] if path else []
    else:
        candidates = [_ROOT / machine, *_ROOT.glob(f"*/{machine}")]
    return [folder for folder in candidates if folder.is_dir()]


def set_frozen(machine: str, *, frozen: bool) -> None:
    """Stop or resume every process of the machine at once; return when it is so."""
    control, order, report, line = _freezer(machine, frozen=frozen)
    control.write_text(order)
    wait_until(f"{machine}: {line}", lambda: line in report.read_text().splitlines(), every=0.01)


def _freezer(machine: str, *, frozen: bool) -> tuple[Path, str, Path, str]:
    """The file to write, what to write, the file that reports, and the line in it that says it is done."""
    existing = folders(machine)
    for folder in existing:
        if (folder / "cgroup.freeze").exists():
            return folder / "cgroup.freeze", str(int(frozen)), folder / "cgroup.events", f"frozen {int(frozen)}"
    for folder in existing:
        if (folder / "freezer.state").exists():
            state = "FROZEN" if frozen else "THAWED"
            return folder / "freezer.state", state, folder / "freezer.state", state
    raise LookupError(f"no freezer cgroup of {machine}")


def remove(machine: str) -> None:
    """Remove what is left of the groups of a machine that has ended."""
    if runs_systemd():
        for action in ("stop", "reset-failed"):
            with suppress(CommandFailed):
                command("systemctl", action, unit(machine))
        return
    for top in folders(machine):
        for folder in [*sorted(top.rglob("*"), reverse=True), top]:
            if folder.is_dir():
                with suppress(OSError):
                    folder.rmdir()
