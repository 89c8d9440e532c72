"""Looking into a mailbox on another IMAP server: what it holds, before and after; read only.

The messages themselves are fetched by Dovecot (`mirror`). This side signs in first, so
that a wrong password or a bad certificate is told in plain words, learns the server's
naming of folders, and counts messages for the final comparison.
"""

from __future__ import annotations

import imaplib
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from imapclient import IMAPClient
from imapclient.exceptions import LoginError

from appliance.errors import PosthouseError, Unavailable
from appliance.migration.mail.mirror import Login, Server, Tls
from appliance.migration.mail.names import Folder

_TIMEOUT = 60.0
_UNSELECTABLE = frozenset({b"\\noselect", b"\\nonexistent"})
_BYTES = re.compile(r"b(['\"])(.*)\1", re.DOTALL)
_IDENTITY = {"name": "posthouse"}


class SourceRefused(PosthouseError):
    """The other server refuses: wrong name or password, or a certificate that cannot be trusted."""


@dataclass(frozen=True)
class There:
    """What the other server says. `prefix`: of the user's own folders, without the separator at its end.

    `elsewhere`: prefixes of other users' and shared folders, which are not brought.
    """

    prefix: str
    messages: Mapping[Folder, int]
    elsewhere: tuple[str, ...]


def look(server: Server, login: Login) -> There:
    """Sign in, and count the messages of every folder. Raises SourceRefused and Unavailable."""
    with _translated(server, login), _session(server, login) as session:
        prefix, separator, elsewhere = _namespaces(session)
        messages = {}
        for flags, delimiter, name in session.list_folders():
            if _UNSELECTABLE & {flag.lower() for flag in flags} or name.startswith(elsewhere):
                continue
            folder = folder_of(name, prefix, (delimiter or separator.encode()).decode())
            if folder is not None:
                messages[folder] = int(session.select_folder(name, readonly=True)[b"EXISTS"])
        return There(prefix.removesuffix(separator) if separator else prefix, messages, elsewhere)


def folder_of(name: str, prefix: str, separator: str) -> Folder | None:
    """The folder of a name as the server gives it; None for one outside the user's own prefix."""
    if name.upper() == "INBOX":
        return ()
    if not name.startswith(prefix):
        return None
    rest = name.removeprefix(prefix)
    return tuple(rest.split(separator)) if separator else (rest,)


def _namespaces(session: IMAPClient) -> tuple[str, str, tuple[str, ...]]:
    """Prefix and separator of the user's own folders, and prefixes of everybody else's (RFC 2342)."""
    if not session.has_capability("NAMESPACE"):
        return "", "", ()
    found = session.namespace()
    personal = found.personal[0] if found.personal else ("", "")
    elsewhere = tuple(prefix for group in (found.other, found.shared) for prefix, _ in group or () if prefix)
    return personal[0] or "", personal[1] or "", elsewhere


@contextmanager
def _session(server: Server, login: Login) -> Iterator[IMAPClient]:
    trust = ssl.create_default_context(cafile=str(server.authorities) if server.verify else None)
    if not server.verify:
        trust.check_hostname = False
        trust.verify_mode = ssl.CERT_NONE
    session = IMAPClient(
        server.host, server.port, ssl=server.tls is Tls.IMAPS, ssl_context=trust, timeout=_TIMEOUT, use_uid=True
    )
    try:
        if server.tls is Tls.STARTTLS:
            session.starttls(trust)
        session.login(login.user, login.password)
        # Some servers let nobody select a folder who has not introduced himself (RFC 2971).
        with suppress(imaplib.IMAP4.error):
            if session.has_capability("ID"):
                session.id_(_IDENTITY)
        yield session
    finally:
        with suppress(OSError, imaplib.IMAP4.error):
            session.logout()


@contextmanager
def _translated(server: Server, login: Login) -> Iterator[None]:
    """The errors of a session in our words."""
    where = f"{server.host}:{server.port}"
    try:
        yield
    except LoginError as error:
        raise SourceRefused("migrate-login-refused", user=login.user, server=where, detail=_said(error)) from None
    except ssl.SSLCertVerificationError as error:
        raise SourceRefused("migrate-certificate-refused", server=where, detail=error.verify_message) from None
    except ssl.SSLError as error:
        raise SourceRefused("migrate-no-tls", server=where, detail=error.reason or str(error)) from None
    except socket.gaierror as error:
        raise Unavailable("migrate-server-unknown", server=server.host, detail=error.strerror) from None
    except (OSError, imaplib.IMAP4.error) as error:
        raise Unavailable("migrate-server-unavailable", server=where, detail=_said(error)) from None


def _said(error: Exception) -> str:
    """What the server or the system says; imaplib gives the server's words as bytes, or as how Python writes them."""
    text = error.args[0] if error.args else error
    if isinstance(text, bytes):
        return text.decode("utf-8", "replace")
    match = _BYTES.fullmatch(str(text))
    return match[2] if match else str(error)
