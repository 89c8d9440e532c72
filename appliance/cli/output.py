"""What every command prints: JSON for programs or aligned text for people, from the same data.

`emit(data, as_json, human)`: `human` is a function giving lines, or the columns
of a table whose rows are `data`. Widths count East Asian characters as two cells
(UAX #11), and control characters from outside are shown escaped, so that a
display name cannot drive the reader's terminal.
"""

from __future__ import annotations

import dataclasses
import json
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum
from typing import Any, TypeVar

import click
from pydantic import BaseModel

from appliance.i18n import lazy, translate

_GAP = "  "

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Column:
    """A column of a table: the message key of its title and how to get a cell's value from a row."""

    title: str
    value: Callable[[Any], object]
    right: bool = False


def json_option(command: Command) -> Command:
    """Add `--json` to a click command; it arrives as the argument `as_json`."""
    option = click.option("--json", "as_json", is_flag=True, help=lazy("output-json"))
    return option(command)


def emit(data: Any, as_json: bool, human: Callable[[], Iterable[str]] | Sequence[Column]) -> None:
    """Print `data` as one JSON document, or for people by `human`.

    `data` may hold dataclasses, pydantic models, enums, dates and sets.
    """
    if as_json:
        click.echo(json.dumps(plain(data), ensure_ascii=False, indent=2))
        return
    lines = human() if callable(human) else table(data, human)
    for line in lines:
        click.echo(line)


def table(rows: Iterable[Any], columns: Sequence[Column]) -> list[str]:
    """Lines of a table with a heading; one line that says so when there are no rows."""
    cells = [[cell(column.value(row)) for column in columns] for row in rows]
    if not cells:
        return [translate("output-nothing")]
    heading = [translate(column.title) for column in columns]
    widths = [max(width(line[index]) for line in [heading, *cells]) for index in range(len(columns))]
    return [_line(line, widths, columns) for line in [heading, *cells]]


def details(pairs: Iterable[tuple[str, object]], indent: int = 0) -> list[str]:
    """Lines `label  value` with the values aligned; labels are texts, not keys. None values are left out."""
    shown = [(label, cell(value)) for label, value in pairs if value is not None]
    widest = max((width(label) for label, _ in shown), default=0)
    return [" " * indent + _pad(label, widest) + _GAP + value for label, value in shown]


def cell(value: object) -> str:
    """A value as it stands in a table: yes/no, lists by commas, nothing as a dash; always one printable line."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return translate("output-yes" if value else "output-no")
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(cell(part) for part in value) or "-"
    return printable(str(value))


def printable(text: str) -> str:
    """`text` with control, format and line-separating characters escaped, safe to print on a terminal."""
    return "".join(
        character if unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Zl", "Zp"} else _escaped(character)
        for character in text
    )


def width(text: str) -> int:
    """How many terminal cells `text` takes."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def plain(value: Any) -> Any:  # noqa: PLR0911 - one kind of value a step
    """`value` in JSON's own types. Durations are seconds, dates ISO 8601, sets sorted lists."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, Mapping):
        return {str(plain(name)): plain(part) for name, part in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((plain(part) for part in value), key=str)
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def _pad(text: str, cells: int, right: bool = False) -> str:
    space = " " * (cells - width(text))
    return space + text if right else text + space


def _line(cells: Sequence[str], widths: Sequence[int], columns: Sequence[Column]) -> str:
    padded = [_pad(text, size, column.right) for text, size, column in zip(cells, widths, columns, strict=True)]
    return _GAP.join(padded).rstrip()
