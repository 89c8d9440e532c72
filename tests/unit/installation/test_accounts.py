"""Which commands bring accounts to their fixed numbers."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from appliance.errors import PosthouseError
from appliance.installation.accounts import GROUPS, USERS, Command, IdTaken, plan

READY_USERS = {user.name: user.uid for user in USERS}
READY_GROUPS = {g.name: g.gid for g in GROUPS} | {user.group.name: user.group.gid for user in USERS}


def planned(users: Mapping[str, int], groups: Mapping[str, int]) -> list[Command]:
    names, group_names = {v: k for k, v in users.items()}, {v: k for k, v in groups.items()}
    return plan(users.get, groups.get, names.get, group_names.get)


def test_a_ready_server_needs_nothing() -> None:
    assert planned(READY_USERS, READY_GROUPS) == []


def test_missing_accounts_are_made_and_dynamic_ones_renumbered() -> None:
    commands = planned({"postfix": 103}, {"postfix": 109, "postdrop": 110})
    words = [command.words[:3] for command in commands]
    assert ("groupmod", "--gid", "57025") in words
    assert ("groupmod", "--gid", "57026") in words
    assert ("usermod", "--uid", "57025") in words
    assert ("useradd", "--uid", "57143") in words


def test_a_number_that_is_somebody_elses_is_refused_with_his_name() -> None:
    with pytest.raises(IdTaken) as refused:
        planned({**READY_USERS, "vmail": 5000, "alice": 57143}, READY_GROUPS)
    assert isinstance(refused.value, PosthouseError)
    assert refused.value.facts["holder"] == "alice"
