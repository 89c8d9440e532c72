"""How many processes serve each of Postfix's listeners, and how many may: master(8) itself says so to syslog only.

Every process is a child of the master and has its service's name in its arguments
(`-n`, smtpd(8) and master(8)); the limits stand in master.cf (master(5)).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import psutil

_SMTPD = ["smtpd", "-n"]
#: The column of master.cf, from 0.
_LIMIT = 6


def serving(volume: Path) -> Counter[str]:
    """The smtpd processes of the instance on `volume`, by the first word of their line in master.cf.

    Empty when there is no master.
    """
    try:
        master = psutil.Process(int((volume / "postfix/spool/pid/master.pid").read_text()))
        children = master.children()
    except (OSError, ValueError, psutil.Error):
        return Counter()
    return count(map(_arguments, children))


def limits(text: str) -> dict[str, int]:
    """The limit of processes of each smtpd service in a master.cf that gives one. Pure."""
    lines = [line.split() for line in text.splitlines() if line[:1] not in ("", " ", "#")]
    return {each[0]: int(each[_LIMIT]) for each in lines if each[_LIMIT + 1 :] == _SMTPD[:1] and each[_LIMIT].isdigit()}


def count(commands: Iterable[Sequence[str]]) -> Counter[str]:
    """How many of these commands are smtpd processes of each service. Pure."""
    place = len(_SMTPD)
    return Counter(each[place] for each in commands if list(each[:place]) == _SMTPD and len(each) > place)


def _arguments(process: psutil.Process) -> Sequence[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # it has ended
        return ()
