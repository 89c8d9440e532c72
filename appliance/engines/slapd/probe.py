"""The health probe of slapd: sign in over its socket and read a container of the tree."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from appliance.directory import schema
from appliance.directory.connection import DirectoryConnection
from appliance.engines.base import Overloaded, ProbeFailed
from appliance.errors import PosthouseError

NAME = "ldap-search"
_DEADLINE = 4
_WORD = 1


def search_base(socket: Path, dn: str) -> None:
    """Read `dn` over a connection of its own; raise ProbeFailed when there is no answer, or not this one."""
    uri = f"ldapi://{quote(str(socket), safe='')}"
    with DirectoryConnection(uri, connect_deadline=_DEADLINE, answer_deadline=_DEADLINE) as connection:
        try:
            found = connection.read(dn, ("1.1",))
        except PosthouseError as error:
            raise ProbeFailed(NAME, str(error.facts.get("detail", error.key))) from error
    if found is None:
        raise ProbeFailed(NAME, f"{dn} is missing")


class Filling(Overloaded):
    """The replica answers and does not hold the tree yet: it is getting it from the others. A restart would only
    make it begin again."""

    def __init__(self) -> None:
        PosthouseError.__init__(self, "directory-filling")


def filling(socket: Path) -> Filling | None:
    """Whether the replica has not had everything yet: its first refresh ends with the others' mark (RFC 4533)."""
    uri = f"ldapi://{quote(str(socket), safe='')}"
    with DirectoryConnection(uri, connect_deadline=_WORD, answer_deadline=_WORD) as connection:
        root = connection.read(schema.SUFFIX, ("contextCSN",))
        return None if root is not None and root.texts("contextCSN") else Filling()


def filled(socket: Path) -> None:
    """Raise ProbeFailed while the replica is being filled."""
    if (found := filling(socket)) is not None:
        raise ProbeFailed(NAME, str(found))
