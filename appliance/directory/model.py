"""What the directory holds: frozen facts about domains, mailboxes and aliases. A password is never among them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum
from typing import Final

from appliance.directory.addresses import Address


class Status(StrEnum):
    """`disabled`: nobody logs in, mail still arrives (see `refuse_mail`). `deleted` mailboxes lie apart."""

    ACTIVE = "active"
    DISABLED = "disabled"
    DELETED = "deleted"


@dataclass(frozen=True)
class Domain:
    """A mail domain. A disabled one disables its mailboxes; `refuse_mail` refuses mail to all its addresses."""

    name: str
    display: str
    status: Status
    refuse_mail: bool
    description: str | None


@dataclass(frozen=True)
class DomainAlias:
    """A domain whose addresses stand for those of `target`."""

    name: str
    display: str
    target: str
    description: str | None


@dataclass(frozen=True)
class Mailbox:
    """A mailbox. `id` is its identity for life, `path` its home relative to the volume of `group`,
    `quota` bytes (0: without limit). `logins` are further names to log in with.
    `moving_to`: the group that it is about to go to; until it is there nobody may change what it holds."""

    address: str
    id: str
    name: str | None
    status: Status
    refuse_mail: bool
    quota: int
    group: str
    path: str
    logins: tuple[str, ...]
    has_password: bool
    password_changed_at: datetime | None
    previous_address: str | None
    deleted_at: datetime | None
    description: str | None
    moving_to: str | None = None


@dataclass(frozen=True)
class Alias:
    """An address that stands for others; `@domain` stands for what no other address of the domain does."""

    address: str
    targets: tuple[str, ...]
    status: Status
    name: str | None
    description: str | None


@dataclass(frozen=True)
class NewMailbox:
    """A mailbox to be made, already checked. `password` is `{SCHEME}hash`, or None: nobody can log in yet."""

    address: Address
    quota: int
    password: str | None = None
    name: str | None = None
    description: str | None = None
    status: Status = Status.ACTIVE
    refuse_mail: bool = False
    group: str = "mail"


class Keep(Enum):
    """The mark of a field that a change leaves as it is; None clears it."""

    KEEP = "keep"


KEEP: Final = Keep.KEEP


@dataclass(frozen=True)
class DomainChange:
    """What to change about a domain."""

    status: Status | Keep = KEEP
    refuse_mail: bool | Keep = KEEP
    description: str | Keep | None = KEEP


@dataclass(frozen=True)
class MailboxChange:
    """What to change about a mailbox."""

    name: str | Keep | None = KEEP
    status: Status | Keep = KEEP
    refuse_mail: bool | Keep = KEEP
    quota: int | Keep = KEEP
    description: str | Keep | None = KEEP


@dataclass(frozen=True)
class AliasChange:
    """What to change about an alias. Targets are added and removed one by one, so that two changes do not undo
    each other."""

    add_targets: tuple[Address, ...] = ()
    remove_targets: tuple[Address, ...] = ()
    status: Status | Keep = KEEP
    name: str | Keep | None = KEEP
    description: str | Keep | None = KEEP


@dataclass(frozen=True)
class FoundMailboxes:
    """Mailboxes that a search found; `complete` is False when there are more."""

    mailboxes: tuple[Mailbox, ...]
    complete: bool


def home(mailbox_id: str) -> str:
    """The home of a mailbox relative to its volume; two digits spread the homes over 256 folders."""
    return f"mailboxes/{mailbox_id[:2]}/{mailbox_id}"
