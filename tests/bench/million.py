"""A directory of a million mailboxes, loaded by slapadd(8) once and kept in build/cache."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from appliance.directory import schema
from tests.bench import bare
from tests.bench.accounts import bare_entries, domain_entry, people, posthouse_entries
from tests.bench.stage import AGENT, SLAPD, say
from tests.lab import Node
from tests.lab.appliance import wait_healthy
from tests.lab.host import BUILD, command

COUNT: Final = 1_000_000
_DATABASE: Final = "/var/lib/posthouse/local/slapd"
_CONFIGURATION: Final = "/var/lib/posthouse/engines/slapd@local/current/slapd.conf"
_CACHE: Final = BUILD / "cache" / "bench"
_LOAD_WITHIN: Final = 900.0


def load_posthouse(node: Node) -> None:
    """Give a Posthouse node the million; its agent starts again afterwards."""
    node.run("systemctl", "stop", AGENT, SLAPD)
    configuration = node.run("cat", _CONFIGURATION).stdout
    key = _key("posthouse", _entries(), configuration, schema.SCHEMA_FILE.read_text())
    _load(node, key, _CONFIGURATION, _DATABASE, _entries())
    node.run("systemctl", "start", SLAPD, AGENT)
    wait_healthy(node)


def _entries() -> Iterator[str]:
    yield domain_entry()
    yield from posthouse_entries(people(COUNT))


def load_bare(node: Node) -> None:
    """Start slapd on the bare node with the same people."""
    bare.prepare_slapd(node)
    key = _key("bare", bare_entries(people(COUNT)), bare.SLAPD)
    _load(node, key, bare.SLAPD_CONFIGURATION, bare.DATABASE, bare_entries(people(COUNT)))
    bare.run_slapd(node)


def _key(name: str, entries: Iterable[str], *texts: str) -> Path:
    """Where the database of this configuration and of people like these is kept."""
    digest = hashlib.sha256("\0".join([str(COUNT), *islice(entries, 1000), *texts]).encode()).hexdigest()[:16]
    return _CACHE / f"{name}-{digest}.mdb"


def _load(node: Node, cached: Path, configuration: str, database: str, entries: Iterable[str]) -> None:
    root = node.root
    target = root / database.lstrip("/") / "data.mdb"
    if cached.exists():
        say(f"copying the directory from {cached.name}")
        command("cp", "--sparse=always", str(cached), str(target), timeout=_LOAD_WITHIN)
    else:
        say(f"loading {COUNT:,} mailboxes by slapadd (kept for the next time)")
        with (root / "root/million.ldif").open("w") as file:
            for entry in entries:
                file.write(entry + "\n")
        node.run("slapadd", "-q", "-w", "-f", configuration, "-l", "/root/million.ldif", timeout=_LOAD_WITHIN)
        (root / "root/million.ldif").unlink()
        _keep(target, cached)
    _forget_pages(target)
    node.run("chown", "-R", "openldap:openldap", database)


def _forget_pages(database: Path) -> None:
    """Let the page cache go of a file that was just written in one go.

    It lies there in large folios, in which the kernel (ext4, 6.16 and later) writes single pages several times slower
    than after any restart of a server.
    """
    descriptor = os.open(database, os.O_RDWR)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def _keep(database: Path, cached: Path) -> None:
    """Put a copy into the cache, in place of older ones of its kind, where there is room."""
    cached.parent.mkdir(parents=True, exist_ok=True)
    for older in cached.parent.glob(f"{cached.name.partition('-')[0]}-*"):
        older.unlink()
    if shutil.disk_usage(cached.parent).free > 4 * database.stat().st_blocks * 512:
        draft = cached.with_suffix(".new")
        command("cp", "--sparse=always", str(database), str(draft), timeout=_LOAD_WITHIN)
        draft.replace(cached)
