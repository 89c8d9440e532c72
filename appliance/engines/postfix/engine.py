"""Postfix: SMTP in, submission, the queue, delivery by LMTP to Dovecot and by SMTP to the Internet.

Parameters of Postfix 3.7 (postconf(5), master(5)); ports, sockets and milters are
those of docs/developers/mail-topology.md.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path
from typing import Any, Final

from appliance import paths
from appliance.cluster.names import EngineName, InstanceId
from appliance.directory import schema
from appliance.directory.addresses import RESERVED
from appliance.engines import mail_tls, topology
from appliance.engines.base import (
    Change,
    ConfigurationRefused,
    Directory,
    Engine,
    Facts,
    Probe,
    RenderContext,
    Rendered,
    RenderedFile,
)
from appliance.engines.postfix import domain_copy, other_groups
from appliance.engines.postfix.checker import problems
from appliance.engines.postfix.maps import GROUP_MAPS, MAPS
from appliance.engines.postfix.probes import postfix_probes
from appliance.engines.postfix.spool import SPOOL, try_deferred
from appliance.engines.templates import render
from appliance.pki.names import MAIL_NAME

_FOLDER: Final = Path(__file__).parent
_DOVECOT: Final = EngineName("dovecot")
#: The queue manager looks at deferred mail this often, unless the shortest retry interval is shorter.
_QUEUE_RUN_DELAY: Final = 60


#: What recipients.cf found, values joined by commas, as an action of access(5).
_VERDICTS: Final = f"""\
/(^|,)TRUE(,|$)/ 550 5.2.1 Mailbox disabled
/(^|,){schema.NEAR}(,|$)/ posthouse_quota
/@/ OK
"""


class Postfix(Engine):
    """The engine."""

    facts = Facts(
        name=EngineName("postfix"),
        packages=("postfix", "postfix-cdb", "postfix-ldap", "postfix-pcre"),
        default_units=("postfix.service", "postfix@-.service"),
        settings=(
            "smtp.message_size_limit",
            "smtp.recipient_limit",
            "smtp.process_limit",
            "smtp.submission_process_limit",
            "smtp.outbound_process_limit",
            "smtp.client_connection_limit",
            "smtp.destination_concurrency",
            "smtp.queue_lifetime",
            "smtp.bounce_lifetime",
            "smtp.retry_interval_min",
            "smtp.retry_interval_max",
            "smtp.hostname",
            "smtp.banner",
            "smtp.relay_host",
            "smtp.relay_user",
            "smtp.relay_password",
            "smtp.mynetworks",
            "lmtp.concurrency",
            "auth.allow_plaintext_without_tls",
            "tls.minimum_protocol",
            "tls.ciphers",
        ),
    )

    def directories(self, context: RenderContext) -> tuple[Directory, ...]:
        postfix = context.volume / "postfix"
        return (
            Directory(context.run.parent),
            Directory(context.run),
            Directory(context.volume),
            Directory(postfix),
            Directory(postfix / "data", "postfix", "postfix", 0o700),
            Directory(postfix / "spool"),
            *(Directory(postfix / "spool" / name, owner, group, mode) for name, owner, group, mode in SPOOL),
        )

    def render(self, context: RenderContext) -> Rendered:
        values = _values(context)
        files = {
            # inet_interfaces and the parameters of services take effect on a restart of the master only.
            "main.cf": RenderedFile(render(_FOLDER, "main.cf.j2", **values)),
            "master.cf": RenderedFile(render(_FOLDER, "master.cf.j2", **values)),
            "non-ascii.pcre": RenderedFile("/^(.*[\\x80-\\xff].*)$/ $1\n"),
            "verdicts.pcre": RenderedFile(_VERDICTS),
            "unknown.pcre": RenderedFile("/./ 550 5.1.1 Recipient address rejected: User unknown\n"),
            "reserved.pcre": RenderedFile(render(_FOLDER, "reserved.pcre.j2", names=_reserved())),
            "xclient.pcre": RenderedFile(render(_FOLDER, "xclient.pcre.j2")),
        }
        if context.settings["smtp.relay_user"]:
            files["relay-password"] = RenderedFile(_relay_password(context), mode=0o600)
        maps = dict(MAPS)
        if context.others:
            maps |= GROUP_MAPS
            files |= {name: RenderedFile(text) for name, text in other_groups.tables(context).items()}
        for name, table in maps.items():
            text = render(_FOLDER, "map.cf.j2", map=table, purpose=table.purpose, uri=schema.URI, base=schema.DOMAINS)
            files[f"{name}.cf"] = RenderedFile(text)
        return files

    def reads(self, context: RenderContext) -> tuple[Path, ...]:
        between = (*mail_tls.BETWEEN, *mail_tls.revoked_files()) if _asked_inside(context) else ()
        return (mail_tls.CERTIFICATE, mail_tls.KEY, *between)

    def check(self, context: RenderContext, folder: Path) -> None:
        found = mail_tls.problems(between_groups=_asked_inside(context)) or problems(folder)
        if found:
            raise ConfigurationRefused(context.instance, "\n".join(found))

    def ready(self, context: RenderContext) -> None:
        domain_copy.ensure(context.instance)

    def arrived(self, context: RenderContext) -> str:
        """Try all deferred mail at once."""
        try_deferred(context.config)
        return "event-queue-flushed"

    def change(self, old: Rendered, new: Rendered) -> Change:
        change = super().change(old, new)
        if change is Change.RELOAD and _listeners(old) != _listeners(new):
            return Change.RESTART
        return change

    def probes(self, context: RenderContext) -> tuple[Probe, ...]:
        return postfix_probes(context)


def _asked_inside(context: RenderContext) -> bool:
    """Whether others of the installation hand mail or sessions over to this group."""
    return bool(context.others or context.edges)


def _relay_password(context: RenderContext) -> str:
    """The table smtp_sasl_password_maps (SASL_README), which smtp(8) reads before it gives up root.

    Raises SealingFailed on a node without the key.
    """
    from appliance.pki import sealing  # noqa: PLC0415 - its library is large, and few sign in at a relay

    settings = context.settings
    password = sealing.unseal(settings["smtp.relay_password"])
    return f"{settings['smtp.relay_host']} {settings['smtp.relay_user']}:{password}\n"


def _reserved() -> list[str]:
    """The names as parts of a regular expression."""
    return [re.escape(name) for name in sorted(RESERVED)]


def _listeners(files: Rendered) -> tuple[str, ...]:
    """The lines that say where Postfix listens; a reload does not follow them."""
    return tuple(
        line for line in files["main.cf"].text.splitlines() if line.startswith(("inet_interfaces", "inet_protocols"))
    )


def _values(context: RenderContext) -> dict[str, Any]:
    """What the templates ask for."""
    settings = context.settings
    addresses = context.group.addresses
    hostname = settings["smtp.hostname"] or context.hostname
    return {
        "instance": context.instance,
        "group": context.group.name,
        "config": context.config,
        "volume": context.volume,
        "domain_copy": domain_copy.table(context.instance),
        "dovecot_run": paths.run(InstanceId(_DOVECOT, context.group.name)),
        "hostname": hostname,
        "mail_domain": topology.mail_domain(hostname),
        "interfaces": ", ".join(map(_bracketed, addresses)) or "all",
        "bind_address": _source(addresses, IPv4Address),
        "bind_address6": _source(addresses, IPv6Address),
        "own_networks": ", ".join(["127.0.0.0/8", "[::1]/128", *(_network(str(address)) for address in addresses)]),
        "networks": ", ".join(map(_network, settings["smtp.mynetworks"])),
        "banner": settings["smtp.banner"],
        "reentry": topology.reentry(context.group.name),
        "message_size_limit": settings["smtp.message_size_limit"],
        "recipient_limit": settings["smtp.recipient_limit"],
        "process_limit": settings["smtp.process_limit"],
        "submission_limit": settings["smtp.submission_process_limit"],
        "outbound_limit": settings["smtp.outbound_process_limit"],
        "client_connection_limit": settings["smtp.client_connection_limit"],
        "destination_concurrency": settings["smtp.destination_concurrency"],
        "lmtp_concurrency": settings["lmtp.concurrency"],
        "lmtp_limit": settings["lmtp.concurrency"],
        "queue_lifetime": settings["smtp.queue_lifetime"],
        "bounce_lifetime": settings["smtp.bounce_lifetime"],
        "retry_min": settings["smtp.retry_interval_min"],
        "retry_max": settings["smtp.retry_interval_max"],
        "queue_run_delay": min(_QUEUE_RUN_DELAY, settings["smtp.retry_interval_min"]),
        "relay_host": settings["smtp.relay_host"],
        "relay_user": settings["smtp.relay_user"],
        "relay_wraps": settings["smtp.relay_host"].endswith(f":{topology.SUBMISSIONS}"),
        "plaintext_allowed": settings["auth.allow_plaintext_without_tls"],
        "certificate": mail_tls.CERTIFICATE,
        "key": mail_tls.KEY,
        "ciphers": mail_tls.cipher_list(settings),
        "minimum_protocol": settings["tls.minimum_protocol"],
        "several": bool(context.others),
        "intake": topology.INTAKE,
        "edges": ", ".join(_network(str(address)) for address in context.edges),
        "from_edge": topology.FROM_EDGE,
        "tls": mail_tls,
        "inside_name": MAIL_NAME,
        "revoked": next(iter(mail_tls.revoked_files()), None),
    }


def _bracketed(address: IPv4Address | IPv6Address) -> str:
    return f"[{address}]" if address.version == 6 else str(address)  # noqa: PLR2004 - the version of IP


def _network(text: str) -> str:
    """A network as Postfix writes it: IPv6 in brackets."""
    network = ip_network(text)
    return f"[{network.network_address}]/{network.prefixlen}" if network.version == 6 else str(network)  # noqa: PLR2004


def _source(addresses: tuple[IPv4Address | IPv6Address, ...], family: type[IPv4Address | IPv6Address]) -> str:
    """The address that mail to the Internet comes from, where the group has one of this family."""
    return next((str(address) for address in addresses if isinstance(address, family)), "")
