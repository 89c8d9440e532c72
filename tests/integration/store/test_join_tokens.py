"""Join tokens on a real store: once, in time, and nothing in the store that could be used."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from appliance.cluster.model import Role
from appliance.coordination import join_tokens
from appliance.coordination.join_tokens import TokenRefused
from appliance.coordination.store import Store
from appliance.errors import BadInput
from tests.integration.store_process import StoreProcess

EDGE = frozenset({Role.EDGE, Role.WEB})
HOUR = timedelta(hours=1)


def test_a_token_lets_one_server_in_with_its_roles(store: Store) -> None:
    token = join_tokens.issue(store, EDGE, HOUR)
    assert join_tokens.look(store, token, "one").roles == EDGE
    assert join_tokens.redeem(store, f" {token}\n", "one").roles == EDGE
    assert join_tokens.redeem(store, token, "one").roles == EDGE, "its answer may have been lost"
    for use in (join_tokens.look, join_tokens.redeem):
        with pytest.raises(TokenRefused):
            use(store, token, "another")


def test_of_many_that_use_a_token_at_once_one_gets_in(server: StoreProcess, store: Store) -> None:
    token = join_tokens.issue(store, EDGE, HOUR)
    entered: list[str] = []

    def join(name: str) -> None:
        with server.store(deadline=10) as own:
            try:
                join_tokens.redeem(own, token, name)
            except TokenRefused:
                return
            entered.append(name)

    threads = [threading.Thread(target=join, args=(str(number),)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(entered) == 1


def test_an_expired_token_lets_nobody_in_and_is_forgotten(store: Store) -> None:
    issued = datetime(2026, 1, 1, tzinfo=UTC)
    token = join_tokens.issue(store, EDGE, HOUR, issued)
    with pytest.raises(TokenRefused):
        join_tokens.redeem(store, token, "one", issued + HOUR)
    join_tokens.issue(store, EDGE, HOUR, issued + HOUR)
    assert not [record for record in store.list(join_tokens.FOLDER)[0] if token.split(".")[0] in record.key]


def test_the_store_holds_nothing_that_lets_anybody_in(store: Store) -> None:
    token = join_tokens.issue(store, EDGE, HOUR)
    identity, secret = token.split(".")
    record = store.get(join_tokens.FOLDER + identity)
    assert record is not None
    assert secret not in record.value
    for guess in (identity, f"{identity}.", f"{identity}.{secret[:-1]}", f"{identity}.{record.value}", "", "..", "/"):
        with pytest.raises(TokenRefused):
            join_tokens.redeem(store, guess, "one")
    join_tokens.redeem(store, token, "one")


def test_revoked_tokens_let_nobody_in(store: Store) -> None:
    token = join_tokens.issue(store, EDGE, HOUR)
    assert join_tokens.revoke_all(store) >= 1
    with pytest.raises(TokenRefused):
        join_tokens.redeem(store, token, "one")


@pytest.mark.parametrize("lifetime", [timedelta(0), timedelta(seconds=-1), timedelta(days=8)])
def test_a_lifetime_beyond_reason_is_refused(store: Store, lifetime: timedelta) -> None:
    with pytest.raises(BadInput):
        join_tokens.issue(store, EDGE, lifetime)
