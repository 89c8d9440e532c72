"""Which deferred mail is tried when another group is back: what failed at its intake, and no other."""

from __future__ import annotations

import json

import pytest

from nodeagent.agent.handed_over import HandOverFollower, put_off, waiting


@pytest.mark.parametrize(
    ("reason", "group"),
    [
        pytest.param("connect to 10.0.0.2[10.0.0.2]:10026: Connection refused", "10.0.0.2", id="refused"),
        pytest.param(
            "delivery temporarily suspended: connect to fd00::3[fd00::3]:10026: Connection timed out",
            "fd00::3",
            id="suspended",
        ),
        pytest.param(
            "lost connection with 10.0.0.2[10.0.0.2] while sending end of data -- message may be sent more than once",
            "10.0.0.2",
            id="cut off",
        ),
        pytest.param(
            "conversation with 10.0.0.2[10.0.0.2] timed out while receiving the initial server greeting",
            "10.0.0.2",
            id="silent",
        ),
        pytest.param(
            "host 10.0.0.2[10.0.0.2] said: 450 4.3.5 <a@x.test>: Recipient address rejected: This mailbox is not here",
            "10.0.0.2",
            id="it went elsewhere",
        ),
        pytest.param("host 10.0.0.2[10.0.0.2] said: 452 4.2.2 Mailbox is full", None, id="refused for now"),
        pytest.param("connect to mx.test[192.0.2.1]:25: Connection refused", None, id="the Internet"),
        pytest.param("", None, id="not tried yet"),
    ],
)
def test_what_failed_at_an_intake_waits_for_its_group(reason: str, group: str | None) -> None:
    told = {
        "queue_id": "4abc",
        "queue_name": "deferred",
        "recipients": [{"address": "a@x.test", "delay_reason": reason}],
    }
    assert list(waiting([json.dumps(told)])) == ([("4abc", group)] if group else [])


def test_what_is_being_delivered_is_left_alone() -> None:
    reason = "connect to 10.0.0.2[10.0.0.2]:10026: Connection refused"
    told = {"queue_id": "4abc", "queue_name": "active", "recipients": [{"address": "a@x.test", "delay_reason": reason}]}
    assert list(waiting([json.dumps(told)])) == []


def test_mail_for_a_mailbox_that_was_just_changed_is_tried_whatever_it_failed_at() -> None:
    lines = [
        json.dumps({"queue_name": queue, "queue_id": identity, "recipients": [{"address": address}]})
        for queue, identity, address in (
            ("deferred", "A", "Anna@x.test"),
            ("active", "B", "anna@x.test"),
            ("deferred", "C", "berta@x.test"),
        )
    ]
    assert list(put_off(lines, {"anna@x.test"})) == ["A"]


def test_a_change_is_looked_after_several_times_and_then_no_more() -> None:
    follower = HandOverFollower()
    follower.changed({"Anna@x.test"})
    looks = [follower._changed_lately() for _ in range(4)]
    assert looks == [{"anna@x.test"}] * 4
