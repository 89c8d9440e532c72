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

from appliance.engines.base import ProbeFailed
from appliance.node_file import STORE_NAME

NAME: Final = "etcd-read"
_LONGEST: Final = 65536


def trust(pki: Path) -> ssl.SSLContext:
    """Mutual TLS with the node's own certificate; the store is known by its name."""
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    context.load_cert_chain(pki / "node.crt", pki / "node.key")
    return context


async def ask(client_url: str, pki: Path) -> None:
    """Ask for health; raise ProbeFailed when the answer is not "healthy"."""
    parts = urlsplit(client_url)
    try:
        reader, writer = await asyncio.open_connection(
            parts.hostname, parts.port, ssl=trust(pki), server_hostname=STORE_NAME
        )
    except OSError as error:
        raise ProbeFailed(NAME, str(error)) from error
    try:
        writer.write(f"GET /health HTTP/1.0\r\nHost: {STORE_NAME}\r\n\r\n".encode())
        await writer.drain()
        answer = await reader.read(_LONGEST)
    except OSError as error:
        raise ProbeFailed(NAME, str(error)) from error
    finally:
        writer.transport.abort()
    if not is_healthy(answer):
        raise ProbeFailed(NAME, answer[:200].decode("utf-8", "replace"))


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
