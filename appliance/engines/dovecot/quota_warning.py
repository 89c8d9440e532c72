"""Notes that a mailbox fills up, and tells its owner. Run by Dovecot's service quota-warning (user dovecot):

    python -m appliance.engines.dovecot.quota_warning GROUP EVENT ADDRESS

EVENT is the percentage to tell of, `near` (nothing to tell yet) or `away` (there is room
again). The directory's `posthouseQuotaState` follows, so that Postfix asks Dovecot for
the usage of those mailboxes alone. A note that is missing costs no mail: delivery looks
at the quota again, and the sender gets a bounce instead of a refusal.

The language is the mailbox's (mailbox <- domain <- system). The notice goes into the
mailbox through Dovecot's service quota-notice, which delivers over quota as well.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from pathlib import Path
from typing import Final

from ldap3.utils.conv import escape_filter_chars

from appliance import paths
from appliance.cluster.names import EngineName, InstanceId, group_name
from appliance.directory import schema
from appliance.directory.connection import DirectoryConnection, Edit, Entry, Scope
from appliance.engines.dovecot.quota_events import AWAY, NEAR
from appliance.errors import PosthouseError
from appliance.i18n import FALLBACK, translate
from appliance.settings.layers import SYSTEM, Layer, Owner, account_settings
from appliance.settings.parameter import Scope as SettingScope

FULL: Final = 100
#: File of the rendered configuration that holds the system's language.
LANGUAGE_FILE: Final = "language"
_LANGUAGE: Final = "mailbox.language"
_DEADLINE: Final = 60.0
_STEP: Final = 1024
_ATTRIBUTES: Final = (
    schema.MAIL,
    schema.DISPLAY_NAME,
    schema.LOGIN,
    schema.QUOTA,
    schema.SETTING,
    schema.ASSOCIATED_DOMAIN,
)


@dataclass(frozen=True)
class Recipient:
    """Whom to tell. `shown` is the address as its owner writes it; `quota` is in bytes, 0 when unknown."""

    address: str
    shown: str
    name: str
    language: str
    quota: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; the exit status tells Dovecot whether the notice was delivered."""
    group, event, address = sys.argv[1:] if arguments is None else arguments
    instance = InstanceId(EngineName("dovecot"), group_name(group))
    entries: tuple[Entry, ...] = ()
    noted = False
    try:
        with DirectoryConnection() as directory:
            entries = find(directory, address)
            noted = note(directory, entries, near=event != AWAY)
    except PosthouseError as error:
        print(f"quota of {address}: {error}", file=sys.stderr)
    if event in {NEAR, AWAY}:
        return 0 if noted else 1
    message = compose(recipient(address, entries, system_language(instance)), int(event))
    return 0 if deliver(paths.run(instance) / "quota-notice", address, message.as_bytes(policy=SMTP)) else 1


def system_language(instance: InstanceId) -> str:
    """The language of mailboxes that have not chosen one, as the configuration in force says."""
    try:
        return (paths.config(instance) / LANGUAGE_FILE).read_text(encoding="ascii").strip()
    except OSError:
        return FALLBACK


def find(directory: DirectoryConnection, address: str) -> tuple[Entry, ...]:
    """The directory's entries of the mailbox and its domain."""
    mail, domain = escape_filter_chars(address), escape_filter_chars(address.rpartition("@")[2])
    wanted = f"(|({schema.MAIL}={mail})({schema.ASSOCIATED_DOMAIN}={domain}))"
    return directory.search(schema.DOMAINS, wanted, Scope.SUBTREE, _ATTRIBUTES, limit=2).entries


def note(directory: DirectoryConnection, entries: Sequence[Entry], *, near: bool) -> bool:
    """Write down whether the quota is near; False when there is no such mailbox."""
    mailbox = next((entry for entry in entries if entry.text(schema.MAIL)), None)
    if mailbox is None:
        return False
    directory.modify(mailbox.dn, {schema.QUOTA_STATE: [(Edit.REPLACE, [schema.NEAR] if near else [])]})
    return True


def recipient(address: str, entries: Sequence[Entry], language: str) -> Recipient:
    """Whom to tell, from what the directory says; `language` is the system's. Pure."""
    mailbox = next((entry for entry in entries if entry.text(schema.MAIL)), None)
    domain = next((entry for entry in entries if entry is not mailbox), None)
    layers = [
        Layer(Owner(scope, address), dict(text.partition("=")[::2] for text in entry.texts(schema.SETTING)))
        for scope, entry in ((SettingScope.DOMAIN, domain), (SettingScope.MAILBOX, mailbox))
        if entry is not None
    ]
    settings = account_settings(Layer(SYSTEM, {_LANGUAGE: json.dumps(language)}), *layers)
    return Recipient(
        address=address,
        shown=(mailbox.text(schema.LOGIN) if mailbox else None) or address,
        name=(mailbox.text(schema.DISPLAY_NAME) if mailbox else None) or "",
        language=settings[_LANGUAGE],
        quota=int((mailbox.text(schema.QUOTA) if mailbox else None) or 0),
    )


def compose(to: Recipient, percent: int) -> EmailMessage:
    """The notice: names and subject as RFC 2047 words, an automatic message as RFC 3834 says."""
    domain = to.address.rpartition("@")[2]
    key = "quota-notice-full" if percent >= FULL else "quota-notice-warning"
    facts = {"address": to.shown, "percent": percent, "quota": space(to.quota)}
    message = EmailMessage()
    message["From"] = Address(translate("quota-notice-sender", to.language), "postmaster", domain)
    message["To"] = Address(to.name, addr_spec=to.address)
    message["Subject"] = translate(f"{key}.subject", to.language, **facts)
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = make_msgid("quota", domain=domain)
    message["Auto-Submitted"] = "auto-generated"
    message["Content-Language"] = to.language
    message.set_content(translate(key, to.language, **facts) + "\n", charset="utf-8", cte="base64")
    return message


def space(octets: int) -> str:
    """A number of bytes as people say it, in binary units: `1 GB`, `953.7 MB`."""
    size, unit = float(octets), "B"
    for larger in ("KB", "MB", "GB", "TB"):
        if size < _STEP:
            break
        size, unit = size / _STEP, larger
    return f"{size:.1f}".removesuffix(".0") + f" {unit}"


def deliver(service: Path, address: str, message: bytes) -> bool:
    """Hand the message to the unix socket of a Dovecot `script` service; whether it ended well.

    Protocol: program-client-remote.c of Dovecot 2.3. The argument is escaped as strescape.c does.
    """
    head = f"VERSION\tscript\t4\t0\n-\n{_tab_escaped(address)}\n\n".encode()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_DEADLINE)
        connection.connect(str(service))
        connection.sendall(head + message)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(4096):
            answer += part
    return answer.endswith(b"+\n")


def _tab_escaped(text: str) -> str:
    for plain, escaped in (("\001", "\0011"), ("\t", "\001t"), ("\r", "\001r"), ("\n", "\001n"), ("\0", "\0010")):
        text = text.replace(plain, escaped)
    return text


if __name__ == "__main__":
    sys.exit(main())
