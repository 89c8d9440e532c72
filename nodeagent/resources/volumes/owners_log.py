"""Who had a volume, and when: lines on the volume itself, for auditors and for an operator who has to find out.

`.posthouse/owners.log`: one JSON object a line, appended and synchronised after a volume
was attached and before it is detached. Nothing is decided by it.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from appliance.cluster.names import NodeName
from appliance.durable_files import replace, sync_folder

#: What belongs to Posthouse itself on a volume. Root's alone.
FOLDER = ".posthouse"
NAME = "owners.log"
#: Bytes. A longer log loses its older half.
MOST = 256 * 1024


class Happened(StrEnum):
    """What is noted."""

    ATTACHED = "attached"
    DETACHED = "detached"


@dataclass(frozen=True)
class Entry:
    """`epoch` is the group's; `at` is Unix time by the node's own clock."""

    node: NodeName
    boot_id: str
    epoch: int
    happened: Happened
    at: float


def note(volume: Path, node: NodeName, epoch: int, happened: Happened) -> None:
    """Append a line and see it on the disk. Raises OSError."""
    folder = volume / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    line = json.dumps(asdict(Entry(node, boot_id, epoch, happened, round(time.time(), 3)))) + "\n"
    _append(folder, line.encode())


def read(volume: Path) -> tuple[Entry, ...]:
    """What the log says, oldest first; a line that a power cut tore is left out. Raises OSError."""
    found = []
    for line in (volume / FOLDER / NAME).read_text(encoding="utf-8", errors="replace").splitlines():
        with suppress(ValueError, TypeError, KeyError):
            said = json.loads(line)
            found.append(Entry(**{**said, "happened": Happened(said["happened"])}))
    return tuple(found)


def _append(folder: Path, line: bytes) -> None:
    path = folder / NAME
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(path, flags, 0o600)
    try:
        size = os.fstat(handle).st_size
        if size and os.pread(handle, 1, size - 1) != b"\n":
            line = b"\n" + line
        os.write(handle, line)
        os.fsync(handle)
        if size == 0:
            sync_folder(folder)
        kept = os.pread(handle, MOST, size + len(line) - MOST // 2) if size > MOST else b""
    finally:
        os.close(handle)
    if kept:
        replace(path, kept.partition(b"\n")[2], 0o600)
