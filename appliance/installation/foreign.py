"""Whether somebody set up Postfix or Dovecot on this server for a mail system of their own.

What Debian's packages write by themselves is not that: main.cf is compared with what
their installation scripts can write, master.cf with the originals kept beside it,
Dovecot's files with the checksums that ucf(1) keeps of the originals.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator

Files = Callable[[str], str | None]

MAIN_CF = "/etc/postfix/main.cf"
MASTER_CF = "/etc/postfix/master.cf"
#: First words of the main.cf that `posthouse init` writes (appliance/installation/sendmail.py).
OURS = "# Written by Posthouse"
_MASTER_ORIGINALS = ("/usr/share/postfix/master.cf.dist", "/etc/postfix/master.cf.proto")
_UCF = "/var/lib/ucf/hashfile"
_DOVECOT = "/etc/dovecot/"

#: Parameters that Debian's package writes into main.cf at installation (its postinst and main.cf.debian).
_DEBIANS = re.compile(
    r"""alias_database|alias_maps|append_dot_mydomain|biff|compatibility_level|delay_warning_time|html_directory
    |inet_interfaces|inet_protocols|mailbox_command|mailbox_size_limit|mydestination|myhostname|mynetworks|myorigin
    |readme_directory|recipient_delimiter|relayhost|smtp_tls_CApath|smtp_tls_security_level
    |smtp_tls_session_cache_database|smtpd_banner|smtpd_relay_restrictions|smtpd_tls_(cert|key)_file
    |smtpd_tls_security_level|smtpd_tls_session_cache_database|smtpd_use_tls""",
    re.VERBOSE,
)
_LOCAL = re.compile(r"\$myhostname|localdomain|localhost(\..*)?")
_LOOPBACK = re.compile(r"127\.[\d./]+|\[(::1|::ffff:127\.[\d.]+)\](/\d+)?")


def postfix(files: Files) -> Iterator[str]:
    """The files of Postfix that somebody changed for mail of their own. Pure."""
    main_cf = files(MAIN_CF) or ""
    if not main_cf.startswith(OURS) and _is_foreign_main_cf(main_cf, files):
        yield MAIN_CF
    originals = [text for path in _MASTER_ORIGINALS if (text := files(path)) is not None]
    master_cf = files(MASTER_CF)
    if master_cf is not None and originals and not any(_services(master_cf) <= _services(each) for each in originals):
        yield MASTER_CF


def dovecot(files: Files, present: Iterable[str]) -> Iterator[str]:
    """The files of Dovecot that somebody changed or added; `present`: what stands in its folders. Pure."""
    originals: dict[str, str] = {}
    for line in (files(_UCF) or "").splitlines():
        checksum, _, path = line.partition(" ")
        originals[path.strip()] = checksum
    known = {path for path in originals if path.startswith(_DOVECOT)}
    if not known:
        return
    for path in sorted({*known, *(each for each in present if each.endswith(".conf"))}):
        text = files(path)
        if text is None or not text.strip():
            continue
        if hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() != originals.get(path):
            yield path


def _is_foreign_main_cf(text: str, files: Files) -> bool:
    parameters = dict(_parameters(text))
    if any(value for name, value in parameters.items() if not _DEBIANS.fullmatch(name)):
        return True
    names = {parameters.get("myhostname", ""), *_words(files("/etc/mailname")), *_words(files("/etc/hostname"))}
    received = (each for each in _words(parameters.get("mydestination")) if not _LOCAL.fullmatch(each))
    relayed = (each for each in _words(parameters.get("mynetworks")) if not _LOOPBACK.fullmatch(each))
    return bool(parameters.get("relayhost") or set(received) - names or any(relayed))


def _logical_lines(text: str) -> Iterator[str]:
    """Lines with their continuations, without comments (postconf(5), master(5))."""
    line = ""
    for part in text.splitlines():
        if not part.strip() or part.lstrip().startswith("#"):
            continue
        if part[0].isspace():
            line = f"{line} {part.strip()}"
            continue
        if line:
            yield line
        line = part.strip()
    if line:
        yield line


def _parameters(text: str) -> Iterator[tuple[str, str]]:
    for line in _logical_lines(text):
        name, _, value = line.partition("=")
        yield name.strip(), value.strip()


def _services(text: str) -> frozenset[str]:
    return frozenset(" ".join(line.split()) for line in _logical_lines(text))


def _words(text: str | None) -> list[str]:
    return [word for word in re.split(r"[\s,]+", text or "") if word]
