"""The catalogues are whole: four languages say the same things, and code and catalogues know the same keys."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from fluent.syntax import FluentParser
from fluent.syntax import ast as ftl
from fluent.syntax.visitor import Visitor

from appliance.i18n import LANGUAGES
from appliance.i18n.catalogue import LOCALES, entries_of
from appliance.settings.registry import PARAMETERS

ROOT = Path(__file__).parents[2]
SOURCES = [path for room in ("appliance", "nodeagent", "controller") for path in sorted((ROOT / room).rglob("*.py"))]
AREAS = sorted({path.name for path in LOCALES.glob("*/*.ftl")})
#: Functions whose first argument is a key.
TELLERS = {"translate", "t", "lazy", "_", "Refusal"}


@cache
def messages(lang: str, area: str) -> dict[str, ftl.Message]:
    body = FluentParser().parse((LOCALES / lang / area).read_text(encoding="utf-8")).body
    junk = [entry.content for entry in body if isinstance(entry, ftl.Junk)]
    assert not junk, f"{lang}/{area} cannot be parsed: {junk}"
    found = [entry for entry in body if isinstance(entry, ftl.Message)]
    names = [message.id.name for message in found]
    assert len(set(names)) == len(names), f"{lang}/{area} has a key twice: {sorted(names)}"
    return dict(zip(names, found, strict=True))


class _Placeables(Visitor):
    def __init__(self) -> None:
        self.names: set[str] = set()
        self.references: set[str] = set()

    def visit_VariableReference(self, node: ftl.VariableReference) -> None:
        self.names.add(node.id.name)

    def visit_MessageReference(self, node: ftl.MessageReference) -> None:
        self.references.add(node.id.name)


def shape(message: ftl.Message) -> dict[str, set[str]]:
    """The placeables of a message and of each attribute."""
    patterns = {"": message.value} | {attribute.id.name: attribute.value for attribute in message.attributes}
    shapes = {}
    for name, pattern in patterns.items():
        visitor = _Placeables()
        if pattern is not None:
            visitor.visit(pattern)
        assert not visitor.references, f"{message.id.name} refers to other messages; use a term"
        shapes[name] = visitor.names
    return shapes


def all_keys() -> set[str]:
    return {name for area in AREAS for name in messages("en", area)}


@pytest.mark.parametrize("area", AREAS)
@pytest.mark.parametrize("lang", LANGUAGES)
def test_a_catalogue_has_the_same_messages_and_placeables_as_in_english(lang: str, area: str) -> None:
    english, other = messages("en", area), messages(lang, area)
    assert set(english) == set(other)
    for name, message in english.items():
        assert shape(other[name]) == shape(message), f"{lang}/{area}: {name}"


def test_a_key_stands_in_one_area_only() -> None:
    seen: dict[str, str] = {}
    for area in AREAS:
        for name in messages("en", area):
            assert name not in seen, f"{name} stands in {seen[name]} and {area}"
            seen[name] = area


@pytest.mark.parametrize("lang", LANGUAGES)
def test_cutting_a_catalogue_into_entries_agrees_with_the_parser(lang: str) -> None:
    for area in AREAS:
        cut = dict(entries_of((LOCALES / lang / area).read_text(encoding="utf-8")))
        assert {name for name in cut if not name.startswith("-")} == set(messages(lang, area))
        for name, source in cut.items():
            (entry,) = FluentParser().parse(source).body
            assert isinstance(entry, ftl.Message | ftl.Term)
            assert name.removeprefix("-") == entry.id.name
            if isinstance(entry, ftl.Message):
                assert shape(entry) == shape(messages(lang, area)[name])


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in SOURCES:
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")


def _own_position(node: ast.ClassDef, inherited: int | None) -> int | None:
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and member.name == "__init__":
            arguments = [argument.arg for argument in member.args.args[1:]]
            return arguments.index("key") if "key" in arguments else None
    return inherited


@cache
def key_positions() -> dict[str, int | None]:
    """For every error class, which argument of its constructor is the key; None when it chooses the key itself."""
    classes = [node for _, tree in trees() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    positions: dict[str, int | None] = {"PosthouseError": 0}
    while True:
        grown = {
            node.name: _own_position(node, positions[_name(base)])
            for node in classes
            for base in node.bases
            if node.name not in positions and _name(base) in positions
        }
        if not grown:
            return positions
        positions |= grown


def calls_with_keys(tree: ast.Module) -> Iterator[tuple[ast.Call, int]]:
    """Calls that take a key, and which argument it is: tellers, errors, and errors' own super().__init__."""
    positions = key_positions()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            position = 0 if _name(node.func) in TELLERS else positions.get(_name(node.func))
            if position is not None:
                yield node, position
        elif isinstance(node, ast.ClassDef) and node.name in positions:
            above = next((positions[_name(base)] for base in node.bases if _name(base) in positions), None)
            for inner in ast.walk(node):
                if isinstance(inner, ast.Call) and _name(inner.func) == "__init__" and above is not None:
                    yield inner, above


def named_keys() -> Iterator[tuple[str, str]]:
    """(place, key) of every literal key that code hands to a teller or an error."""
    for path, tree in trees():
        for call, position in calls_with_keys(tree):
            argument = call.args[position] if position < len(call.args) else None
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield f"{path.relative_to(ROOT)}:{call.lineno}", argument.value


def test_every_key_in_code_has_a_text() -> None:
    known = all_keys()
    missing = [f"{place}: {key}" for place, key in named_keys() if key.partition(".")[0] not in known]
    assert not missing, "\n".join(missing)


def mentioned() -> tuple[set[str], set[str]]:
    """Every string literal in the code, and of every f-string that makes a key, the pattern of what it makes."""
    literals, patterns = {parameter.text_key for parameter in PARAMETERS.values()}, set()
    for _, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                literals.add(node.value.partition(".")[0])
            elif isinstance(node, ast.JoinedStr):
                parts = [str(part.value) if isinstance(part, ast.Constant) else None for part in node.values]
                if parts[0] and re.fullmatch(r"[a-z0-9]+-[a-z0-9-]*", parts[0]):
                    patterns.add("".join(".+" if part is None else re.escape(part) for part in parts))
    return literals, {pattern.partition(r"\.")[0] for pattern in patterns}


def test_every_text_is_used_somewhere() -> None:
    literals, patterns = mentioned()
    generated = re.compile("|".join(sorted(patterns)))
    unused = sorted(key for key in all_keys() - literals if not generated.fullmatch(key))
    assert not unused, "\n".join(unused)
