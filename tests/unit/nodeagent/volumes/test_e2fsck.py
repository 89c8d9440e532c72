"""What e2fsck says, and whether a person has to decide something."""

from __future__ import annotations

import pytest

from nodeagent.resources.volumes.e2fsck import nothing_to_decide

DELETED_WHILE_OPEN = """\
Pass 1: Checking inodes, blocks, and sizes
Deleted inode 12 has zero dtime.  Fix? no

Inodes that were part of a corrupted orphan linked list found.  Fix? no

Inode 13 was part of the orphaned inode list.  IGNORED.
Pass 2: Checking directory structure
Pass 3: Checking directory connectivity
Pass 4: Checking reference counts
Pass 5: Checking group summary information
Block bitmap differences:  -(16385--16409)
Fix? no

Free blocks count wrong (235416, counted=235391).
Fix? no

Inode bitmap differences:  -(12--16)
Fix? no


/dev/volume: ********** WARNING: Filesystem still has errors **********

/dev/volume: 11/65536 files (0.0% non-contiguous), 26728/262144 blocks
"""


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("", True),
        ("Inode 15 is in use, but has dtime set.  Fix? no", True),
        ("Entry 'dovecot.index' in /mailboxes (14) has deleted/unused inode 20.  Clear? no", False),
        ("Inode 12 has an invalid extent node (blk 9, lblk 0)", False),
        ("Unattached inode 17", False),
        ("Multiply-claimed block(s) in inode 12: 33", False),
        ("e2fsck: Bad magic number in super-block while trying to open /dev/volume", False),
    ],
)
def test_only_files_deleted_while_open_need_no_decision(more: str, expected: bool) -> None:
    assert nothing_to_decide(f"{DELETED_WHILE_OPEN}{more}\n") is expected
