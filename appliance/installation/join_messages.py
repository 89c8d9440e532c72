"""What a server that wants to join and a control node say to each other: one line of JSON each way, over TLS.

ask "authority"   anybody; the authority's certificate, which the ticket's fingerprint proves
ask "join"        with a token; keys, certificates and place in the cluster
ask "vote"        with a node's certificate; its store member becomes a voter once it is in sync
ask "certify"     with a node's certificate; new certificates for the same node
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from appliance.cluster.decided import Revoked
from appliance.cluster.model import CheckedNodeName, Role
from appliance.errors import BadInput, PosthouseError
from appliance.node_file import hostname

PORT = 7390
#: Longest request and longest answer, bytes: the answer holds the list of revoked certificates.
LONGEST = 65_536
LONGEST_ANSWER = 4 << 20
_TICKET = "ph1."

Address = IPv4Address | IPv6Address
_Text = Annotated[str, Field(max_length=200)]
_Pem = Annotated[str, Field(max_length=8_000)]
_Number = Annotated[int, Field(ge=0, le=2**32)]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Ticket(_Message):
    """What `posthouse cluster token` prints: where to ask, how to know the authority, and the token."""

    addresses: Annotated[tuple[Address, ...], Field(min_length=1, max_length=16)]
    authority: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    token: _Text

    def text(self) -> str:
        """As one word for a command line."""
        return _TICKET + base64.urlsafe_b64encode(self.model_dump_json().encode()).decode("ascii").rstrip("=")

    @classmethod
    def read(cls, text: str) -> Ticket:
        """Read it back; raises BadInput when it is not whole."""
        word = text.strip()
        body = word.removeprefix(_TICKET)
        try:
            if body == word:
                raise ValueError
            return cls.model_validate_json(base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_"))
        except (ValueError, ValidationError, binascii.Error) as error:
            raise BadInput("token", "join-ticket-malformed") from error


class JoinRequest(_Message):
    """Who wants to join. `requests`: for each pair of keys that a node may have a request for a certificate.

    `now` is Unix time when this was sent.
    """

    ask: Literal["join"] = "join"
    token: _Text
    name: CheckedNodeName
    hostname: Annotated[str, Field(max_length=253), AfterValidator(hostname)]
    address: Address
    machine_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    release: _Text
    now: Annotated[float, Field(allow_inf_nan=False)]
    users: Annotated[Mapping[_Text, _Number], Field(max_length=32)]
    groups: Annotated[Mapping[_Text, _Number], Field(max_length=32)]
    requests: Annotated[Mapping[_Text, _Pem], Field(max_length=8)]


class JoinAnswer(_Message):
    """A place in the cluster. `secrets` are files of the pki folder that only control nodes get, base64; `revoked` is
    the list of revoked certificates, None from a release that has none."""

    roles: frozenset[Role]
    number: int
    certificates: Mapping[str, str]
    endpoints: tuple[str, ...]
    secrets: Mapping[str, str] = Field(default_factory=dict)
    revoked: Revoked | None = None


class CertifyRequest(_Message):
    """A node asks for new certificates."""

    ask: Literal["certify"] = "certify"
    requests: Annotated[Mapping[_Text, _Pem], Field(max_length=8)]


class CertifyAnswer(_Message):
    certificates: Mapping[str, str]


class VoteRequest(_Message):
    """A node's store member asks to vote."""

    ask: Literal["vote"] = "vote"


class VoteAnswer(_Message):
    """`votes`: False while it is not in sync yet."""

    votes: bool


class AuthorityRequest(_Message):
    ask: Literal["authority"] = "authority"


class AuthorityAnswer(_Message):
    authority: str


class Refusal(_Message):
    """Why not: a message key with its facts, put into words by who reads it. `later`: asking again may help."""

    refused: str
    facts: Mapping[str, str | int | float] = Field(default_factory=dict)
    later: bool = False

    @classmethod
    def of(cls, error: PosthouseError, *, later: bool = False) -> Refusal:
        facts = {name: v if isinstance(v, int | float) else str(v) for name, v in error.facts.items()}
        return cls(refused=error.key, facts=facts, later=later)


class Refused(PosthouseError):
    """The cluster said no."""

    def __init__(self, refusal: Refusal) -> None:
        self.later = refusal.later
        super().__init__(refusal.refused, **refusal.facts)


class Later(PosthouseError):
    """Not now; the same request may succeed in a moment."""
