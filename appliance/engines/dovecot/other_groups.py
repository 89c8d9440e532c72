"""Where Dovecot finds other groups: a passwd-file by the group's name, read after the password was right. Pure.

Fields: https://doc.dovecot.org/2.3/configuration_manual/authentication/proxies/. STARTTLS, because it is on the
protocol's own port, which all three have; the client's own password is passed on, inside TLS whose other end has
shown a certificate of the installation.
"""

from __future__ import annotations

from collections.abc import Iterable

from appliance.cluster.model import ServiceGroup
from appliance.pki.names import MAIL_NAME

#: A login waits so long for a group that is away (seconds), less than mail programs wait for an answer.
PATIENCE = 25


def passwd(groups: Iterable[ServiceGroup]) -> str:
    """The file's text."""
    return "".join(
        f"{group.name}:::::::nopassword=y proxy=y host={MAIL_NAME} hostip={group.addresses[0]} starttls=yes"
        f" proxy_timeout={PATIENCE}\n"
        for group in groups
        if group.addresses
    )
