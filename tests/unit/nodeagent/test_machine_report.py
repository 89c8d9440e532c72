"""What the agent tells of the keeper's report."""

from __future__ import annotations

from appliance.cluster.report import Notice
from nodeagent.agent import machine

_MISSING = {"key": "volume-device-missing", "text": "…", "facts": {"device": "/dev/x"}}


def test_faults_and_what_counts_later_are_told() -> None:
    said = {
        "groups": {
            "mail": {"fault": None, "volume_changed": True},
            "two": {"fault": {"key": "volume-busy", "text": "…", "facts": {"path": "/srv", "holders": "sh (7)"}}},
        },
        "address_faults": {"own": {"key": "address-without-interface", "text": "…", "facts": {"address": "::1"}}},
        "standby_volumes": {"three": _MISSING, "four": None},
    }
    assert list(machine.notices(said)) == [
        Notice(key="group-volume-changed", facts={"group": "mail"}),
        Notice(key="volume-busy", facts={"path": "/srv", "holders": "sh (7)"}),
        Notice(key="address-without-interface", facts={"address": "::1"}),
        Notice(key="volume-device-missing", facts={"device": "/dev/x"}),
    ]
    assert machine.standby_volumes(said) == {"three": Notice(key="volume-device-missing", facts={"device": "/dev/x"})}


def test_a_keeper_that_says_less_or_otherwise_is_no_harm() -> None:
    reports: tuple[dict[str, object], ...] = (
        {},
        {"groups": []},
        {"groups": {"a": 1}},
        {"standby_volumes": {"a": {"text": "no key"}}},
    )
    for said in reports:
        assert list(machine.notices(said)) == []
        assert machine.standby_volumes(said) == {}


def test_no_watchdog_is_said_as_such() -> None:
    report = machine.watchdog({"watchdog": "none", "watchdog_armed": False})
    assert report is not None
    assert (report.kind, report.armed) == ("none", False)
