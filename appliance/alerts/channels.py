"""The ways out: a webhook, an outside mail relay, an SNMP trap, a syslog server. None needs this system's own Postfix.

Each has a deadline and raises ChannelFailed with the reason; a secret (a webhook's URL) is never part of it.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import smtplib
import socket
import ssl
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from typing import Any

from appliance.alerts import snmp
from appliance.cluster.names import Seconds
from appliance.errors import PosthouseError

DEADLINE = Seconds(15.0)
SYSLOG_PORT = 514


class ChannelFailed(PosthouseError):
    """The alert was not handed on by this channel."""


@dataclass(frozen=True)
class Alert:
    """What is told: `text` in the operator's language, `name` of the condition, `kind` raised|still|cleared|test."""

    name: str
    kind: str
    text: str
    host: str
    facts: Mapping[str, str | int | float]


class Channel(ABC):
    """One way out."""

    name: str

    def send(self, alert: Alert) -> None:
        """Hand the alert on; raise ChannelFailed."""
        try:
            self._send(alert)
        except (OSError, ValueError, smtplib.SMTPException) as error:
            detail = getattr(error, "reason", None) or error
            raise ChannelFailed(
                "alert-channel-failed", channel=self.name, detail=f"{type(error).__name__}: {_line(detail)}"
            ) from error

    @abstractmethod
    def _send(self, alert: Alert) -> None: ...


@dataclass
class Webhook(Channel):
    """POST of JSON to an https (or http) URL. `text` is what Slack, Mattermost, DingTalk's and others' hooks show."""

    url: str
    name = "webhook"

    def _send(self, alert: Alert) -> None:
        body = {
            "text": f"[{alert.kind}] {alert.host}: {alert.text}",
            "alert": alert.name,
            "kind": alert.kind,
            "host": alert.host,
            "facts": dict(alert.facts),
            "at": datetime.now(UTC).isoformat(),
        }
        request = urllib.request.Request(  # noqa: S310 - the setting allows http(s) alone
            self.url,
            data=json.dumps(body, ensure_ascii=False).encode(),
            headers={"Content-Type": "application/json", "User-Agent": "posthouse"},
            method="POST",
        )
        with urllib.request.urlopen(request, timeout=DEADLINE) as response:  # noqa: S310 - as above
            response.read(1024)


@dataclass
class Mail(Channel):
    """By an outside relay, HOST[:PORT], with STARTTLS where it is offered."""

    relay: str
    recipients: tuple[str, ...]
    name = "mail"

    def _send(self, alert: Alert) -> None:
        host, port = _host_port(self.relay, 25)
        message = EmailMessage()
        message["From"] = f"posthouse@{alert.host}"
        message["To"] = ", ".join(self.recipients)
        message["Subject"] = f"[{alert.kind}] {alert.host}: {alert.text}"[:200]
        message["Date"] = format_datetime(datetime.now(UTC))
        message["Message-ID"] = make_msgid(domain=alert.host)
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834
        message.set_content(f"{alert.text}\n\n{alert.name}\n{alert.kind}\n")
        with smtplib.SMTP(host, port, local_hostname=alert.host, timeout=DEADLINE) as session:
            session.ehlo()
            if session.has_extn("starttls"):
                context = ssl.create_default_context()
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # RFC 7435: better than in clear
                session.starttls(context=context)
                session.ehlo()
            session.send_message(message)


@dataclass
class SnmpTrap(Channel):
    """An SNMPv2c notification (RFC 3416) to HOST[:PORT]."""

    receiver: str
    community: str
    name = "snmp"

    def _send(self, alert: Alert) -> None:
        host, port = _host_port(self.receiver, 162)
        packet = snmp.notification(self.community, alert.kind, alert.name, f"{alert.host}: {alert.text}")
        _datagram(host, port, packet)


@dataclass
class Syslog(Channel):
    """A line to a syslog server over UDP, facility mail (RFC 5424, 6.2.1)."""

    server: str
    name = "syslog"

    def _send(self, alert: Alert) -> None:
        host, port = _host_port(self.server, SYSLOG_PORT)
        handler = logging.handlers.SysLogHandler((host, port), facility=logging.handlers.SysLogHandler.LOG_MAIL)
        severity = "info" if alert.kind in ("cleared", "test") else "alert"
        priority = handler.encodePriority("mail", severity)
        handler.close()
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = f"<{priority}>1 {stamp} {alert.host} posthouse - {alert.name[:32]} - \ufeff[{alert.kind}] {alert.text}"
        _datagram(host, port, line.encode())


def channels(settings: Mapping[str, Any]) -> tuple[Channel, ...]:
    """The ways that the settings `alert.*` name."""
    found: list[Channel] = []
    if settings["alert.webhook_url"]:
        found.append(Webhook(settings["alert.webhook_url"]))
    if settings["alert.mail_relay"] and settings["alert.mail_to"]:
        found.append(Mail(settings["alert.mail_relay"], tuple(settings["alert.mail_to"])))
    if settings["alert.snmp_receiver"]:
        found.append(SnmpTrap(settings["alert.snmp_receiver"], settings["alert.snmp_community"]))
    if settings["alert.syslog_server"]:
        found.append(Syslog(settings["alert.syslog_server"]))
    return tuple(found)


def _host_port(text: str, default: int) -> tuple[str, int]:
    """HOST, HOST:PORT, [HOST] or [ADDRESS]:PORT, as the kind `Destination` lets them pass."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host.removeprefix("IPv6:"), int(rest.removeprefix(":") or default)
    host, _, port = text.partition(":")
    return host, int(port or default)


def _datagram(host: str, port: int, packet: bytes) -> None:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as out:
        out.settimeout(DEADLINE)
        out.connect(address)
        out.send(packet)


def _line(problem: object) -> str:
    return " ".join(str(problem).split())[:200]
