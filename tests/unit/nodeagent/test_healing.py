"""When addresses are announced again: a node that was silent is heard, and not for every look."""

from __future__ import annotations

from appliance.cluster.model import Session
from appliance.cluster.names import NodeName, Seconds
from appliance.ownership.records import SessionSeen
from nodeagent.ownership.healing import Hearing

ONE = NodeName("one")


def session(sequence: int, epoch: int = 7) -> dict[NodeName, SessionSeen]:
    return {ONE: SessionSeen(Session(node=ONE, boot_id="b", sequence=sequence), epoch, epoch + sequence)}


def back(hearing: Hearing, sessions: dict[NodeName, SessionSeen], now: float) -> bool:
    return bool(hearing.back(sessions, now, renew=Seconds(2.0), silence=Seconds(5.0)))


def test_a_session_that_is_renewed_in_time_is_no_news_however_seldom_one_looks() -> None:
    hearing = Hearing()
    assert not back(hearing, session(1), 0.0)
    assert not back(hearing, session(6), 10.0)
    assert not back(hearing, session(6), 10.5)
    assert not back(hearing, session(20), 40.0)


def test_one_whose_renewals_were_missing_is_back_once() -> None:
    hearing = Hearing()
    back(hearing, session(1), 0.0)
    assert not back(hearing, session(2), 10.0 - 5.0)
    assert not back(hearing, session(2), 15.0)
    assert back(hearing, session(4), 25.0)
    assert not back(hearing, session(5), 27.0)


def test_one_that_comes_with_a_new_session_is_back() -> None:
    hearing = Hearing()
    back(hearing, session(9), 0.0)
    assert not back(hearing, {}, 10.0)
    assert back(hearing, session(0, epoch=50), 20.0)
    assert back(hearing, session(0, epoch=60), 22.0), "it was opened anew between two looks"


def test_what_is_there_at_the_first_look_is_no_news() -> None:
    assert not back(Hearing(), session(100), 0.0)
