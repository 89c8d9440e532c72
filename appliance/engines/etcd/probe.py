"""etcd's health over its own HTTP interface: `/health` answers after a read that a quorum confirmed.

https://etcd.io/docs/v3.4/op-guide/monitoring/#health-check
"""

from __future__ import annotations

import asyncio
import json
import ssl
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from appliance.engines.base import Overloaded, ProbeFailed
from appliance.errors import PosthouseError
from appliance.node_file import STORE_NAME

NAME: Final = "etcd-read"
_LONGEST: Final = 65536


def trust(pki: Path) -> ssl.SSLContext:
    """Mutual TLS with the node's own certificate; the store is known by its name."""
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    context.load_cert_chain(pki / "node.crt", pki / "node.key")
    return context


class NoMajority(Overloaded):
    """The member lives and the others are away: a restart would bring none of them back, and it would serve nobody
    at all until they are."""

    def __init__(self) -> None:
        PosthouseError.__init__(self, "store-no-majority")


async def ask(client_url: str, pki: Path) -> None:
    """Ask for health; raise ProbeFailed when the answer is not "healthy"."""
    answer = await _get(client_url, pki, "/health")
    if not is_healthy(answer):
        raise ProbeFailed(NAME, answer[:200].decode("utf-8", "replace"))


async def without_majority(client_url: str, pki: Path) -> NoMajority | None:
    """Whether a member that is not healthy at least answers for itself."""
    answer = await _get(client_url, pki, "/version")
    return NoMajority() if answer.split(b" ")[1:2] == [b"200"] else None


async def _get(client_url: str, pki: Path, path: str) -> bytes:
    parts = urlsplit(client_url)
    try:
        reader, writer = await asyncio.open_connection(
            parts.hostname, parts.port, ssl=trust(pki), server_hostname=STORE_NAME
        )
    except OSError as error:
        raise ProbeFailed(NAME, str(error)) from error
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {STORE_NAME}\r\n\r\n".encode())
        await writer.drain()
        return await reader.read(_LONGEST)
    except OSError as error:
        raise ProbeFailed(NAME, str(error)) from error
    finally:
        writer.transport.abort()


def is_healthy(answer: bytes) -> bool:
    """Whether an HTTP answer says `{"health": "true"}` with status 200. Pure."""
    head, _, body = answer.partition(b"\r\n\r\n")
    if head.split(b" ")[1:2] != [b"200"]:
        return False
    try:
        said = json.loads(body)
    except ValueError:
        return False
    return isinstance(said, dict) and said.get("health") in ("true", True)
