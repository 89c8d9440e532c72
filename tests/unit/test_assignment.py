"""Which group a new mailbox goes to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.cluster.names import GroupName
from appliance.directory.assignment import Rule, assigned
from appliance.errors import BadInput

GROUPS = ("a-m=one", "n-z=two", "three")
USED = {"one": 5, "two": 2, "three": 9}


def group_of(rule: Rule, local: str, groups: tuple[str, ...] = GROUPS) -> str:
    return assigned(rule, groups, local, lambda group: USED[group])


@pytest.mark.parametrize(
    ("local", "group"),
    [("alice", "one"), ("mary", "one"), ("nina", "two"), ("zoe", "two"), ("7up", "three"), ("_", "three")],
)
def test_by_the_first_letter(local: str, group: str) -> None:
    assert group_of(Rule.FIRST_LETTER, local) == group


def test_a_letter_of_no_group_is_refused_by_name() -> None:
    with pytest.raises(BadInput) as refused:
        group_of(Rule.FIRST_LETTER, "7up", GROUPS[:2])
    assert refused.value.facts["letter"] == "7"


def test_fixed_is_the_first_and_least_used_the_emptiest() -> None:
    assert group_of(Rule.FIXED, "zoe") == "one"
    assert group_of(Rule.LEAST_USED, "zoe") == "two"


@given(st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyz0123456789._-"), min_size=1), st.sampled_from(Rule))
def test_every_address_has_one_group_and_always_the_same(local: str, rule: Rule) -> None:
    assert group_of(rule, local) == group_of(rule, local)
    assert GroupName(group_of(rule, local)) in USED
