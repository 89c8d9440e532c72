"""Rendered configurations on disk: written beside the one in force, checked, then put in force in one step.

    engines/postfix@mail/generations/5f3a…/main.cf, master.cf, .manifest.json
    engines/postfix@mail/current  -> generations/5f3a…
    engines/postfix@mail/previous -> generations/91bc…

A generation is never changed once it has its name. Everything is synced before the link
turns, so after a crash at any point `current` leads to a complete old or new generation.
One process (the node agent) uses a store at a time, and one of its threads writes to it.
"""

from __future__ import annotations

import contextlib
import grp
import json
import os
import secrets
import shutil
import stat
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path, PurePosixPath

from appliance import durable_files, paths
from appliance.cluster.names import InstanceId
from appliance.engines.base import Change, ConfigurationRefused, Engine, RenderContext, Rendered, RenderedFile
from appliance.engines.folders import make_directories
from appliance.errors import NotFound

#: How many generations are kept, the one in force included.
KEPT = 3

_MANIFEST = ".manifest.json"
#: Files say that they are so old (seconds). Postfix's programs wait until what they read has not changed for up to ten,
#: lest they read half of it; a generation is complete before it has its name.
_AGE = 15.0
#: Folders that are not generations (yet): leftovers of a crash begin with these.
_CHECKING, _WRITING = ".check-", ".new-"
#: By folder: held while something is staged or written there.
_LOCKS: defaultdict[Path, threading.RLock] = defaultdict(threading.RLock)


def content_hash(rendered: Rendered) -> str:
    """A generation's name: equal for equal names, texts, modes and groups."""
    digest = sha256()
    for name, file in sorted(rendered.items()):
        digest.update(json.dumps([name, file.text, file.mode, file.group]).encode())
    return digest.hexdigest()[:16]


class Generations:
    """The generations of one instance. `alone` is held by whoever writes. `root` is only given by tests."""

    def __init__(
        self,
        instance: InstanceId,
        root: Path | None = None,
        group_id: Callable[[str], int] = durable_files.group_id,
    ) -> None:
        self._root = root or paths.engine_folder(instance)
        self._folder = self._root / "generations"
        self._group_id = group_id
        self.alone = _LOCKS[self._root]

    def current_hash(self) -> str | None:
        """The name of the generation in force, or None."""
        return self._target("current")

    def in_force(self) -> Rendered | None:
        """The files in force as they are on disk now; None when there are none, or they cannot be read."""
        name = self._target("current")
        return None if name is None else self._read(self._folder / name)

    @contextlib.contextmanager
    def stage(self, rendered: Rendered, context: RenderContext) -> Iterator[Path]:
        """A folder for the checker, gone afterwards: the files with `context.config` replaced by that folder."""
        with self.alone:
            self._make_room()
            folder = self._folder / f"{_CHECKING}{secrets.token_hex(8)}"
            try:
                self._write(folder, _moved(rendered, context.config, folder))
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def commit(self, rendered: Rendered) -> str:
        """Write a generation and put it in force; return its name."""
        with self.alone:
            return self._commit(rendered)

    def _commit(self, rendered: Rendered) -> str:
        self._make_room()
        name = self._free_name(rendered)
        if not (self._folder / name).is_dir():
            staged = self._folder / f"{_WRITING}{name}"
            self._write(staged, rendered)
            staged.rename(self._folder / name)
        durable_files.sync_folder(self._folder)
        before = self._target("current")
        if before is not None and before != name:
            self._link("previous", before)
        self._link("current", name)
        self._forget_older()
        return name

    def roll_back(self) -> str:
        """Put the previous generation in force again and return its name; twice is back where it was.

        Raises NotFound when there is none.
        """
        current, previous = self._target("current"), self._target("previous")
        if current is None or previous is None:
            raise NotFound("no-previous-generation", folder=str(self._root))
        self._link("current", previous)
        self._link("previous", current)
        return previous

    def _make_room(self) -> None:
        """The folder of generations, without what a crash left behind."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for folder in (self._root, self._folder):
            folder.chmod(0o755)  # engines read as their own users, whatever the umask here
        for entry in self._folder.iterdir():
            if entry.name.startswith((_CHECKING, _WRITING)):
                shutil.rmtree(entry, ignore_errors=True)

    def _free_name(self, rendered: Rendered) -> str:
        """The hash; with a number behind it when somebody edited the generation that has that name."""
        hashed = name = content_hash(rendered)
        number = 0
        while (self._folder / name).exists() and self._read(self._folder / name) != rendered:
            number += 1
            name = f"{hashed}.{number}"
        return name

    def _write(self, folder: Path, rendered: Rendered) -> None:
        folder.mkdir()
        folder.chmod(0o755)
        folders = {folder}
        for name, file in rendered.items():
            path = folder / _inside(name)
            for parent in reversed(path.relative_to(folder).parents[:-1]):
                (folder / parent).mkdir(exist_ok=True)
                (folder / parent).chmod(0o755)
                folders.add(folder / parent)
            durable_files.write_new(path, file.text.encode(), file.mode, self._group_id(file.group))
            age = time.time() - _AGE
            os.utime(path, (age, age))
        manifest = {name: {"group": file.group, "change": file.change.name} for name, file in rendered.items()}
        durable_files.write_new(folder / _MANIFEST, json.dumps(manifest, indent=1).encode(), 0o644)
        for each in folders:
            durable_files.sync_folder(each)

    def _read(self, folder: Path) -> Rendered | None:
        try:
            manifest = json.loads((folder / _MANIFEST).read_text())
            return {name: self._read_file(folder / _inside(name), about) for name, about in manifest.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def _read_file(self, path: Path, about: dict[str, str]) -> RenderedFile:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{path} is no regular file")
        group = about["group"]
        if status.st_gid != self._group_id(group):
            group = grp.getgrgid(status.st_gid).gr_name
        text = path.read_bytes().decode()
        return RenderedFile(text, stat.S_IMODE(status.st_mode), group, Change[about["change"]])

    def _target(self, link: str) -> str | None:
        path = self._root / link
        return path.readlink().name if path.is_symlink() and path.is_dir() else None

    def _link(self, link: str, name: str) -> None:
        os.utime(self._folder / name)  # when it was last in force
        staged = self._root / f".{link}.new"
        staged.unlink(missing_ok=True)
        staged.symlink_to(Path("generations") / name)
        staged.replace(self._root / link)
        durable_files.sync_folder(self._root)

    def _forget_older(self) -> None:
        entries = sorted(self._folder.iterdir(), key=lambda entry: entry.stat().st_mtime_ns, reverse=True)
        keep = {self._target("current"), self._target("previous")}
        others = [entry for entry in entries if entry.name not in keep]
        for entry in others[KEPT - len(keep - {None}) :]:
            shutil.rmtree(entry, ignore_errors=True)


def apply(engine: Engine, context: RenderContext, generations: Generations) -> Change:
    """Bring an instance's folders and configuration up to its context; return what its unit has to do.

    Raises ConfigurationRefused, and leaves the one in force untouched, when the engine's checker
    refuses; FolderRefused or NoSuchAccount when the machine is not as it should be; OSError.
    """
    make_directories(engine.directories(context))
    return _renew(engine, context, generations)


def apply_ahead(engine: Engine, context: RenderContext, generations: Generations, *, checked: bool) -> None:
    """The same where the group's volume is not mounted: nothing is looked for or made on it.

    What is in force already is checked too, with what the engine reads beside it, unless it was `checked` before.
    Raises as `apply` does.
    """
    make_directories(each for each in engine.directories(context) if not each.path.is_relative_to(context.volume))
    if _renew(engine, context, generations) is Change.NONE and not checked:
        _check(engine, context, context.config.resolve())
    engine.ready(context)


def _renew(engine: Engine, context: RenderContext, generations: Generations) -> Change:
    new = dict(engine.render(context))
    if generations.in_force() == new:
        return Change.NONE
    with generations.alone:
        old = generations.in_force()  # another thread may just have made it
        if old == new:
            return Change.NONE
        with generations.stage(new, context) as folder:
            _check(engine, context, folder)
        generations.commit(new)
    return Change.RESTART if old is None else engine.change(old, new)


def _check(engine: Engine, context: RenderContext, folder: Path) -> None:
    try:
        engine.check(context, folder)
    except subprocess.TimeoutExpired as error:
        raise ConfigurationRefused(context.instance, str(error)) from error


def _moved(rendered: Rendered, config: Path, folder: Path) -> Rendered:
    return {name: replace(file, text=file.text.replace(str(config), str(folder))) for name, file in rendered.items()}


def _inside(name: str) -> PurePosixPath:
    """`name` as a path that stays in its folder; engines name files, so anything else is a defect."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or name in {"", ".", _MANIFEST}:
        raise ValueError(f"{name!r} is no file name of a generation")
    return path
