"""OpenLDAP's slapd: the directory replica of a node.

Rendered as slapd.conf (slapd.conf(5), slapd-mdb(5), slapd.access(5)) and checked
with slaptest. Who may read what is decided by the peer's uid, which the kernel
tells slapd over the ldapi socket (SASL EXTERNAL, RFC 4422 appendix A).
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance import durable_files, paths
from appliance.cluster.model import Node
from appliance.cluster.names import EngineName, Seconds
from appliance.directory import replicas, schema
from appliance.engines.base import (
    Change,
    ConfigurationRefused,
    Directory,
    Engine,
    Facts,
    Overloaded,
    Probe,
    RenderContext,
    Rendered,
    RenderedFile,
)
from appliance.engines.slapd import probe, seed
from appliance.engines.templates import render
from appliance.off_loop import off_loop

USER: Final = "openldap"
MANAGER: Final = f"cn=manager,{schema.SUFFIX}"
DOVECOT: Final = f"cn=dovecot,{schema.SUFFIX}"
POSTFIX: Final = f"cn=postfix,{schema.SUFFIX}"
#: slapd of another node: reads everything, to hold it too.
REPLICA: Final = f"cn=replica,{schema.SUFFIX}"
#: Which accounts stand for which identity in slapd's access rules. An account that a node lacks is left out.
IDENTITIES: Final = (
    (MANAGER, ("root", "posthouse")),
    # not dovenull: login processes meet strangers, and need nothing here
    (DOVECOT, ("dovecot",)),
    (POSTFIX, ("postfix",)),
)
INDEXES: Final = (
    ("objectClass", "eq"),
    ("entryUUID,entryCSN", "eq"),
    (schema.MAIL, "eq,sub"),
    (schema.DISPLAY_NAME, "sub"),
    (f"{schema.ASSOCIATED_DOMAIN},{schema.DOMAIN_NAME}", "eq,sub"),
    (f"{schema.LOGIN},{schema.TARGET},{schema.ALIASED_DOMAIN}", "eq"),
    (f"{schema.ID},{schema.GROUP}", "eq"),
    (f"{schema.STATUS},{schema.REFUSE_MAIL},{schema.DELETED_AT}", "eq"),
    (schema.MOVING, "pres"),
)
_CHECK_DEADLINE: Final = 30.0

UserId = Callable[[str], int]


@dataclass(frozen=True)
class Cluster:
    """What the configuration says of other servers. `sources`: the providers to follow; names are alternatives of a
    regular expression."""

    server_id: int
    authority: Path
    certificate: Path
    key: Path
    sources: tuple[str, ...]
    is_provider: bool
    replicas: str
    administrators: str
    revoked: Path | None


class Slapd(Engine):
    """The engine. `user_id` gives the uid of an account and raises KeyError when there is none."""

    facts = Facts(
        name=EngineName("slapd"),
        packages=("slapd", "ldap-utils"),
        default_units=("slapd.service",),
        settings=("directory.max_size", "directory.threads"),
    )

    def __init__(self, user_id: UserId = durable_files.user_id, pki: Path = paths.PKI) -> None:
        self._user_id = user_id
        self._pki = pki

    def directories(self, context: RenderContext) -> tuple[Directory, ...]:
        return (
            Directory(context.run.parent),
            Directory(context.run, USER, USER, 0o755),
            Directory(context.volume),
            Directory(context.volume / "slapd", USER, USER, 0o700),
        )

    def render(self, context: RenderContext) -> Rendered:
        text = render(
            Path(__file__).parent,
            "slapd.conf.j2",
            config=context.config,
            run=context.run,
            database=context.volume / "slapd",
            threads=context.settings["directory.threads"],
            max_size=context.settings["directory.max_size"],
            identities=tuple(self._identities()),
            cluster=self._cluster(context),
            replica=REPLICA,
            indexes=INDEXES,
            suffix=schema.SUFFIX,
            domains=schema.DOMAINS,
            quota_state=schema.QUOTA_STATE,
            routing=",".join(schema.ROUTING_ATTRIBUTES),
            manager=MANAGER,
            dovecot=DOVECOT,
            postfix=POSTFIX,
        )
        # slapd reads its configuration once.
        return {
            "slapd.conf": RenderedFile(text, change=Change.RESTART),
            "posthouse.schema": RenderedFile(schema.SCHEMA_FILE.read_text(encoding="ascii"), change=Change.RESTART),
            # the unit's: where slapd listens besides its socket
            "slapd.env": RenderedFile(f"LISTEN={_listen(context.node)}\n", change=Change.RESTART),
        }

    def check(self, context: RenderContext, folder: Path) -> None:
        result = subprocess.run(
            ["slaptest", "-u", "-Q", "-f", str(folder / "slapd.conf")],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_CHECK_DEADLINE,
            check=False,
        )
        if result.returncode != 0:
            raise ConfigurationRefused(context.instance, result.stderr.strip())

    def reads(self, context: RenderContext) -> tuple[Path, ...]:
        """slapd reads its certificate, and the list of revoked ones, when it starts; it has neither while its server
        stands alone."""
        if context.node.address is None:
            return ()
        revoked = (self._revoked,) if self._revoked else ()
        return (self._pki / "slapd.crt", self._pki / "slapd.key", *revoked)

    @property
    def _revoked(self) -> Path | None:
        """The list of revoked certificates; there is none in a cluster of a release before."""
        return found if (found := self._pki / paths.REVOKED.name).exists() else None

    def prepare(self, context: RenderContext) -> None:
        """A server begins with the tree's first entries; one that joins gets them, and all else, from the others."""
        if context.node.address is None:
            seed.prepare(context.config / "slapd.conf", context.volume / "slapd", USER)

    def probes(self, context: RenderContext) -> tuple[Probe, ...]:
        socket = context.run / "ldapi"

        async def ldap_search() -> None:
            await off_loop(probe.search_base, socket, schema.DOMAINS)
            if context.node.address is not None:
                await off_loop(probe.filled, socket)

        async def filling() -> Overloaded | None:
            return await off_loop(probe.filling, socket) if context.node.address else None

        return (Probe(probe.NAME, ldap_search, deadline=Seconds(5.0), every=Seconds(5.0), overload=filling),)

    def _cluster(self, context: RenderContext) -> Cluster | None:
        node = context.node
        if node.address is None or node.number is None:
            return None
        known = {**context.nodes, node.name: node}
        providing = replicas.providers(known)
        return Cluster(
            server_id=node.number,
            authority=self._pki / "ca.crt",
            certificate=self._pki / "slapd.crt",
            key=self._pki / "slapd.key",
            sources=tuple(replicas.url(each.address) for each in providing if each.address and each.name != node.name),
            is_provider=node.name in {each.name for each in providing},
            replicas="|".join(sorted(known)),
            administrators="|".join(replicas.administrators(known)),
            revoked=self._revoked,
        )

    def _identities(self) -> list[tuple[str, str]]:
        """(pattern of uids, identity) of those accounts that the node has."""
        known: list[tuple[str, str]] = []
        for name, accounts in IDENTITIES:
            uids = [str(uid) for account in accounts if (uid := self._uid(account)) is not None]
            if uids:
                known.append((f"({'|'.join(uids)})", name))
        return known

    def _uid(self, account: str) -> int | None:
        try:
            return self._user_id(account)
        except KeyError:
            return None


def _listen(node: Node) -> str:
    return "" if node.address is None or node.number is None else f"{replicas.url(node.address)}/"
