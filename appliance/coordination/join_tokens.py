"""Tokens with which a server may join the cluster once, before they expire.

The store keeps only a digest of the secret part: who reads the store cannot join with it. The secret has 256 random
bits, so one SHA-256 is enough; it is no password that could be guessed. Times are wall-clock: an expiry is an
operator's wish, nothing's ownership rests on it.
"""

from __future__ import annotations

import hmac
import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from appliance.cluster import keys
from appliance.cluster.model import Role
from appliance.coordination.store import Delete, Field, Guard, Put, Record, Store
from appliance.errors import BadInput

FOLDER = keys.PREFIX + "join-tokens/"
LONGEST = timedelta(days=7)


class TokenRefused(BadInput):
    """The token is unknown, was used, or has expired; which one is not told to who holds it."""


@dataclass(frozen=True)
class Grant:
    """What a token allows: to join with these roles."""

    roles: frozenset[Role]
    expires: datetime


def issue(store: Store, roles: frozenset[Role], lifetime: timedelta, now: datetime | None = None) -> str:
    """Make a token; its text is told here and never again. Forgets those that have expired.

    Raises BadInput for a lifetime that is not within a week, StoreUnavailable.
    """
    if not timedelta(0) < lifetime <= LONGEST:
        raise BadInput("lifetime", "join-token-lifetime", days=LONGEST.days)
    moment = now or datetime.now(UTC)
    _forget_expired(store, moment)
    identity, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    record = {"digest": _digest(secret), "roles": sorted(roles), "expires": (moment + lifetime).isoformat()}
    store.create(FOLDER + identity, json.dumps(record))
    return f"{identity}.{secret}"


def look(store: Store, token: str, holder: str, now: datetime | None = None) -> Grant:
    """What a token allows, without using it up. Raises TokenRefused, also when another holder used it."""
    return _look(store, token, holder, now)[1]


def redeem(store: Store, token: str, holder: str, now: datetime | None = None) -> Grant:
    """Use a token up and return what it allows; of several that try, one succeeds.

    `holder` is what only one server can prove to be (its key): the same one may come again with the token until it
    expires, because its answer may have been lost. Raises TokenRefused; StoreUnavailable, and then it may be used up.
    """
    record, grant, used = _look(store, token, holder, now)
    if not used:
        facts = {**json.loads(record.value), "holder": holder}
        if not store.transact([_unchanged(record)], [Put(record.key, json.dumps(facts))]).succeeded:
            raise TokenRefused("token", "join-token-refused")
    return grant


def _look(store: Store, token: str, holder: str, now: datetime | None) -> tuple[Record, Grant, bool]:
    """The token's record, what it allows, and whether this holder has used it before."""
    identity, _, secret = token.strip().partition(".")
    record = store.get(FOLDER + identity) if identity.isalnum() else None
    if record is None:
        raise TokenRefused("token", "join-token-refused")
    digest, grant = _read(record)
    if not hmac.compare_digest(digest, _digest(secret)) or grant.expires <= (now or datetime.now(UTC)):
        raise TokenRefused("token", "join-token-refused")
    used_by = json.loads(record.value).get("holder")
    if used_by not in (None, holder):
        raise TokenRefused("token", "join-token-refused")
    return record, grant, used_by is not None


def revoke_all(store: Store) -> int:
    """Make every token useless; return how many there were."""
    return sum(_forget(store, record) for record in store.list(FOLDER)[0])


def _forget_expired(store: Store, now: datetime) -> None:
    for record in store.list(FOLDER)[0]:
        if _read(record)[1].expires <= now:
            _forget(store, record)


def _forget(store: Store, record: Record) -> bool:
    return store.transact([_unchanged(record)], [Delete(record.key)]).succeeded


def _unchanged(record: Record) -> Guard:
    return Guard(record.key, Field.MOD_REVISION, record.mod_revision)


def _read(record: Record) -> tuple[str, Grant]:
    facts = json.loads(record.value)
    roles = frozenset(Role(role) for role in facts["roles"])
    return str(facts["digest"]), Grant(roles, datetime.fromisoformat(facts["expires"]))


def _digest(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()
