"""Work that the system does by itself at set times: systemd timers and cron (H22)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from appliance.node.commands import ask


@dataclass(frozen=True)
class TimerJob:
    """A systemd timer; a time is None when the timer never ran, or is not going to."""

    timer: str
    starts: str
    next_at: datetime | None
    last_at: datetime | None


@dataclass(frozen=True)
class CronJob:
    """A line of a crontab, or a script of one of the cron folders. `source` is the file it stands in."""

    schedule: str
    user: str
    command: str
    source: str


_TIMES = r"(?P<schedule>@\w+|(?:\S+\s+){4}\S+)"
_SYSTEM_LINE = re.compile(_TIMES + r"\s+(?P<user>\S+)\s+(?P<command>.+)")
_USER_LINE = re.compile(_TIMES + r"\s+(?P<command>.+)")
_ASSIGNMENT = re.compile(r"\w+\s*=")


def timers() -> tuple[TimerJob, ...]:
    """Every timer of the running system; none where systemd does not run."""
    return parse_timers(ask("systemctl", "list-timers", "--all", "--no-pager", "--output=json") or "")


def parse_timers(text: str) -> tuple[TimerJob, ...]:
    """Read `systemctl list-timers --output=json`: times are microseconds since 1970, 0 or null for never."""
    try:
        rows = json.loads(text)
    except ValueError:
        return ()
    if not isinstance(rows, list):
        return ()
    return tuple(
        TimerJob(row["unit"], row.get("activates") or "", _moment(row.get("next")), _moment(row.get("last")))
        for row in rows
        if isinstance(row, dict) and isinstance(row.get("unit"), str)
    )


def cron_jobs(root: Path = Path("/")) -> tuple[CronJob, ...]:
    """Every cron job below `root`: /etc/crontab, /etc/cron.d, people's crontabs and the cron folders."""
    return tuple(_cron_jobs(root))


def _cron_jobs(root: Path) -> Iterator[CronJob]:
    for path in (root / "etc/crontab", *_files(root / "etc/cron.d")):
        yield from parse_crontab(_text(path), str(path), user=None)
    for path in _files(root / "var/spool/cron/crontabs"):
        yield from parse_crontab(_text(path), str(path), user=path.name)
    for period in ("hourly", "daily", "weekly", "monthly"):
        for path in _files(root / f"etc/cron.{period}"):
            yield CronJob(f"@{period}", "root", path.name, str(path))


def parse_crontab(text: str, source: str, user: str | None) -> Iterator[CronJob]:
    """Read a crontab, see crontab(5). Lines of the system's own name a user; a person's (`user`) do not."""
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("#") or _ASSIGNMENT.match(stripped):
            continue
        match = (_USER_LINE if user else _SYSTEM_LINE).fullmatch(stripped)
        if match:
            schedule = " ".join(match["schedule"].split())
            yield CronJob(schedule, user or match["user"], match["command"], source)


def _moment(microseconds: Any) -> datetime | None:
    # The largest 64-bit number means never.
    if not isinstance(microseconds, int) or not 0 < microseconds < 2**62:
        return None
    return datetime.fromtimestamp(microseconds // 1_000_000, UTC)


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    except OSError:
        return []


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
