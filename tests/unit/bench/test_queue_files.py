"""Long queue identifiers (Postfix 3.7, mail_queue.h)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.bench.queue_files import queue_id, subfolder


@given(st.integers(1_600_000_000, 4_000_000_000), st.integers(0, 999_999), st.integers(1, 2**48))
def test_an_identifier_has_its_time_before_the_z_and_no_z_after_it(seconds: int, microseconds: int, inode: int) -> None:
    identifier = queue_id(seconds, microseconds, inode)
    assert identifier[10] == "z"
    assert identifier[11:]
    assert "z" not in identifier[11:]


@given(st.integers(0, 999_999))
def test_the_subfolder_is_the_first_of_five_digits_in_base_16(microseconds: int) -> None:
    assert int(subfolder(microseconds), 16) == microseconds // 16**4
