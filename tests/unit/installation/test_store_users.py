"""Of two releases side by side, the newer one says what nodes may do in the store."""

from __future__ import annotations

import pytest

from appliance.installation.store_users import is_newest


@pytest.mark.parametrize(
    ("release", "others", "newest"),
    [
        pytest.param("0.2.0", ["0.1.0", "0.2.0"], True, id="an older one and the same"),
        pytest.param("0.1.0", ["0.1.0", "0.2.0"], False, id="a newer one"),
        pytest.param("0.9.0", ["0.10.0"], False, id="numbers, not text"),
        pytest.param("0.1.0", ["0.1.7"], True, id="what the third number says is no other need"),
        pytest.param("0.1.0", ["", "unknown"], True, id="no release"),
        pytest.param("0.1.0", [], True, id="nobody"),
    ],
)
def test_only_the_newest_release_renews_permissions(release: str, others: list[str], newest: bool) -> None:
    assert is_newest(release, others) is newest
