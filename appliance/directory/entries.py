"""Between entries of the directory and the facts of `model`: names of entries, attributes, and back. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from ldap3.utils.conv import escape_filter_chars
from ldap3.utils.dn import escape_rdn

from appliance.directory import schema as s
from appliance.directory.addresses import Address, DomainName, deceives, description, display_name, excerpt
from appliance.directory.connection import Attributes, Changes, Edit, Entry, Values
from appliance.directory.model import (
    Alias,
    AliasChange,
    Domain,
    DomainAlias,
    DomainChange,
    Keep,
    Mailbox,
    MailboxChange,
    NewMailbox,
    Status,
    home,
)
from appliance.errors import BadInput

#: What a mailbox is read with; never the password: when it was set tells that there is one.
MAILBOX_ATTRIBUTES: Final = (
    s.MAIL,
    s.ID,
    s.DISPLAY_NAME,
    s.STATUS,
    s.REFUSE_MAIL,
    s.QUOTA,
    s.GROUP,
    s.PATH,
    s.LOGIN,
    s.PASSWORD_CHANGED_AT,
    s.PREVIOUS_MAIL,
    s.DELETED_AT,
    s.DESCRIPTION,
    s.MOVING,
)
ALIAS_ATTRIBUTES: Final = (s.MAIL, s.TARGET, s.STATUS, s.DISPLAY_NAME, s.DESCRIPTION)
DOMAIN_ATTRIBUTES: Final = (
    "objectClass",
    s.ASSOCIATED_DOMAIN,
    s.DOMAIN_NAME,
    s.STATUS,
    s.REFUSE_MAIL,
    s.ALIASED_DOMAIN,
    s.DESCRIPTION,
)
_TIME: Final = "%Y%m%d%H%M%SZ"
#: Any run of so many bytes is in the substring indexes; less is looked for at beginnings only.
_INDEXED_RUN: Final = 3
_MAX_TERM: Final = 256


def literal(text: str) -> str:
    """`text` inside a filter (RFC 4515)."""
    return str(escape_filter_chars(text))


def domain_dn(domain: DomainName) -> str:
    """Where a domain, or a domain alias, lies."""
    return f"{s.ASSOCIATED_DOMAIN}={escape_rdn(domain.ascii)},{s.DOMAINS}"


def address_rdn(address: Address) -> str:
    """The first part of the name of a mailbox or alias (RFC 4514)."""
    return f"{s.MAIL}={escape_rdn(str(address))}"


def address_dn(address: Address) -> str:
    """Where the mailbox or alias of an address lies."""
    return f"{address_rdn(address)},{domain_dn(address.domain)}"


def deleted_rdn(mailbox_id: str) -> str:
    """The first part of the name of a deleted mailbox."""
    return f"{s.ID}={escape_rdn(mailbox_id)}"


def time_text(moment: datetime) -> str:
    """A moment as GeneralizedTime (RFC 4517 3.3.13)."""
    return moment.astimezone(UTC).strftime(_TIME)


def new_mailbox(wanted: NewMailbox, now: datetime) -> tuple[str, Attributes]:
    """The entry of a mailbox to be made, with an identity of its own."""
    identity = uuid.uuid4().hex
    values: dict[str, Values] = {
        "objectClass": [s.MAILBOX],
        s.MAIL: [str(wanted.address)],
        s.ID: [identity],
        s.PATH: [home(identity)],
        s.GROUP: [wanted.group],
        s.STATUS: [wanted.status],
        s.QUOTA: [str(wanted.quota)],
        s.LOGIN: logins(wanted.address),
        s.DISPLAY_NAME: _one(wanted.name),
        s.DESCRIPTION: _one(wanted.description),
        s.REFUSE_MAIL: _flag(wanted.refuse_mail),
        s.PASSWORD: _one(wanted.password),
        s.PASSWORD_CHANGED_AT: [time_text(now)] if wanted.password else [],
    }
    return address_dn(wanted.address), {name: given for name, given in values.items() if given}


def new_alias(address: Address, targets: tuple[Address, ...], name: str | None, remark: str | None) -> Attributes:
    """The entry of an alias."""
    values: dict[str, Values] = {
        "objectClass": [s.ALIAS],
        s.MAIL: [str(address)],
        s.TARGET: [str(target) for target in targets],
        s.STATUS: [Status.ACTIVE],
        s.DISPLAY_NAME: _one(name),
        s.DESCRIPTION: _one(remark),
    }
    return {attribute: given for attribute, given in values.items() if given}


def new_domain(domain: DomainName, remark: str | None) -> Attributes:
    """The entry of a domain."""
    return {"objectClass": [s.DOMAIN], s.STATUS: [Status.ACTIVE], **_domain_names(domain, remark)}


def new_domain_alias(domain: DomainName, target: DomainName, remark: str | None) -> Attributes:
    """The entry of a domain alias."""
    return {"objectClass": [s.DOMAIN_ALIAS], s.ALIASED_DOMAIN: [target.ascii], **_domain_names(domain, remark)}


def logins(address: Address) -> list[str]:
    """The further names that the mailbox of an address is found by when its owner logs in."""
    return [address.display] if address.domain.international else []


def domain_changes(change: DomainChange) -> Changes:
    """The edits of a change."""
    return dict(_edits(status=change.status, refuse=change.refuse_mail, remark=change.description))


def mailbox_changes(change: MailboxChange) -> Changes:
    """The edits of a change."""
    edits = dict(_edits(status=change.status, refuse=change.refuse_mail, remark=change.description, name=change.name))
    if not isinstance(change.quota, Keep):
        edits |= quota_changes(change.quota)
    return edits


def quota_changes(quota: int) -> dict[str, list[tuple[Edit, Values]]]:
    """The edits that make `quota` (bytes) the limit. How near the usage is to it shows at the next delivery."""
    return {s.QUOTA: [(Edit.REPLACE, [str(quota)])], s.QUOTA_STATE: [(Edit.REPLACE, [s.NEAR])]}


def alias_changes(change: AliasChange) -> Changes:
    """The edits of a change."""
    edits = dict(_edits(status=change.status, remark=change.description, name=change.name))
    added = [(Edit.ADD, [str(target)]) for target in change.add_targets]
    removed = [(Edit.DELETE, [str(target)]) for target in change.remove_targets]
    return {**edits, s.TARGET: [*added, *removed]}


def domain_of(entry: Entry) -> Domain | DomainAlias:
    """The fact that an entry below `ou=domains` states."""
    name = entry.text(s.ASSOCIATED_DOMAIN) or ""
    display = entry.text(s.DOMAIN_NAME) or name
    target = entry.text(s.ALIASED_DOMAIN)
    if target is not None:
        return DomainAlias(name, display, target, entry.text(s.DESCRIPTION))
    return Domain(name, display, _status(entry), _is_set(entry, s.REFUSE_MAIL), entry.text(s.DESCRIPTION))


def mailbox_of(entry: Entry) -> Mailbox:
    """The fact that a mailbox's entry states; where it lies decides whether it is deleted."""
    deleted = entry.dn.lower().startswith(s.ID.lower() + "=")
    return Mailbox(
        address=entry.text(s.MAIL) or "",
        id=entry.text(s.ID) or "",
        name=entry.text(s.DISPLAY_NAME),
        status=Status.DELETED if deleted else _status(entry),
        refuse_mail=_is_set(entry, s.REFUSE_MAIL),
        quota=int(entry.text(s.QUOTA) or 0),
        group=entry.text(s.GROUP) or "",
        path=entry.text(s.PATH) or "",
        logins=entry.texts(s.LOGIN),
        has_password=s.PASSWORD_CHANGED_AT in entry.values,
        password_changed_at=_moment(entry, s.PASSWORD_CHANGED_AT),
        previous_address=entry.text(s.PREVIOUS_MAIL),
        deleted_at=_moment(entry, s.DELETED_AT) if deleted else None,
        description=entry.text(s.DESCRIPTION),
        moving_to=entry.text(s.MOVING),
    )


def alias_of(entry: Entry) -> Alias:
    """The fact that an alias's entry states."""
    return Alias(
        address=entry.text(s.MAIL) or "",
        targets=tuple(sorted(entry.texts(s.TARGET))),
        status=_status(entry),
        name=entry.text(s.DISPLAY_NAME),
        description=entry.text(s.DESCRIPTION),
    )


def within(domain: DomainName, kind: str) -> str:
    """The filter of everything of one class in a domain.

    The address's end narrows the candidates by index; without it the first page of a
    small domain walks over every mailbox there is.
    """
    return f"(&(objectClass={kind})({s.MAIL}=*@{literal(domain.ascii)}*))"


def matching(kind: str, term: str, *attributes: str, field: str = "term") -> str:
    """The filter of what has `term` in one of `attributes`: anywhere, or at the beginning if it is short.

    Raises BadInput for a term that is empty or too long.
    """
    plain = term.strip()
    if not plain or len(plain) > _MAX_TERM or any(map(deceives, plain)):
        raise BadInput(field, "directory-bad-term", maximum=_MAX_TERM, value=excerpt(plain))
    wild = "*" if len(plain.encode()) >= _INDEXED_RUN else ""
    terms = "".join(f"({attribute}={wild}{literal(plain)}*)" for attribute in attributes)
    return f"(&(objectClass={kind})(|{terms}))"


def _edits(
    *,
    status: Status | Keep = Keep.KEEP,
    refuse: bool | Keep = Keep.KEEP,
    remark: str | Keep | None = Keep.KEEP,
    name: str | Keep | None = Keep.KEEP,
) -> Iterator[tuple[str, list[tuple[Edit, Values]]]]:
    if not isinstance(status, Keep):
        yield s.STATUS, [(Edit.REPLACE, [status])]
    if not isinstance(refuse, Keep):
        yield s.REFUSE_MAIL, [(Edit.REPLACE, _flag(refuse))]
    if not isinstance(remark, Keep):
        yield s.DESCRIPTION, [(Edit.REPLACE, _one(remark and description(remark)))]
    if not isinstance(name, Keep):
        yield s.DISPLAY_NAME, [(Edit.REPLACE, _one(name and display_name(name)))]


def _domain_names(domain: DomainName, remark: str | None) -> dict[str, Values]:
    values: dict[str, Values] = {s.ASSOCIATED_DOMAIN: [domain.ascii]}
    if domain.international:
        values[s.DOMAIN_NAME] = [domain.display]
    if remark:
        values[s.DESCRIPTION] = [remark]
    return values


def _one(value: str | None) -> Values:
    return [value] if value else []


def _flag(value: bool) -> Values:
    return ["TRUE"] if value else []


def _is_set(entry: Entry, attribute: str) -> bool:
    return entry.text(attribute) == "TRUE"


def _status(entry: Entry) -> Status:
    return Status.ACTIVE if entry.text(s.STATUS) == Status.ACTIVE else Status.DISABLED


def _moment(entry: Entry, attribute: str) -> datetime | None:
    text = entry.text(attribute)
    return datetime.strptime(text, _TIME).replace(tzinfo=UTC) if text else None
