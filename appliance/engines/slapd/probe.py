"""The health probe of slapd: sign in over its socket and read a container of the tree."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from appliance.directory.connection import DirectoryConnection
from appliance.engines.base import ProbeFailed
from appliance.errors import PosthouseError

NAME = "ldap-search"
_DEADLINE = 4


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
