"""Key pairs on disk: a certificate and its key change together or not at all.

Two files cannot be replaced in one step, so each pair lives in a folder named by its
fingerprint, and one symbolic link says which is in force:

    mail.d/3f2a…/certificate.pem, key.pem
    mail.d/current -> 3f2a…      mail.d/previous -> 91bc…
    mail.crt -> mail.d/current/certificate.pem      mail.key -> mail.d/current/key.pem

The names `mail.crt` and `mail.key` are what everybody else uses.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from appliance import durable_files
from appliance.errors import NotFound
from appliance.pki.authority import Pair


@dataclass(frozen=True)
class PairSlot:
    """Where one pair is kept. `group` may read the key besides root."""

    folder: Path
    name: str
    group: str = "root"

    @property
    def certificate_path(self) -> Path:
        return self.folder / f"{self.name}.crt"

    @property
    def key_path(self) -> Path:
        return self.folder / f"{self.name}.key"

    @property
    def _versions(self) -> Path:
        return self.folder / f"{self.name}.d"

    def read(self) -> Pair | None:
        """The pair in force, or None. Read through the link's target, so that both parts belong together."""
        return self._read("current")

    def previous(self) -> Pair | None:
        """The pair that was in force before."""
        return self._read("previous")

    def _read(self, link: str) -> Pair | None:
        try:
            folder = (self._versions / link).resolve(strict=True)
            return Pair((folder / "certificate.pem").read_bytes(), (folder / "key.pem").read_bytes())
        except FileNotFoundError:
            return None

    def write(self, pair: Pair, group_id: Callable[[str], int] | None = None) -> None:
        """Put a pair in force and keep the one before it. Raises NoSuchAccount when the group does not exist."""
        self._versions.mkdir(parents=True, exist_ok=True)
        version = sha256(pair.certificate + pair.key).hexdigest()[:32]
        self._store(version, pair, (group_id or durable_files.group_id)(self.group))
        before = self._target("current")
        if before is not None and before != version:
            _link(self._versions / "previous", before)
        _link(self._versions / "current", version)
        _link(self.certificate_path, f"{self.name}.d/current/certificate.pem")
        _link(self.key_path, f"{self.name}.d/current/key.pem")
        self._forget_older()

    def roll_back(self) -> None:
        """Put the previous pair in force again; doing it twice undoes it. Raises NotFound when there is none."""
        current, previous = self._target("current"), self._target("previous")
        if previous is None or current is None:
            raise NotFound("tls-no-previous", name=self.name)
        _link(self._versions / "current", previous)
        _link(self._versions / "previous", current)

    def _store(self, version: str, pair: Pair, gid: int) -> None:
        folder = self._versions / version
        if folder.is_dir():
            return
        staged = self._versions / f".{version}"
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(mode=0o755)
        staged.chmod(0o755)
        shared = self.group != "root"
        durable_files.write_new(staged / "key.pem", pair.key, 0o640 if shared else 0o600, gid)
        durable_files.write_new(staged / "certificate.pem", pair.certificate, 0o644)
        durable_files.sync_folder(staged)
        staged.rename(folder)
        durable_files.sync_folder(self._versions)

    def _target(self, link: str) -> str | None:
        path = self._versions / link
        return str(path.readlink()) if path.is_symlink() and path.exists() else None

    def _forget_older(self) -> None:
        keep = {self._target("current"), self._target("previous")}
        for entry in self._versions.iterdir():
            if entry.is_dir() and not entry.is_symlink() and entry.name not in keep:
                shutil.rmtree(entry, ignore_errors=True)


def _link(path: Path, target: str) -> None:
    """Make the symbolic link `path`, or turn it to `target`, in one step."""
    staged = path.parent / f".{path.name}.new"
    staged.unlink(missing_ok=True)
    staged.symlink_to(target)
    staged.replace(path)
    durable_files.sync_folder(path.parent)
