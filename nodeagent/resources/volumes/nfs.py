"""A folder exported by a NAS through NFS 4.1 or later, where the server keeps sessions (RFC 8881).

Who may write is the server's business: cutting an old owner off means revoking its
export. Never yet run on a real server (docs/operators/volumes.md).
"""

from __future__ import annotations

import socket
import time
from pathlib import Path

from appliance.cluster.model import VolumeSpec
from appliance.cluster.names import NodeName, Seconds
from nodeagent.resources.volumes import mounts, tools
from nodeagent.resources.volumes.base import PATIENCE, Promise, VolumeDriver
from nodeagent.resources.volumes.directory import make_folder
from nodeagent.resources.volumes.fault import VolumeFault

_PORT = 2049
_ANSWER_WITHIN = 2.0
#: The newest first. Without a minor version mount.nfs(8) would go down to 4.0 and 3, which have no sessions.
VERSIONS = ("4.2", "4.1")
#: `hard`: a server that is away for a while costs waiting, never lost writes. `timeo`, tenths of a second, and
#: `retrans`: try a new connection after 15 s rather than after 60 (nfs(5)).
_OPTIONS = ("rw", "hard", "proto=tcp", "timeo=150", "retrans=2", "nodev", "nosuid", "noexec", "noatime")
_VERSION_REFUSED = ("protocol not supported", "requested nfs version", "invalid argument")
_AGAIN = 0.02


def options(version: str, own: tuple[str, ...]) -> str:
    """The mount options; the operator's own come last and win."""
    return ",".join((f"vers={version}", *_OPTIONS, *own))


def server(source: str) -> str:
    """The host in SERVER:/PATH; an IPv6 address stands in brackets."""
    return source.partition(":/")[0].strip("[]")


class NfsVolume(VolumeDriver):
    """`source` is SERVER:/PATH."""

    def __init__(self, spec: VolumeSpec, node: NodeName, target: Path) -> None:
        super().__init__(target)
        self._source = spec.source_on(node)
        self._own = spec.options

    @property
    def promise(self) -> Promise:
        """Everybody whom the server lets in can mount it, at the same time."""
        return Promise(shared=True)

    def check(self) -> None:
        """The client is installed and the server answers on its port."""
        if not any(Path(folder, "mount.nfs").exists() for folder in ("/sbin", "/usr/sbin")):
            raise VolumeFault("volume-tool-missing", program="mount.nfs", package="nfs-common")
        try:
            socket.create_connection((server(self._source), _PORT), timeout=_ANSWER_WITHIN).close()
        except OSError as error:
            raise self._unreachable(error.strerror or str(error)) from error

    def attach(self, *, key: object, preempt_below: int | None, clear_mmp: bool) -> None:
        """Mount with the newest version that the server has."""
        standing = mounts.mounted_at(self.target)
        if standing is not None:
            if standing.source != self._source:
                raise VolumeFault("volume-other-mounted", path=str(self.target), source=standing.source)
            return
        make_folder(self.target)
        for version in VERSIONS:
            words = ("--types", "nfs", "--options", options(version, self._own))
            done = tools.run("mount", *words, "--source", self._source, "--target", str(self.target), accept=range(256))
            if not done.status:
                return
            if not any(each in done.errors.lower() for each in _VERSION_REFUSED):
                break
        raise self._unreachable(done.detail.removeprefix("mount.nfs: "))

    def detach(self, *, force: bool, patience: Seconds = PATIENCE) -> None:
        """Unmount; then see that no other mount namespace of this node still has it."""
        standing = mounts.mounted_at(self.target)
        if standing is None:
            return
        until = time.monotonic() + patience
        try:
            gone = mounts.unmount(self.target, force=force, patience=patience)
        except OSError as error:
            detail = error.strerror or ""
            raise VolumeFault("volume-unmount-failed", path=str(self.target), detail=detail) from error
        if not gone:
            raise VolumeFault("volume-busy", path=str(self.target), holders=mounts.users(self.target) or "?")
        while others := mounts.keepers(standing.device, standing.source):
            if time.monotonic() >= until:
                raise VolumeFault("volume-mounted-elsewhere", device=self._source, holders=others)
            time.sleep(_AGAIN)

    def _unreachable(self, detail: str) -> VolumeFault:
        return VolumeFault("volume-export-refused", source=self._source, detail=detail)
