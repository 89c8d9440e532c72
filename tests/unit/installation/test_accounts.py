"""Which commands bring accounts to their fixed numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from appliance.errors import PosthouseError
from appliance.installation import accounts
from appliance.installation.accounts import GROUPS, USERS, Command, IdTaken, Numbers, _moved, plan

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


def test_numbers_left_over_by_a_run_that_was_killed_are_kept_beside_the_new_ones() -> None:
    left = Numbers(users={101: 57025}, groups={111: 57026})
    assert _moved(left, READY_USERS, READY_GROUPS) == left
    both = _moved(left, {**READY_USERS, "postfix": 103}, {**READY_GROUPS, "postdrop": 110})
    assert both == Numbers(users={101: 57025, 103: 57025}, groups={111: 57026, 110: 57026})


def test_the_journal_stands_while_accounts_change_and_is_gone_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = tmp_path / "renumbering.json"
    monkeypatch.setattr(accounts, "_uid", lambda name: {**READY_USERS, "postfix": 103}[name])
    monkeypatch.setattr(accounts, "_gid", READY_GROUPS.get)
    monkeypatch.setattr(accounts, "_user_with", lambda uid: None)
    monkeypatch.setattr(accounts, "_group_with", lambda gid: None)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("subprocess.run", killed)
        with pytest.raises(KeyboardInterrupt):
            accounts.bring_about(journal)
    assert Numbers.model_validate_json(journal.read_bytes()).users == {103: 57025}

    # the account was renumbered, its files were not
    monkeypatch.setattr(accounts, "_uid", READY_USERS.get)
    given: list[dict[int, int]] = []
    monkeypatch.setattr(accounts, "_tree", lambda _: [tmp_path])
    monkeypatch.setattr(accounts, "_give", lambda _, users, __: given.append(users))
    assert accounts.bring_about(journal)
    assert given == [{103: 57025}]
    assert not journal.exists()
    assert not accounts.bring_about(journal)
