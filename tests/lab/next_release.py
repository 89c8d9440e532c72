"""The release after the one under test, made of its package in seconds: another version, a newer schema, and a field
more in every record of the store."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from appliance.cluster.model import SCHEMA_VERSION
from tests.lab.host import BUILD, REPOSITORY, LabError, command
from tests.lab.node import Node

_SITE = "opt/posthouse/lib/python3.11/site-packages"
_KEPT = 2


@dataclass(frozen=True)
class Release:
    """A package and the version that it installs."""

    package: Path
    version: str

    def install(self, node: Node) -> str:
        """Bring it onto a node by the operators' command; return what that said."""
        shutil.copy(self.package, node.root / "root" / self.package.name)
        return apt_install(node, f"/root/{self.package.name}")


def apt_install(node: Node, *packages: str) -> str:
    """Let apt install packages of the node's disk, also again, or older ones; return what it said."""
    options = ("--yes", "--allow-downgrades", "--reinstall", "--option=Dpkg::Options::=--force-unsafe-io")
    done = node.run("apt-get", "install", *options, *packages, env={"DEBIAN_FRONTEND": "noninteractive"}, timeout=300)
    return done.stdout + done.stderr


def built() -> Release:
    """The package under test. Raises LabError when it has not been built."""
    found = sorted((REPOSITORY / "dist").glob("posthouse_*_amd64.deb"), key=lambda each: each.stat().st_mtime)
    if not found:
        raise LabError("there is no package yet: ./run package builds it")
    return Release(found[-1], found[-1].name.split("_")[1])


def following(schemas: int = 1) -> Release:
    """A release whose minor number is one higher and whose schema is `schemas` further; kept for the next run."""
    this = built()
    major, minor, *_ = this.version.split(".")
    version = f"{major}.{int(minor) + 1}.0"
    made_from = this.package.read_bytes() + Path(__file__).read_bytes()
    folder = BUILD / "cache" / "next" / f"{hashlib.sha256(made_from).hexdigest()[:16]}-{schemas}"
    target = folder / f"posthouse_{version}_amd64.deb"
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _make(this, version, schemas, target)
        _keep_newest(folder.parent)
    return Release(target, version)


def _make(this: Release, version: str, schemas: int, target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        stage = Path(name) / "stage"
        command("dpkg-deb", "--raw-extract", str(this.package), str(stage))
        site = stage / _SITE
        _change(stage / "DEBIAN/control", r"(?m)^Version: .*$", f"Version: {version}")
        facts = site / f"posthouse-{version}.dist-info"
        (site / f"posthouse-{this.version}.dist-info").rename(facts)
        _change(facts / "METADATA", r"(?m)^Version: .*$", f"Version: {version}")
        model = site / "appliance/cluster/model.py"
        _change(model, r"(?m)^SCHEMA_VERSION = .*$", f"SCHEMA_VERSION = {SCHEMA_VERSION + schemas}")
        _change(model, r"(?m)^(    schema_version: int = .*)$", r'\1\n    of_the_next_release: str = "new"')
        command("/usr/bin/python3", "-m", "compileall", "-q", "-s", str(stage), "-p", "/", str(model))
        draft = Path(name) / target.name
        command("dpkg-deb", "--root-owner-group", "-Zzstd", "-z1", "--build", str(stage), str(draft), timeout=180)
        draft.rename(target)


def _change(file: Path, pattern: str, by: str) -> None:
    text, times = re.subn(pattern, by, file.read_text())
    if times != 1:
        raise LabError(f"{file.name} has {times} lines like {pattern}")
    file.write_text(text)


def _keep_newest(folder: Path) -> None:
    for old in sorted(folder.iterdir(), key=lambda each: each.stat().st_mtime)[:-_KEPT]:
        shutil.rmtree(old)
