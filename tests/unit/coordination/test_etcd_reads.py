"""A read is asked again when the connection broke under it, once and within its deadline."""

from __future__ import annotations

import time
from typing import Any

import pytest

from appliance.coordination.etcd import EtcdStore
from appliance.coordination.store import StoreUnavailable


class Breaking(EtcdStore):
    """Fails as often as `failures` says, in gRPC's place."""

    def __init__(self, *failures: str) -> None:
        self.failures = list(failures)
        self.calls = 0

    def _call(self, method: Any, request: Any, ends: float) -> Any:
        self.calls += 1
        if self.failures:
            raise StoreUnavailable(self.failures.pop(0), endpoints="e", detail="Stream removed", seconds=1.0)
        return "answer"


@pytest.mark.parametrize(
    ("failures", "seconds", "expected", "calls"),
    [
        ([], 5, "answer", 1),
        (["store-unreachable"], 5, "answer", 2),
        (["store-unreachable"] * 2, 5, None, 2),
        (["store-unreachable"], -1, None, 1),
        (["store-no-answer"], 5, None, 1),
        (["store-closed"], 5, None, 1),
    ],
)
def test_only_a_broken_connection_is_worth_a_second_try(
    failures: list[str], seconds: float, expected: str | None, calls: int
) -> None:
    store = Breaking(*failures)
    ends = time.monotonic() + seconds
    if expected is None:
        with pytest.raises(StoreUnavailable):
            store._range(None, ends)
    else:
        assert store._range(None, ends) == expected
    assert store.calls == calls
