"""Reading an ext4 file system that perhaps another node has mounted: superblock and multi-mount protection block.

Read with O_DIRECT: a page that this node's cache kept from such a look would be stale
once the volume is mounted here. Layout: Linux, Documentation/filesystems/ext4
(super.rst, mmp.rst).
"""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass
from pathlib import Path

_MAGIC = 0xEF53
_START = 1024
_RECOVER, _MMP = 0x4, 0x100
_ERRORS = 0x2
_MMP_MAGIC = 0x004D4D50
_CLEAN = 0xFF4D4D50
_MMP_LENGTH = 80
_BLOCK = 4096


@dataclass(frozen=True)
class Superblock:
    """What drivers need of it. `errors`: the kernel found damage and wants a check; `journal`: it holds writes;
    `orphans`: files were deleted while they were open, and not given back yet.
    """

    block_size: int
    errors: bool
    journal: bool
    orphans: bool
    mmp: bool
    mmp_block: int


@dataclass(frozen=True)
class MmpBlock:
    """Who has the volume mounted, or had when it was cut off. `updated`: seconds since 1970, on that node's clock."""

    clean: bool
    sequence: int
    node: str
    updated: int


def parse_superblock(data: bytes) -> Superblock | None:
    """Read a device's first 4096 bytes; None when they are no ext4 file system."""
    block = data[_START:]
    if len(block) < _START or struct.unpack_from("<H", block, 0x38)[0] != _MAGIC:
        return None
    (log_size,) = struct.unpack_from("<I", block, 0x18)
    (state,) = struct.unpack_from("<H", block, 0x3A)
    (orphan,) = struct.unpack_from("<I", block, 0xE8)
    (incompatible,) = struct.unpack_from("<I", block, 0x60)
    (mmp_block,) = struct.unpack_from("<Q", block, 0x168)
    return Superblock(
        block_size=1024 << min(log_size, 6),
        errors=bool(state & _ERRORS),
        journal=bool(incompatible & _RECOVER),
        orphans=bool(orphan),
        mmp=bool(incompatible & _MMP),
        mmp_block=mmp_block,
    )


def parse_mmp(data: bytes) -> MmpBlock | None:
    """Read a multi-mount protection block; None when it is none."""
    if len(data) < _MMP_LENGTH:
        return None
    magic, sequence, updated, node = struct.unpack_from("<IIQ64s", data)
    if magic != _MMP_MAGIC:
        return None
    name = node.split(b"\0")[0].decode("ascii", "replace")
    return MmpBlock(sequence == _CLEAN, sequence, name, updated)


def read_direct(device: Path, offset: int = 0) -> bytes:
    """Read 4096 bytes past every cache; `offset` is a multiple of 4096. Raises OSError."""
    handle = os.open(device, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
    try:
        with mmap.mmap(-1, _BLOCK) as page:  # aligned, as O_DIRECT wants it
            got = os.preadv(handle, [page], offset)
            return page[:got]
    finally:
        os.close(handle)


def read_mmp(device: Path, superblock: Superblock) -> MmpBlock | None:
    """The protection block as it is now, or None where there is none. Raises OSError."""
    if not superblock.mmp:
        return None
    offset = superblock.mmp_block * superblock.block_size
    data = read_direct(device, offset - offset % _BLOCK)
    return parse_mmp(data[offset % _BLOCK :])
