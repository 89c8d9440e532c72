"""The documents name what exists: links lead somewhere, a listed feature has its code and its test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
PAGES = sorted([*TOP.glob("*.md"), *(TOP / "docs").rglob("*.md")])
_LINK = re.compile(r"\]\((?!https?://|mailto:|#)([^)#\s]+)")
_ROW = re.compile(r"^\| (?P<ids>[A-Z]\d\d(?:, [A-Z]\d\d)*) \|.*\| (?P<places>[^|]+) \| (?P<tests>[^|]+) \|$", re.M)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    dead = [link for link in _LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert dead == []


def test_every_listed_feature_has_its_code_and_its_test() -> None:
    rows = list(_ROW.finditer((TOP / "docs/features.md").read_text()))
    assert len(rows) > 20
    missing = []
    for row in rows:
        for place in re.findall(r"`([^`]+)`", row["places"]):
            if not (TOP / place).exists():
                missing.append(f"{row['ids']}: {place}")
        for test in re.findall(r"`([^`]+)`", row["tests"]):
            file, _, name = test.partition("::")
            path = TOP / file
            if not path.exists() or (name and f"def {name}(" not in path.read_text()):
                missing.append(f"{row['ids']}: {test}")
    assert missing == []
