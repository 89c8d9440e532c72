"""The node's identity card, `/etc/posthouse/node.yaml`: who this server is and where its store answers.

`posthouse init` writes it; the agent, the keeper and the command line read it before
they can ask the store anything. It holds no secret and is readable by everybody.
A broken file is refused with the field and the reason, never half-read.
"""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import idna
import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from appliance import durable_files, paths
from appliance.cluster.model import CheckedNodeName, Role
from appliance.errors import BadInput, NotFound, PosthouseError

#: Longest host name (RFC 1035, 2.3.4, without the final dot).
MAX_HOSTNAME = 253
#: Longest label of a host name (RFC 1035, 2.3.4).
MAX_LABEL = 63
#: What the idna library says of lengths, and how it is told.
_TOO_LONG = {
    "Domain too long": ("hostname-too-long", MAX_HOSTNAME),
    "Label too long": ("hostname-label-too-long", MAX_LABEL),
}
#: A name that every store member's certificate carries, and no other certificate does: clients check it
#: instead of the address, so a node that is no store member cannot pass for one.
STORE_NAME: Final = "store.posthouse.internal"
DEFAULT_ENDPOINT = "https://127.0.0.1:2379"


class BadHostname(BadInput):
    """Not a fully qualified host name."""


def hostname(text: str) -> str:
    """Return `text` as a fully qualified host name in A-label form, lower case, without a final dot.

    Raises BadHostname unless it has at least two RFC 1123 labels; a name that ends in
    digits is refused, because it would be read as an address.
    """
    name = text.strip().rstrip(".").lower()
    try:
        ascii_name = idna.encode(name, uts46=True).decode("ascii")
    except idna.IDNAError as error:
        detail = str(error)
        if detail in _TOO_LONG:
            key, limit = _TOO_LONG[detail]
            raise BadHostname("hostname", key, value=text, limit=limit) from error
        raise BadHostname("hostname", "hostname-malformed", value=text, detail=detail) from error
    labels = ascii_name.split(".")
    if len(labels) < 2:  # noqa: PLR2004 - a qualified name has a host and a domain
        raise BadHostname("hostname", "hostname-unqualified", value=text)
    if labels[-1].isdigit():
        raise BadHostname("hostname", "hostname-is-address", value=text)
    return ascii_name


class Backend(StrEnum):
    """Which program keeps the coordination store."""

    ETCD = "etcd"
    ZOOKEEPER = "zookeeper"


def endpoint_address(endpoint: str) -> tuple[IPv4Address | IPv6Address | str, int]:
    """Split `https://HOST:PORT` into host (an address when it is one) and port; raise BadInput."""
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise BadInput("store.endpoints", "endpoint-malformed", value=endpoint) from error
    if parts.scheme != "https" or not host or port is None or endpoint != f"https://{parts.netloc}" or parts.username:
        raise BadInput("store.endpoints", "endpoint-malformed", value=endpoint)
    try:
        return ip_address(host), port
    except ValueError:
        return host, port


def _endpoints(endpoints: tuple[str, ...]) -> tuple[str, ...]:
    """Several endpoints have to be addresses of one family: gRPC tries them as one list."""
    kinds = {type(endpoint_address(endpoint)[0]) for endpoint in endpoints}
    if len(endpoints) > 1 and (str in kinds or len(kinds) > 1):
        raise BadInput("store.endpoints", "endpoints-mixed", value=", ".join(endpoints))
    return endpoints


class StoreAccess(BaseModel):
    """How this node reaches the coordination store."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: Backend = Backend.ETCD
    endpoints: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_endpoints)] = (DEFAULT_ENDPOINT,)


class NodeFile(BaseModel):
    """What node.yaml says. `hostname` is the name that SMTP and IMAP clients see; `address` is where the other nodes
    reach this one, None on a server that stands alone.

    `watchdog`: what resets this machine when its keeper falls silent: a device, `auto` for /dev/watchdog if there is
    one, or `none`. On a virtual machine and in a container there is none (docs/developers/takeover.md).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: CheckedNodeName
    hostname: Annotated[str, AfterValidator(hostname)]
    roles: Annotated[frozenset[Role], Field(min_length=1)]
    address: IPv4Address | IPv6Address | None = None
    store: StoreAccess = StoreAccess()
    watchdog: Annotated[str, Field(pattern=r"^(auto|none|/dev/[\w/.-]+)$")] = "auto"


class NodeFileRefused(BadInput):
    """node.yaml is there but cannot be used; `field` names the line to mend."""


def parse(text: str, *, origin: Path = paths.NODE_FILE) -> NodeFile:
    """Read the text of a node file; raise NodeFileRefused naming the first bad field."""
    try:
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # PyYAML lets out others than its own
        raise NodeFileRefused("yaml", "node-file-not-yaml", path=str(origin), detail=_one_line(error)) from error
    if not isinstance(data, dict):
        raise NodeFileRefused("yaml", "node-file-not-a-mapping", path=str(origin))
    try:
        return NodeFile.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[
            0
        ]  # pydantic's own words: a field is missing, unknown or of a wrong type
        raise NodeFileRefused(
            _field(first["loc"]), "node-file-bad-field", path=str(origin), detail=_one_line(first["msg"])
        ) from error
    except BadInput as error:
        raise NodeFileRefused(error.field, "node-file-bad-field", path=str(origin), detail=str(error)) from error


def read(path: Path | None = None) -> NodeFile:
    """Read the node file; raise NotFound when this server was never initialised, NodeFileRefused when broken."""
    where = path or paths.NODE_FILE
    try:
        text = where.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotFound("node-file-missing", path=str(where)) from error
    except UnicodeDecodeError as error:
        raise NodeFileRefused("yaml", "node-file-not-yaml", path=str(where), detail=_one_line(error)) from error
    except OSError as error:
        raise PosthouseError("node-file-unreadable", path=str(where), detail=error.strerror or str(error)) from error
    return parse(text, origin=where)


def dump(node: NodeFile) -> str:
    """The file's text, with fields in reading order."""
    data: dict[str, Any] = node.model_dump(mode="json", exclude_none=True)
    data["roles"] = sorted(data["roles"])
    if node.watchdog == "auto":
        del data["watchdog"]  # a release before it refuses fields that it does not know
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def write(node: NodeFile, path: Path | None = None) -> None:
    """Write the node file in one step: readers see the old one or the new one, also after a power cut."""
    where = path or paths.NODE_FILE
    where.parent.mkdir(parents=True, exist_ok=True)
    durable_files.replace(where, dump(node).encode("utf-8"), 0o644)


def _field(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location) or "yaml"


def _one_line(problem: object) -> str:
    return " ".join(str(problem).split())
