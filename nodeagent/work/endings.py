"""What is told of a run's end. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.cluster.work import RunState
from nodeagent.work.programs import Look, Progress

_LONGEST = 500
#: A program prints no secret; should an error of a library's quote one, it stays here.
_SECRET = re.compile(
    r"(?P<name>\b\w*(?:passw(?:or)?d|passphrase|secret|token|api_?key)\w*[\"']?\s*[=:]\s*)(?:\"[^\"]*\"|'[^']*'|\S+)"
    r"|(?P<scheme>\b[a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+(?=@)"
    r"|(?P<hash>\{[A-Z0-9-]+\})[\w./$,=+-]{8,}",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Ending:
    """How a run ended; `reason` is a message key, `code` an exit code, `detail` the program's last lines."""

    state: RunState
    reason: str = ""
    code: int | None = None
    detail: str = ""


def of_look(look: Look, lines: Sequence[str]) -> Ending:
    """The ending of a program that does not run any more."""
    detail = told_lines(lines)
    match look.progress:
        case Progress.DONE:
            return Ending(RunState.DONE, code=0, detail=detail)
        case Progress.FAILED:
            reason = {"exit-code": "work-run-exit-code", "timeout": "work-run-too-long"}.get(look.result)
            code = look.code if look.result == "exit-code" else None
            return Ending(RunState.FAILED, reason or "work-run-killed", code, detail)
        case _:
            return Ending(RunState.LOST, "work-run-cut-off", detail=detail)


def told_lines(lines: Sequence[str]) -> str:
    """Lines as they may stand in the store: the end of them, without what looks like a secret."""
    text = _SECRET.sub(_masked, "\n".join(lines).strip())
    return text[-_LONGEST:]


def _masked(found: re.Match[str]) -> str:
    return f"{found['name'] or found['scheme'] or found['hash']}***"
