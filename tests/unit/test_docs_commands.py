"""Every `posthouse` command that the README files and the operators' pages show exists, with the options shown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from appliance.cli.main import posthouse

REPOSITORY = Path(__file__).parents[2]
PAGES = [*REPOSITORY.glob("README*.md"), *sorted((REPOSITORY / "docs" / "operators").glob("*.md"))]
#: A line of a code block, or code within a sentence; `…` and | stand for anything.
_SHOWN = re.compile(r"^ {4,}(?:[#$] )?(?:.*(?:&&|\||') )?(posthouse [a-z].*)$|`(posthouse [a-z][^`]*)`", re.MULTILINE)


def shown(page: Path) -> Iterator[str]:
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    for found in _SHOWN.finditer(text):
        line = (found[1] or found[2]).partition(" # ")[0]
        yield re.split(r"&&|[|;]|  # |   +", line)[0].strip().rstrip("'")


def wrong(line: str) -> str | None:
    """What does not exist of a command line; None when all of it does."""
    words = line.split()[1:]
    command: click.Command = posthouse
    while isinstance(command, click.Group) and words:
        context = click.Context(command)
        word = words.pop(0)
        if word in {"…", "..."} or word.endswith("…"):
            return None
        if word.startswith("-"):
            return None if word in {"--help", "-h", "--version"} else word
        inner = command.get_command(context, word)
        if inner is None:
            return word
        command = inner
    known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)} | {"--help", "-h"}
    given = {word.partition("=")[0] for word in words if word.startswith("-") and word != "--"}
    return ", ".join(sorted(given - known)) or None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_a_page_exist(page: Path) -> None:
    assert {line: what for line in shown(page) if (what := wrong(line))} == {}


def test_the_pages_are_read() -> None:
    lines = [line for page in PAGES for line in shown(page)]
    assert len(lines) > 100
    assert "posthouse mailbox create carol@example.com --password-stdin" in lines


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("posthouse mailbox create a@example.com --nmae x", "--nmae"),
        ("posthouse mailbox creat a@example.com", "creat"),
        ("posthouse settings …", None),
        ("posthouse mailbox list --help", None),
    ],
)
def test_what_does_not_exist_is_found(line: str, what: str | None) -> None:
    assert wrong(line) == what
