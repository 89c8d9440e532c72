"""Which changes are told: a table of marks before and after, and what entries say."""

from __future__ import annotations

import pytest

from appliance.directory.changes import Changed, changed, marks, since
from appliance.directory.connection import Entry

OLD = "20261124051825.300528Z#000000#000#000000"
NEW = "20261124051826.000000Z#000000#000#000000"
OTHER_OLD = "20261124050000.000000Z#000000#001#000000"
OTHER_NEW = "20261124051826.500000Z#000000#001#000000"


@pytest.mark.parametrize(
    ("before", "after", "start"),
    [
        pytest.param([], [], None, id="nothing ever"),
        pytest.param([OLD], [OLD], None, id="nothing new"),
        pytest.param([OLD], [NEW], OLD, id="one server moved"),
        pytest.param([OLD, OTHER_OLD], [NEW, OTHER_OLD], OLD, id="one of two moved"),
        pytest.param([OLD, OTHER_OLD], [NEW, OTHER_NEW], OTHER_OLD, id="both moved"),
        pytest.param([OLD], [OLD, OTHER_NEW], "", id="a new server"),
        pytest.param([], [NEW], "", id="the first change"),
        pytest.param([NEW], [OLD], "", id="restored from a backup"),
        pytest.param([NEW], [], None, id="no mark at all"),
    ],
)
def test_what_has_to_be_read_again(before: list[str], after: list[str], start: str | None) -> None:
    assert since(marks(before), marks(after)) == start


def test_the_newest_of_a_servers_marks_counts() -> None:
    assert marks([NEW, OLD, OTHER_OLD]) == {"000": NEW, "001": OTHER_OLD}


def test_a_renamed_mailbox_is_told_under_every_name() -> None:
    entry = Entry(
        "mail=b@example.com,…",
        {
            "mail": [b"B@example.com"],
            "posthousePreviousMail": [b"a@example.com"],
            "posthouseLogin": ["b@例子.中国".encode()],
        },
    )
    assert changed([entry]) == Changed(names=frozenset({"b@example.com", "a@example.com", "b@例子.中国"}))


def test_a_domain_is_told_as_a_domain() -> None:
    entry = Entry("…", {"associatedDomain": [b"xn--fsqu00a.cn"], "posthouseDomainName": ["例子.cn".encode()]})
    told = changed([entry, Entry("o=posthouse", {})])
    assert told == Changed(domains=frozenset({"xn--fsqu00a.cn", "例子.cn"}))
    assert told
    assert not changed([])
