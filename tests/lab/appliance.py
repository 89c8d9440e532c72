"""What tests and the demo do with Posthouse on a node, through its command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.lab.host import CommandFailed
from tests.lab.node import Node

CA_FILE = "/etc/posthouse/pki/ca.crt"


class NotHealthy(Exception):
    """The node did not become healthy; the text holds what it said, a note its journal."""


def initialise(node: Node, *, timeout: float = 180.0) -> None:
    """Run `posthouse init` and wait until the node reports itself healthy. Raises NotHealthy with its reasons."""
    try:
        node.run("posthouse", "init", "--hostname", node.hostname, "--yes", timeout=timeout)
    except CommandFailed as error:
        failure = NotHealthy(str(error))
        failure.add_note(node.last_words())
        raise failure from error
    wait_healthy(node)


def initialise_cluster(nodes: Sequence[Node], roles: Sequence[str] = (), *, timeout: float = 240.0) -> None:
    """Make a cluster of booted nodes: the first is initialised (`posthouse init`, unless it was), the others join it
    one after the other. `roles` by node; by default control, edge, store, directory, database and web. Waits until
    every node reports itself healthy."""
    first, *others = nodes
    if first.run("test", "-e", "/etc/posthouse/node.yaml", check=False).returncode:
        initialise(first)
    _posthouse(first, "cluster", "init", "--address", first.address, timeout=timeout)
    for number, node in enumerate(others, start=1):
        join(first, node, roles[number] if number < len(roles) else None, timeout=timeout)


def join(member: Node, node: Node, roles: str | None = None, *, timeout: float = 240.0) -> None:
    """Let `node` join the cluster of `member` with these roles (by commas)."""
    _posthouse(node, "cluster", "join", "--token", token(member, roles), "--hostname", node.hostname, timeout=timeout)


def token(member: Node, roles: str | None = None) -> str:
    """A token of the cluster of `member`."""
    return _posthouse(member, "cluster", "token", *(("--roles", roles) if roles else ())).strip()


def _posthouse(node: Node, *words: str, timeout: float = 60.0) -> str:
    """Run `posthouse …`; its failure has the node's journal as a note."""
    try:
        return node.run("posthouse", *words, timeout=timeout).stdout
    except CommandFailed as error:
        error.add_note(node.last_words())
        raise


def status(node: Node) -> dict[str, Any]:
    """What `posthouse status --json` says; empty while there is no report."""
    said = node.run("posthouse", "status", "--json", check=False).stdout
    report: dict[str, Any] = json.loads(said) if said.strip() else {}
    return report


def wait_healthy(node: Node, *, timeout: float = 60.0) -> None:
    """Wait until the node reports itself healthy, with every engine of the mail group among what it reports."""

    def healthy() -> bool:
        report = status(node)
        instances = {each["instance"] for each in report.get("instances", ())}
        return bool(report.get("healthy")) and instances >= {"postfix@mail", "dovecot@mail"}

    node.wait_until("healthy", healthy, timeout=timeout, every=0.3)


def create_domain(node: Node, domain: str) -> None:
    """Create a domain."""
    node.run("posthouse", "domain", "create", domain)


def create_mailbox(node: Node, address: str, password: str) -> None:
    """Create a mailbox; the password goes by standard input, never on a command line."""
    node.run("posthouse", "mailbox", "create", address, "--password-stdin", input=password + "\n")


def copy_ca(node: Node, target: Path) -> Path:
    """Copy the certificate of the installation's own authority to this machine."""
    target.write_text(node.run("cat", CA_FILE).stdout)
    return target
