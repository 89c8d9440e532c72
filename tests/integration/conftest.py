"""Integration tests: one real engine, store or node.

Engines that a test runs by itself (etcd) come from the root filesystem, so that this
machine needs none installed.
"""

from __future__ import annotations

import os
import shutil

from tests.lab import LabError, rootfs
from tests.lab.host import BUILD


def _offer_engines(*names: str) -> None:
    """Let programs of the root filesystem that need nothing but libc be found on PATH."""
    missing = [name for name in names if shutil.which(name) is None]
    if not missing:
        return
    try:
        base = rootfs.layers()[-1]
    except LabError:
        return
    offered = BUILD / "engines"
    offered.mkdir(exist_ok=True)
    for name in missing:
        draft = offered / f"{name}.{os.getpid()}"
        draft.symlink_to(base / "usr/bin" / name)
        draft.replace(offered / name)
    os.environ["PATH"] += f":{offered}"


_offer_engines("etcd", "etcdctl")
