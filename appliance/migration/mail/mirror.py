"""Configurations by which doveadm fills a private Maildir: from another IMAP server, or from an mbox file.

A mirror keeps every message exactly as IMAP shows it (with CRLF), has no quota and no
index for searching, and uses the same writing of folder names as the mailbox.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from appliance.errors import BadInput

#: Dovecot's configuration is read line by line.
_UNWRITABLE = re.compile(r"[\x00-\x1f\x7f]")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


class Tls(StrEnum):
    """How the connection to the other server is protected."""

    IMAPS = "imaps"
    STARTTLS = "starttls"
    NONE = "none"


@dataclass(frozen=True)
class Server:
    """Another IMAP server. `verify`: its certificate must be good for `host`, by the authorities in `authorities`."""

    host: str
    port: int
    tls: Tls
    verify: bool = True
    authorities: Path = CERTIFICATES


@dataclass(frozen=True)
class Login:
    """Who signs in there."""

    user: str
    password: str = field(repr=False)


def quoted(value: str, name: str) -> str:
    """`value` as a string of Dovecot's configuration. Raises BadInput."""
    if _UNWRITABLE.search(value):
        raise BadInput(name, "migrate-control-character")
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def imported_configuration(location: Path) -> str:
    """What a mirror needs besides the configuration in force."""
    return (
        f"mail_location = maildir:{location}\n"
        "mail_plugins = listescape\n"
        "mail_attachment_detection_options =\n"
        "mail_save_crlf = yes\n"
        "mail_prefetch_count = 20\n"
    )


def imap_configuration(location: Path, server: Server, login: Login, prefix: str) -> str:
    """The configuration of a mirror of a mailbox on another server; `prefix` as the server's NAMESPACE says.

    https://doc.dovecot.org/2.3/configuration_manual/mail_location/imapc/
    """
    settings = {
        "imapc_host": quoted(server.host, "server"),
        "imapc_port": str(server.port),
        # Dovecot expands %-variables in the name, not in the password.
        "imapc_user": quoted(login.user.replace("%", "%%"), "user"),
        "imapc_password": quoted(login.password, "password"),
        "imapc_ssl": {Tls.IMAPS: "imaps", Tls.STARTTLS: "starttls", Tls.NONE: "no"}[server.tls],
        "imapc_ssl_verify": "yes" if server.verify else "no",
        "ssl_client_require_valid_cert": "yes" if server.verify else "no",
        "ssl_client_ca_file": str(server.authorities),
        "imapc_features": '"rfc822.size fetch-headers send-id"',
        "imapc_connection_retry_count": "3",
        "imapc_connection_retry_interval": "1s",
        **({"imapc_list_prefix": quoted(prefix, "server")} if prefix else {}),
    }
    return imported_configuration(location) + "".join(f"{name} = {value}\n" for name, value in settings.items())
