"""Accounts whose ids stand on volumes: the same number on every node, or the node is refused.

A group's volume moves between nodes; a queue owned by uid 57025 must be postfix's
everywhere. Debian gives dynamic ids, so they are renumbered before anything is
written, together with the folders that Debian's packages made.
"""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from appliance import durable_files, paths
from appliance.cluster.names import Seconds
from appliance.errors import PosthouseError

_DEADLINE = Seconds(60.0)
#: Stands while files may carry numbers from before.
JOURNAL = paths.STATE / "renumbering.json"


@dataclass(frozen=True)
class FixedGroup:
    """A group with its number."""

    name: str
    gid: int


@dataclass(frozen=True)
class FixedUser:
    """An account with its number, its primary group, and the folders Debian's package gave it."""

    name: str
    uid: int
    group: FixedGroup
    home: str = "/nonexistent"
    folders: tuple[Path, ...] = ()


POSTDROP = FixedGroup("postdrop", 57026)
GROUPS = (POSTDROP,)
USERS = (
    FixedUser("posthouse", 57001, FixedGroup("posthouse", 57001)),
    FixedUser("vmail", 57143, FixedGroup("vmail", 57143)),
    FixedUser(
        "postfix",
        57025,
        FixedGroup("postfix", 57025),
        "/var/spool/postfix",
        (Path("/var/spool/postfix"), Path("/var/lib/postfix"), Path("/usr/sbin/postdrop"), Path("/usr/sbin/postqueue")),
    ),
)


class IdTaken(PosthouseError):
    """A number that must be ours belongs to somebody else."""


@dataclass(frozen=True)
class Command:
    """One program call that changes an account."""

    words: tuple[str, ...]


def plan(
    uid_of: Callable[[str], int | None],
    gid_of: Callable[[str], int | None],
    user_with: Callable[[int], str | None],
    group_with: Callable[[int], str | None],
) -> list[Command]:
    """The commands that bring accounts to their numbers; raise IdTaken when a number is somebody else's. Pure."""
    commands = []
    for group in _groups():
        holder = group_with(group.gid)
        if holder not in (None, group.name):
            raise IdTaken("gid-taken", gid=group.gid, holder=holder, group=group.name)
        have = gid_of(group.name)
        if have is None:
            commands.append(Command(("groupadd", "--gid", str(group.gid), group.name)))
        elif have != group.gid:
            commands.append(Command(("groupmod", "--gid", str(group.gid), group.name)))
    for user in USERS:
        holder = user_with(user.uid)
        if holder not in (None, user.name):
            raise IdTaken("uid-taken", uid=user.uid, holder=holder, user=user.name)
        have = uid_of(user.name)
        if have is None:
            words = ("--uid", str(user.uid), "--gid", user.group.name, "--no-create-home", "--home-dir", user.home)
            commands.append(Command(("useradd", *words, "--shell", "/usr/sbin/nologin", user.name)))
        elif have != user.uid:
            commands.append(Command(("usermod", "--uid", str(user.uid), "--gid", str(user.group.gid), user.name)))
    return commands


class Numbers(BaseModel):
    """Numbers that files may still carry from before: kept until every file has its new owner."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    users: dict[int, int] = {}
    groups: dict[int, int] = {}


def bring_about(journal: Path = JOURNAL) -> bool:
    """Carry the plan out; return whether anything changed. Files of renumbered accounts get their new owner.

    What a run that was killed half-way left with old numbers stands in the journal and is completed.
    """
    commands = plan(_uid, _gid, _user_with, _group_with)
    left = _left_over(journal)
    if not commands and left is None:
        return False
    moved = _moved(left or Numbers(), {u.name: _uid(u.name) for u in USERS}, {g.name: _gid(g.name) for g in _groups()})
    journal.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    durable_files.replace(journal, moved.model_dump_json().encode(), 0o600)
    for command in commands:
        subprocess.run(command.words, check=True, capture_output=True, timeout=_DEADLINE)
    for path in _tree([folder for user in USERS for folder in user.folders]):
        _give(path, moved.users, moved.groups)
    journal.unlink()
    durable_files.sync_folder(journal.parent)
    return True


def _left_over(journal: Path) -> Numbers | None:
    try:
        return Numbers.model_validate_json(journal.read_bytes())
    except FileNotFoundError:
        return None


def _moved(left: Numbers, uids: Mapping[str, int | None], gids: Mapping[str, int | None]) -> Numbers:
    """What was left over and what these accounts' present numbers become. Pure."""
    users = {have: user.uid for user in USERS if (have := uids[user.name]) is not None and have != user.uid}
    groups = {have: group.gid for group in _groups() if (have := gids[group.name]) is not None and have != group.gid}
    return Numbers(users=left.users | users, groups=left.groups | groups)


def wanted_numbers() -> tuple[dict[str, int], dict[str, int]]:
    """The numbers that accounts and groups have on every node, by name."""
    return {user.name: user.uid for user in USERS}, {group.name: group.gid for group in _groups()}


def numbers() -> tuple[dict[str, int], dict[str, int]]:
    """The numbers that they have on this server; what is missing is left out."""
    users = {user.name: uid for user in USERS if (uid := _uid(user.name)) is not None}
    return users, {group.name: gid for group in _groups() if (gid := _gid(group.name)) is not None}


def _groups() -> tuple[FixedGroup, ...]:
    return (*GROUPS, *(user.group for user in USERS))


def _tree(roots: Iterable[Path]) -> Iterable[Path]:
    for root in roots:
        if not root.exists():
            continue
        yield root
        if root.is_dir():
            for folder, names, files in os.walk(root, followlinks=False):
                yield from (Path(folder) / name for name in names + files)


def _give(path: Path, users: dict[int, int], groups: dict[int, int]) -> None:
    """Change the owner of one file where its number was renumbered; set-gid bits are kept."""
    about = path.lstat()
    uid, gid = users.get(about.st_uid, -1), groups.get(about.st_gid, -1)
    if (uid, gid) != (-1, -1):
        os.chown(path, uid, gid, follow_symlinks=False)
        if not path.is_symlink():
            path.chmod(about.st_mode & 0o7777)


def _uid(name: str) -> int | None:
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def _gid(name: str) -> int | None:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def _user_with(uid: int) -> str | None:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


def _group_with(gid: int) -> str | None:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return None
