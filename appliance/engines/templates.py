"""Rendering of configuration templates: Jinja2, where a name nobody gave is an error and not an empty string."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import jinja2


@cache
def _environment(folder: Path) -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - configuration files, not HTML
    )


def render(folder: Path, template: str, **values: Any) -> str:
    """The text of `template` in `folder`."""
    return _environment(folder).get_template(template).render(values)
