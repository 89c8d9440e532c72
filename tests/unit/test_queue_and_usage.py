"""What Postfix and Dovecot tell of queue and usage, as it is read."""

from __future__ import annotations

from datetime import UTC, datetime

from appliance.mail_queue import Queued, Recipient, read
from appliance.mail_usage import Usage, quota_rows, sum_rows

LINE = (
    '{"queue_name": "deferred", "queue_id": "4jYYjB3Hm1zvJH0", "arrival_time": 1700000000, "message_size": 402, '
    '"forced_expire": false, "sender": "MAILER-DAEMON", "recipients": [{"address": "a@b.example", '
    '"delay_reason": "connect to b.example: timed out"}, {"address": "c@b.example"}]}'
)


def test_a_line_of_the_queue_is_read() -> None:
    reasons = (
        Recipient(address="a@b.example", delay_reason="connect to b.example: timed out"),
        Recipient(address="c@b.example"),
    )
    arrived = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert list(read([LINE])) == [
        Queued(
            queue_id="4jYYjB3Hm1zvJH0",
            queue_name="deferred",
            arrival_time=arrived,
            message_size=402,
            sender="",
            recipients=reasons,
        )
    ]


def test_quota_and_sums_are_read_by_mailbox() -> None:
    told = [
        "Username\tQuota name\tType\tValue\tLimit\t%",
        "a@b.example\tMailbox\tSTORAGE\t52\t100\t52",
        "a@b.example\tMailbox\tMESSAGE\t3\t-\t0",
    ]
    assert quota_rows(told) == {"a@b.example": (52 * 1024, 3)}
    assert sum_rows(["Username\tmessages\tvsize", "c@b.example\t2\t5000"]) == {"c@b.example": (5000, 2)}
    assert quota_rows([]) == sum_rows([]) == {}


def test_percent_needs_a_quota() -> None:
    assert Usage("a@b.example", 50, 1, 200).percent == 25
    assert Usage("a@b.example", 50, 1, 0).percent is None
    assert Usage("a@b.example", None, None, 200).percent is None
