"""Where the shipped root filesystem lies (`./run rootfs` builds it), and where nodes may write.

The root filesystem is a stack of folders for an overlay mount: Debian with the
engines below, our package on top.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.lab.host import BUILD, LabError, command

#: One folder a line, the uppermost first; written by packaging/build-rootfs.
LAYERS = BUILD / "rootfs.layers"


def layers() -> tuple[Path, ...]:
    """The folders of the newest root filesystem, the uppermost first. POSTHOUSE_ROOTFS (a:b) overrides.

    Raises LabError when it has not been built.
    """
    given = os.environ.get("POSTHOUSE_ROOTFS")
    if given:
        return tuple(Path(each) for each in given.split(":"))
    try:
        return tuple(Path(line) for line in LAYERS.read_text().splitlines())
    except FileNotFoundError:
        raise LabError("there is no root filesystem yet: ./run rootfs builds it") from None


def writable_folder(wanted: Path) -> Path:
    """`wanted`, or a folder in memory when `wanted` lies on an overlay itself (as in a container).

    The upper layer of an overlay mount cannot lie on another overlay.
    """
    wanted.mkdir(parents=True, exist_ok=True)
    if command("stat", "--file-system", "--format=%T", str(wanted)).strip() != "overlayfs":
        return wanted
    memory = Path("/run/posthouse-lab.mem")
    if not memory.is_mount():
        memory.mkdir(exist_ok=True)
        command("mount", "-t", "tmpfs", "-o", "mode=0755,size=75%", "posthouse-lab", str(memory))
    folder = memory / wanted.name
    folder.mkdir(exist_ok=True)
    return folder
