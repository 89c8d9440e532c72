"""Reading who is at a mailbox that is to move."""

from __future__ import annotations

import pytest

from appliance.errors import PosthouseError
from appliance.mailbox_move.rest import sessions


def test_sessions_and_deliveries_are_told_with_their_processes() -> None:
    said = [
        "username\tproto\tpid\tip",
        "anna@x.test\timap\t101\t192.0.2.1",
        "anna@x.test\tlmtp\t102\t",
    ]
    assert sessions(said) == [("imap", 101), ("lmtp", 102)]
    assert sessions(said[:1]) == []


def test_nobody_is_said_to_be_there_only_where_dovecot_was_understood() -> None:
    with pytest.raises(PosthouseError):
        sessions(["something\telse"])
