"""Accounts from LDIF (RFC 2849), as directories of other mail systems export it.

Understood: inetOrgPerson, posixAccount, qmailUser (qmail-ldap, iRedMail), mailRecipient
(Netscape), inetLocalMailRecipient, Postfix' common attributes, Zimbra's, and Active
Directory's; mailAlias, nisMailAlias and groups of addresses become aliases. Each
record stands alone: a broken one is refused with its line, the rest goes on.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ldif import LDIFParser

from appliance.errors import PosthouseError
from appliance.migration.accounts import record
from appliance.migration.accounts.hashes import Understood, password_or_hash
from appliance.migration.accounts.record import Account, BadRow, Row, RowRefused
from appliance.migration.accounts.table import decoded

Values = Mapping[str, tuple[str, ...]]

_PRIMARY = ("mail", "zimbramaildeliveryaddress", "userprincipalname")
_NAME = ("displayname", "cn", "gecos")
_ALIASES = (
    "mailalternateaddress",
    "mailaltaddress",
    "maillocaladdress",
    "mailaliasaddress",
    "mailalias",
    "shadowaddress",
    "rfc822mailalias",
    "gosamailalternateaddress",
    "zimbramailalias",
    "mailacceptinggeneralid",
)
_FORWARDS = (
    "mailforwardingaddress",
    "mailforwardaddress",
    "mailroutingaddress",
    "gosamailforwardingaddress",
    "zimbraprefmailforwardingaddress",
    "zimbramailforwardingaddress",
    "rfc822mailmember",
    "mgrprfc822mailmember",
    "maildrop",
)
#: Attribute -> how many bytes a bare number counts in.
_QUOTA = {
    "mailquotasize": 1,
    "mailquota": 1,
    "zimbramailquota": 1,
    "mailboxquota": 1,
    "quota": 1,
    "gosamailquota": 2**20,
    "mdboverquotalimit": 2**10,
}
_STATUS = ("accountstatus", "mailuserstatus", "inetuserstatus", "zimbraaccountstatus", "mailstatus", "mailenabled")
_PASSWORDS = ("userpassword", "sambaclearpassword")
_ACCOUNT_CLASSES = {"inetorgperson", "posixaccount", "qmailuser", "mailrecipient", "mailuser", "user", "zimbraaccount"}
_ALIAS_CLASSES = {"mailalias", "nismailalias", "mailgroup", "inetmailgroup", "mailforwardinglist", "qmailgroup"}
#: Active Directory's userAccountControl: ACCOUNTDISABLE.
_AD_DISABLED = 2


@dataclass(frozen=True)
class _Block:
    """One record's text and the line where it starts."""

    line: int
    data: bytes


def read(data: bytes, domain: str | None = None, encoding: str | None = None) -> Iterator[Row]:
    """The accounts and aliases of an LDIF file, in order; `domain` completes a bare uid.

    Records that are neither (containers, groups of people) are passed over.
    Raises BadInput at once when the file is no text.
    """
    text, _ = decoded(data, encoding)
    return _rows(text.encode("utf-8"), domain)


def _rows(data: bytes, domain: str | None) -> Iterator[Row]:
    for block in _blocks(data):
        values: Values | None = None
        try:
            values = _parsed(block)
            account = _account(block.line, values, domain) if values else None
        except PosthouseError as problem:
            yield BadRow(block.line, _first(values, *_PRIMARY) if values else "", problem)
            continue
        if account:
            yield account


def _blocks(data: bytes) -> Iterator[_Block]:
    """Cut the file at blank lines; the library reads one record at a time, so that one error costs one record."""
    lines: list[bytes] = []
    start = 0
    for line, raw in enumerate(data.splitlines(keepends=True), 1):
        if raw.strip():
            start = start or (0 if raw.startswith(b"#") else line)
            lines.append(raw)
        elif start:
            yield _Block(start, b"".join(lines))
            lines, start = [], 0
    if start:
        yield _Block(start, b"".join(lines))


def _parsed(block: _Block) -> Values | None:
    """Attributes of a record by lower-case name without options; None for a block that holds no entry."""
    try:
        found = list(LDIFParser(io.BytesIO(block.data), encoding=None, strict=False).parse())
    except (ValueError, IndexError) as error:
        raise RowRefused("migrate-bad-ldif", detail=str(error)) from None
    values: dict[str, tuple[str, ...]] = {}
    for name, said in (found[0][1] if found else {}).items():
        plain = name.partition(";")[0].lower()
        values[plain] = values.get(plain, ()) + tuple(_text(name, value) for value in said)
    change = _first(values, "changetype") or "add"
    if change.lower() != "add":
        raise RowRefused("migrate-ldif-change", change=change)
    return values or None


def _text(name: str, value: bytes | str) -> str:
    if isinstance(value, str):
        return value
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        if name.lower() in ("jpegphoto", "objectguid", "objectsid", "usercertificate") or b"\0" in value:
            return ""
        raise RowRefused("migrate-ldif-not-utf8", attribute=name) from None


def _account(line: int, values: Values, domain: str | None) -> Account | None:
    classes = {name.lower() for name in values.get("objectclass", ())}
    address, others = _addresses(values, classes, domain)
    if address is None:
        return None
    own = address.rpartition("@")[2]
    targets = [part for value in _all(values, *_FORWARDS) for part in record.addresses(value)]
    forwards = record.distinct([record.with_domain(part, own) for part in targets], address)
    aliases = record.distinct([record.with_domain(part, own) for part in others], address)
    forward_only = bool(forwards) and _holds_no_mail(values, classes)
    known = _password(values)
    return Account(
        line=line,
        address=address,
        name=_first(values, *_NAME),
        password=known.password,
        quota=_quota(values),
        aliases=aliases,
        forwards=forwards,
        forward_only=forward_only,
        enabled=_enabled(values) and not known.locked,
        weak_scheme=known.weak,
    )


def _addresses(values: Values, classes: set[str], domain: str | None) -> tuple[str | None, list[str]]:
    """The entry's address and its further ones; (None, []) when it is neither an account nor an alias."""
    proxies = [part for part in values.get("proxyaddresses", ()) if part[:5].lower() == "smtp:"]
    primary = [part[5:] for part in proxies if part.startswith("SMTP:")]
    mails = [*_all(values, *_PRIMARY[:2]), *primary, *_all(values, *_PRIMARY[2:])]
    further = [*_all(values, *_ALIASES), *(part[5:] for part in proxies)]
    if mails:
        return record.with_domain(mails[0], domain), [*values.get("mail", ())[1:], *further]
    if classes & _ALIAS_CLASSES and _all(values, *_FORWARDS):
        return record.with_domain(_first(values, "cn", "uid"), domain), further
    if classes & _ACCOUNT_CLASSES and (uid := _first(values, "uid", "samaccountname")):
        return record.with_domain(uid, domain), further
    return None, []


def _holds_no_mail(values: Values, classes: set[str]) -> bool:
    modes = {mode.lower() for mode in _all(values, "deliverymode", "maildeliveryoption")}
    if modes & {"nolocal", "forward"} and "mailbox" not in modes:
        return True
    return bool(classes & _ALIAS_CLASSES) or not (classes & _ACCOUNT_CLASSES or _all(values, *_PASSWORDS))


def _password(values: Values) -> Understood:
    """The first password that is kept; else what is known of the first."""
    known = [password_or_hash(value) for value in _all(values, *_PASSWORDS)]
    return next((each for each in known if each.password), known[0] if known else Understood())


def _quota(values: Values) -> int | None:
    for name, unit in _QUOTA.items():
        found = record.quota(_first(values, name), unit)
        if found is not None:
            return found
    return None


def _enabled(values: Values) -> bool:
    control = _first(values, "useraccountcontrol")
    if control.isdecimal() and int(control) & _AD_DISABLED:
        return False
    if _first(values, "nsaccountlock").lower() == "true":
        return False
    return all(record.enabled(_first(values, name)) for name in _STATUS)


def _all(values: Values, *names: str) -> list[str]:
    return [value.strip() for name in names for value in values.get(name, ()) if value.strip()]


def _first(values: Values, *names: str) -> str:
    return next(iter(_all(values, *names)), "")
