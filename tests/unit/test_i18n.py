"""Choosing a language, falling back, filling in facts."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from appliance.errors import BadInput
from appliance.i18n import MissingText, current_language, language_of, lazy, speaking, translate


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("", "en"),
        ("C", "en"),
        ("C.UTF-8", "en"),
        ("POSIX", "en"),
        ("de_DE.UTF-8", "en"),
        ("en_GB.UTF-8", "en"),
        ("zh", "zh-CN"),
        ("zh_CN.UTF-8", "zh-CN"),
        ("zh-Hans-HK", "zh-CN"),
        ("zh_SG", "zh-CN"),
        ("zh_TW.Big5", "zh-TW"),
        ("zh_HK.UTF-8", "zh-TW"),
        ("zh-Hant", "zh-TW"),
        ("zh-Hant-MO", "zh-TW"),
        ("ja_JP.eucJP@cjk", "ja"),
    ],
)
def test_a_locale_or_tag_gives_the_language_that_serves_it_best(tag: str, language: str) -> None:
    assert language_of(tag) == language


def test_the_first_variable_that_is_set_chooses_the_language(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("POSTHOUSE_LANG", "LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "ja_JP.UTF-8")
    assert current_language() == "ja"
    monkeypatch.setenv("LC_MESSAGES", "zh_TW.UTF-8")
    assert current_language() == "zh-TW"
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    assert current_language() == "en"
    monkeypatch.setenv("POSTHOUSE_LANG", "zh-CN")
    assert current_language() == "zh-CN"


def test_a_block_can_speak_another_language() -> None:
    with speaking("ja"):
        assert translate("output-yes") == "はい"
        with speaking("zh-HK"):
            assert translate("output-no") == "否"
        assert translate("output-no") == "いいえ"


def test_facts_stand_in_the_text_without_marks_or_grouping() -> None:
    text = translate("probe-failed", lang="en", probe=12345, detail="no greeting")
    assert text == "The health check 12345 failed: no greeting"


def test_a_number_of_any_length_stands_in_the_text() -> None:
    wanted = str(10**40)
    assert wanted in translate("mailbox-bad-quota", "en", field="quota", value=10**40, maximum="1P")


def test_an_error_is_told_in_the_readers_language() -> None:
    error = BadInput("group", "bad-group-name", value="Mail!")
    with speaking("zh-CN"):
        assert "“Mail!”不是有效的服务组名" in str(error)
    with speaking("en"):
        assert str(error).startswith("group: “Mail!” is no group name")


def test_an_unknown_key_is_an_error_under_test() -> None:
    with pytest.raises(MissingText):
        translate("no-such-text")
    with pytest.raises(MissingText):
        translate("probe-failed", probe="imap")


def test_an_unknown_key_shows_itself_and_its_facts_in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_VERSION")
    assert translate("no-such-text", port=25, host="mx") == "no-such-text (port=25, host=mx)"
    assert translate("probe-failed", lang="en", probe="imap").startswith("The health check imap failed")


def test_help_of_a_command_is_translated_when_it_is_printed() -> None:
    @click.command(help=lazy("output-nothing"))
    def command() -> None: ...

    with speaking("en"):
        assert "Nothing to show." in CliRunner().invoke(command, ["--help"]).output
    with speaking("zh-CN"):
        assert "没有可显示的内容" in CliRunner().invoke(command, ["--help"]).output
