"""Click's own words in four languages."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from appliance.cli.main import posthouse
from appliance.cli.words import WORDS, word
from appliance.i18n import LANGUAGES, speaking

_CHINESE = re.compile(r"[\u4e00-\u9fff]")


def test_every_message_of_the_table_is_one_of_clicks() -> None:
    text = "".join(file.read_text(encoding="utf-8") for file in Path(click.__file__).parent.glob("*.py"))
    assert [message for message in WORDS if f'"{message}"' not in text] == []


@pytest.mark.parametrize("message", WORDS)
def test_in_english_it_says_what_click_says_and_elsewhere_the_same_placeholders_are_left(message: str) -> None:
    with speaking("en"):
        assert word(message) == message
    for language in LANGUAGES:
        with speaking(language):
            assert sorted(re.findall(r"\{.*?\}", word(message))) == sorted(re.findall(r"\{.*?\}", message))


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("mailbox", "create"),
        ("mailbox", "creat"),
        ("mailbox", "create", "--nmae"),
        ("mailbox", "list", "--limit", "-1"),
        ("mailbox", "list", "--limit", "many"),
        ("mailbox", "show", "a@example.com", "b@example.com"),
        ("settings", "list", "--scope", "world"),
        ("tls", "install", "/none", "/none"),
        ("domain", "create", "example.com", "--description"),
    ],
)
def test_nothing_is_english_but_names(words: tuple[str, ...]) -> None:
    with speaking("zh-CN"):
        said = CliRunner().invoke(posthouse, words).output
    for english in (
        "Usage",
        "Options",
        "Commands",
        "Error",
        "Try ",
        "Missing",
        "No such",
        "Invalid",
        " is not",
    ):
        assert english not in said
    assert _CHINESE.search(said)
