"""Write the generated reference: `python -m appliance.settings.reference [--check] [FOLDER]`.

`settings.md` (with one translation for each language, `settings.zh-CN.md` …) comes
from the registry, `cli.md` from the commands themselves. `--check` writes nothing
and fails when a file differs, which is what a unit test does.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from appliance.i18n import speaking, translate
from appliance.settings.parameter import Parameter
from appliance.settings.registry import PARAMETERS, SECTIONS

FOLDER = Path(__file__).parents[2] / "docs/reference"
#: Languages besides English that the settings reference is written in.
TRANSLATED = ("zh-CN", "zh-TW", "ja")


def settings_page(lang: str) -> str:
    """The settings reference in Markdown."""
    with speaking(lang):
        return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield f"# {translate('settings-reference-title')}"
    yield ""
    yield translate("settings-reference-intro")
    for section in SECTIONS:
        yield ""
        yield f"## {translate(f'settings-section-{section}')}"
        for each in PARAMETERS.values():
            if each.section == section:
                yield from _entry(each)
    yield ""


def _entry(each: Parameter) -> Iterator[str]:
    yield ""
    yield f"### `{each.name}`"
    yield ""
    yield f"**{each.title}.** {each.help}"
    yield ""
    default = each.format(each.default)
    facts = {
        "settings-label-kind": translate(f"setting-kind-{each.kind.name}"),
        "settings-label-unit": each.unit_text,
        "settings-label-bounds": f"`{each.kind.bounds}`" if each.kind.bounds else "",
        "settings-label-default": f"`{default}`" if default else translate("settings-empty"),
        "settings-label-scopes": ", ".join(f"`{scope}`" for scope in each.scopes),
        "settings-label-applies": translate(f"setting-applies-{each.apply}"),
    }
    yield from (f"- {translate(label)}: {text}" for label, text in facts.items() if text)


def pages() -> dict[str, str]:
    """Every generated file by name."""
    from appliance.cli.reference import page  # noqa: PLC0415 - option texts take the language of their import

    translations = {f"settings.{lang}.md": settings_page(lang) for lang in TRANSLATED}
    return {"settings.md": settings_page("en"), **translations, "cli.md": page()}


def main() -> int:
    """Write or check; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    options = parser.parse_args()
    os.environ["POSTHOUSE_LANG"] = "en"
    stale = {name: text for name, text in pages().items() if _held(options.folder / name) != text}
    if options.check:
        for name in stale:
            sys.stderr.write(f"{options.folder / name} is stale: run python -m appliance.settings.reference\n")
        return 1 if stale else 0
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, text in stale.items():
        (options.folder / name).write_text(text, encoding="utf-8")
    return 0


def _held(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return None


if __name__ == "__main__":
    sys.exit(main())
