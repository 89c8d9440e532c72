"""Where Dovecot finds other groups: a passwd-file by the group's name, read after the password was right. Pure.

Fields: https://doc.dovecot.org/2.3/configuration_manual/authentication/proxies/. STARTTLS, because it is on the
protocol's own port, which all three have; the client's own password is passed on, inside TLS whose other end has
shown a certificate of the installation.
"""

from __future__ import annotations

from collections.abc import Iterable

from appliance.cluster.model import ServiceGroup
from appliance.engines import topology
from appliance.engines.topology import Address
from appliance.pki.names import MAIL_NAME

#: A login waits so long for a group that is away (seconds), less than mail programs wait for an answer.
PATIENCE = 25


def passwd(groups: Iterable[ServiceGroup], source: Address | None = None, *, edge: bool = False) -> str:
    """The file's text. `source`: where the sessions are to come from, for groups that have an address of its family.
    `edge`: with lines for sending, `submission/GROUP`."""
    lines = []
    for group in groups:
        if group.addresses:
            fields = _fields(group, source)
            lines.append(f"{group.name}:::::::{fields}\n")
            if edge:
                lines.append(f"submission/{group.name}:::::::{fields} port={topology.FROM_EDGE}\n")
    return "".join(lines)


def _fields(group: ServiceGroup, source: Address | None) -> str:
    of_family = [each for each in group.addresses if source is not None and each.version == source.version]
    fields: dict[str, object] = {
        "nopassword": "y",
        "proxy": "y",
        "host": MAIL_NAME,
        "hostip": (of_family or group.addresses)[0],
        "starttls": "yes",
        "proxy_timeout": PATIENCE,
    }
    if of_family:
        fields["source_ip"] = source
    return " ".join(f"{name}={value}" for name, value in fields.items())
