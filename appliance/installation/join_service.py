"""`python -m appliance.installation.join_service`: lets servers in, on every control node of a cluster.

One line in, one line out (`join_messages.py`), within bounds of size, time and number, because anybody who reaches the
port may speak to it. It runs as a user of its own; systemd hands it copies of the keys that it needs
(`posthouse-join.service`). What it does to the cluster is in `admitting.py`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import ssl
import sys
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ValidationError

from appliance import node_file
from appliance.cluster.decided import serial_text
from appliance.cluster.names import NodeName, Seconds
from appliance.errors import PosthouseError
from appliance.installation import join_messages as messages
from appliance.installation.admitting import Admitting, Peer

log = logging.getLogger("posthouse.join")

#: For a line to arrive, and for an answer to be made and sent.
_READ: Final = Seconds(10.0)
_ANSWER: Final = Seconds(60.0)
#: So many bytes beyond the line are read and forgotten.
_RUN_OUT: Final = 1 << 20
#: Connections at once; further ones are closed at once.
_MOST: Final = 16

_REQUESTS: Final[dict[str, type[BaseModel]]] = {
    "authority": messages.AuthorityRequest,
    "join": messages.JoinRequest,
    "vote": messages.VoteRequest,
    "certify": messages.CertifyRequest,
}


class JoinService:
    """Serves until cancelled. Requests are carried out one after the other: they change one cluster."""

    def __init__(self, admitting: Admitting, authority: str) -> None:
        self._admitting = admitting
        self._authority = authority
        self._open = 0
        self._turn = asyncio.Lock()

    async def serve(self, host: str, context: ssl.SSLContext) -> None:
        server = await asyncio.start_server(
            self._connected, host, messages.PORT, ssl=context, limit=messages.LONGEST, ssl_handshake_timeout=_READ
        )
        async with server:
            await server.serve_forever()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= _MOST:
                answer = await self._heard(reader, _peer(writer))
                writer.write(answer.model_dump_json().encode() + b"\n")
                await asyncio.wait_for(writer.drain(), _READ)
                await _rest(reader)
        except OSError as error:  # TimeoutError is one
            log.info("a connection ended without an answer: %s", type(error).__name__)
        finally:
            self._open -= 1
            writer.transport.abort() if writer.transport.is_closing() else writer.close()

    async def _heard(self, reader: asyncio.StreamReader, peer: Peer | None) -> BaseModel:
        try:
            line = await asyncio.wait_for(reader.readline(), _READ)
        except TimeoutError:
            return messages.Refusal(refused="join-too-slow", facts={"seconds": _READ})
        except ValueError:  # longer than the stream's limit
            return messages.Refusal(refused="join-malformed")
        return await self._answer(line, peer)

    async def _answer(self, line: bytes, peer: Peer | None) -> BaseModel:
        try:
            request = read(line)
        except (ValueError, ValidationError, PosthouseError) as error:
            log.warning("a request that cannot be read: %s", " ".join(str(error).split())[:300])
            return messages.Refusal(refused="join-malformed")
        if isinstance(request, messages.AuthorityRequest):
            return messages.AuthorityAnswer(authority=self._authority)
        try:
            async with asyncio.timeout(_ANSWER), self._turn:
                return await asyncio.to_thread(self._admitting.answer, request, peer)
        except TimeoutError:
            return messages.Refusal(refused="join-no-answer", later=True)
        except PosthouseError as error:
            log.warning("refused: %s", error)
            return messages.Refusal.of(error, later=isinstance(error, messages.Later))
        except Exception:
            log.exception("a request failed")
            return messages.Refusal(refused="join-failed", later=True)


def read(line: bytes) -> BaseModel:
    """A request; raises ValueError for anything else."""
    try:
        data = json.loads(line)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    kind = _REQUESTS.get(str(data.get("ask"))) if isinstance(data, dict) else None
    if kind is None:
        raise ValueError("no such request")
    return kind.model_validate(data)


async def _rest(reader: asyncio.StreamReader) -> None:
    """Let what was sent beyond the line run out, within bounds: closing on it would take the answer back with it."""
    left = _RUN_OUT
    with suppress(TimeoutError):
        async with asyncio.timeout(_READ):
            while left > 0 and (more := await reader.read(left)):
                left -= len(more)


def _peer(writer: asyncio.StreamWriter) -> Peer | None:
    """Who the client is by its certificate, which our authority issued for a client; None: it has none."""
    certificate = writer.get_extra_info("peercert") or {}
    names = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    return Peer(NodeName(names[0]), serial_text(int(certificate["serialNumber"], 16))) if names else None


def trust(keys: Path) -> ssl.SSLContext:
    """Our certificate to everybody; who shows one has to have it from our authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(keys / "node.crt", keys / "node.key")
    context.load_verify_locations(cafile=str(keys / "ca.crt"))
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


async def _serve() -> None:
    keys = Path(os.environ["CREDENTIALS_DIRECTORY"])
    node = node_file.read()
    if node.address is None:
        raise PosthouseError("cluster-not-made")
    service = JoinService(Admitting(node, keys, version("posthouse")), (keys / "ca.crt").read_text())
    serving = asyncio.create_task(service.serve(str(node.address), trust(keys)))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
    try:
        await serving
    except asyncio.CancelledError:
        log.info("ended")


def main() -> None:
    """Serve until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    asyncio.run(_serve())


if __name__ == "__main__":
    main()
