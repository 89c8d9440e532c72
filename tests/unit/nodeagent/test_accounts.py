"""Whose sessions a change in the directory is about."""

from __future__ import annotations

from appliance.directory.changes import Changed
from nodeagent.agent.accounts import concerned


def test_a_change_concerns_the_named_and_everybody_of_a_changed_domain() -> None:
    changed = Changed(names=frozenset({"alice@a.test"}), domains=frozenset({"b.test"}))
    connected = ["alice@a.test", "bob@a.test", "carol@b.test", "carol@b.test", "probe"]
    assert concerned(connected, changed) == ["alice@a.test", "carol@b.test"]
    assert concerned(["b", "a", "a"], Changed(everything=True)) == ["a", "b"]
