"""The documents name what exists: links, commands and their options, settings, each feature's code and test."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from appliance.cli.main import posthouse
from appliance.settings.registry import PARAMETERS, SECTIONS

TOP = Path(__file__).parents[2]
PAGES = sorted([*TOP.glob("*.md"), *(TOP / "docs").rglob("*.md")])
#: Written by hand; the reference is rendered from the commands and the registry themselves.
WRITTEN = [page for page in PAGES if "reference" not in page.parts]
#: Where a dotted name is a setting; elsewhere it may be Python's.
FOR_OPERATORS = [page for page in WRITTEN if page.parent == TOP or "operators" in page.parts]

_LINK = re.compile(r"\]\((?!https?://|mailto:)([^)\s]+)")
_CODE = re.compile(r"```.*?```|`[^`\n]+`|^(?: {4}|\t).*$", re.S | re.M)
_COMMAND = re.compile(r"(?<![\w/@.-])posthouse((?: [^\s|;&<>#`'\")…]+)+)")
_SETTING = re.compile(rf"(?<![\w./@-])((?:{'|'.join(SECTIONS)})\.[a-z_]+)\b(?![/(])")
_FILE_SUFFIXES = ("py", "md", "ftl", "j2", "ldif", "json", "yaml")
_ROW = re.compile(r"^\| (?P<ids>[A-Z]\d\d(?:, [A-Z]\d\d)*) \| [^|]+ \| (?P<places>[^|]+) \| (?P<tests>[^|]+) \|$", re.M)
_MACHINE = re.compile(r"(?<![\w.])/(?:work|home)/|/tmp/brief")


def name(page: Path) -> str:
    return str(page.relative_to(TOP))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    dead = []
    for link in _LINK.findall(page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []


def commands_in(text: str) -> Iterator[list[str]]:
    """The words after `posthouse` of every command that stands in code."""
    for code in _CODE.findall(text):
        for line in code.splitlines():
            for match in _COMMAND.finditer(line):
                words = match[1].split()
                if re.fullmatch(r"[a-z-]+", words[0]):
                    yield words


def fault(words: list[str]) -> str | None:
    """What is wrong with a command as it is written, or None."""
    command: click.Command = posthouse
    context = click.Context(command, info_name="posthouse")
    for position, word in enumerate(words):
        if not isinstance(command, click.Group) or word.startswith("-") or not re.fullmatch(r"[a-z-]+", word):
            break
        found = command.get_command(context, word)
        if found is None:
            return f"there is no command {' '.join(words[: position + 1])}"
        command, context = found, click.Context(found, parent=context, info_name=word)
    known = {option for parameter in command.get_params(context) for option in parameter.opts}
    unknown = [word for word in words if word.startswith("--") and word.partition("=")[0] not in known]
    return f"{command.name} has no {', '.join(unknown)}" if unknown else None


@pytest.mark.parametrize("page", WRITTEN, ids=name)
def test_every_command_of_a_page_exists_with_its_options(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    faults = {f"posthouse {' '.join(words)}: {wrong}" for words in commands_in(text) if (wrong := fault(words))}
    assert faults == set()


def test_a_command_that_does_not_exist_would_be_found() -> None:
    lines = [
        "Try `posthouse mailbox vanish a@b`.",
        "",
        "    posthouse domain list --loud",
        "    posthouse domain list --json",
    ]
    assert [fault(words) for words in commands_in("\n".join(lines))] == [
        "there is no command mailbox vanish",
        "list has no --loud",
        None,
    ]


@pytest.mark.parametrize("page", FOR_OPERATORS, ids=name)
def test_every_setting_of_a_page_is_registered(page: Path) -> None:
    named = {
        setting
        for code in _CODE.findall(page.read_text(encoding="utf-8"))
        for setting in _SETTING.findall(code)
        if setting.rpartition(".")[2] not in _FILE_SUFFIXES
    }
    assert named <= PARAMETERS.keys()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_page_names_a_place_of_one_machine(page: Path) -> None:
    assert _MACHINE.findall(page.read_text(encoding="utf-8")) == []


def test_every_page_is_reached_from_the_index() -> None:
    reached: set[Path] = set()
    waiting = [TOP / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        for link in _LINK.findall(page.read_text(encoding="utf-8")):
            target = (page.parent / link.partition("#")[0]).resolve()
            waiting += sorted(target.glob("*.md")) if target.is_dir() else [target]
    assert [name(page) for page in PAGES if page not in reached] == []


@cache
def functions_of(file: Path) -> frozenset[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_every_listed_feature_has_its_code_and_its_test() -> None:
    text = (TOP / "docs/features.md").read_text(encoding="utf-8")
    rows = list(_ROW.finditer(text.partition("## Partly")[0]))
    ids = [one for row in rows for one in row["ids"].split(", ")]
    assert len(rows) > 30
    assert len(set(ids)) == len(ids)
    missing = []
    for row in rows:
        places, tests = (re.findall(r"`([^`]+)`", row[column]) for column in ("places", "tests"))
        assert places, row["ids"]
        assert tests, row["ids"]
        missing += [f"{row['ids']}: {place}" for place in places if not (TOP / place).exists()]
        for test in tests:
            file, _, function = test.partition("::")
            if (
                not function.startswith("test_")
                or not (TOP / file).exists()
                or function not in functions_of(TOP / file)
            ):
                missing.append(f"{row['ids']}: {test}")
    assert missing == []
