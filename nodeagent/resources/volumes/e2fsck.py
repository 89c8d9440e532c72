"""Mending an ext4 file system without a person: what e2fsck does by itself, and files that were deleted while open.

`e2fsck -p` mends what needs no decision. After an error of the file system it does not trust the list of files that
were deleted while somebody had them open, and wants a decision about each, although there is nothing to decide:
nobody can reach them any more (pass1.c, PR_1_ORPHAN_LIST_REFUGEES). A mail store always has such files, so a volume
that turned read-only under load would wait for an operator.
"""

from __future__ import annotations

import re
from pathlib import Path

from nodeagent.resources.volumes import tools

#: e2fsck(8): errors were corrected (1), and the machine should be rebooted if it was the root (2).
_REPAIRED = range(4)
#: What `e2fsck -fn` says of files that were deleted while open, and of what is free again with them; and what says
#: nothing. Anything else is damage.
_NOTHING_TO_DECIDE = re.compile(
    r"e2fsck [0-9.]+ .*|Pass [1-5]: .*|"
    r"Deleted inode \d+ has zero dtime\..*|"
    r"Inode \d+ is in use, but has dtime set\..*|"
    r"Inodes that were part of a corrupted orphan linked list found\..*|"
    r"Inode \d+ was part of the orphaned inode list\..*|"
    r"(Block|Inode) bitmap differences: .*|"
    r"(Free blocks|Free inodes|Directories) count wrong.*|"
    r"Fix\? no|\S+: \*+ WARNING: Filesystem still has errors \*+|\S+: \d+/\d+ files .*|"
)


def nothing_to_decide(said: str) -> bool:
    """Whether `e2fsck -fn` found nothing but files that were deleted while open. Pure."""
    return all(_NOTHING_TO_DECIDE.fullmatch(line.strip()) for line in said.splitlines())


def mend(device: Path, *, orphans: bool) -> None:
    """Mend what needs no decision; raise ToolFailed where something does. `orphans`: its list of such files is not
    empty. Looking does not wait for multi-mount protection, mending does.
    """
    how = "-p"
    if orphans and nothing_to_decide(tools.run("e2fsck", "-fn", str(device), accept=range(256)).output):
        how = "-fy"
    tools.run("e2fsck", how, str(device), accept=_REPAIRED)


def replay(device: Path, *, protected: bool) -> None:
    """Bring what the journal holds to its place; raise ToolFailed. `protected`: the device has multi-mount protection,
    for which e2fsck would wait, 11 s each time (docs/decisions/0083); nobody else may have it.
    """
    if protected:
        tools.run("tune2fs", "-f", "-E", "clear_mmp", str(device))
    else:
        tools.run("e2fsck", "-p", "-E", "journal_only", str(device), accept=_REPAIRED)
