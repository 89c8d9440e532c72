"""Flags of messages in Maildir file names (`BASE:2,FLAGS`), and keywords by letter.

https://cr.yp.to/proto/maildir.html; letters a-z name keywords of the folder, as its
`dovecot-keywords` lists them. `P` (passed) is kept as the keyword $Forwarded.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from dataclasses import dataclass, field

SYSTEM = "DFRST"
FORWARDED = "$Forwarded"
_INFO = re.compile(rb"(?P<base>.*?)(?:[:;!](?P<info>[^:;!]*))?", re.DOTALL)
_KEYWORD_LINE = re.compile(r"(\d{1,3}) (\S{1,255})")
#: RFC 3501's atom for a keyword; others cannot be set.
_KEYWORD = re.compile(r"[\x21-\x7e]+")
_NOT_ATOM = frozenset('(){%*"\\]')


@dataclass(frozen=True)
class Name:
    """A file name taken apart: `base` identifies the message, `letters` are its flags."""

    base: bytes
    letters: str


def parse(name: bytes) -> Name:
    """Take a file name apart; `;` and `!` stand for the colon where file systems cannot hold one."""
    match = _INFO.fullmatch(name)
    assert match is not None
    info = match["info"]
    if info is None or not info.startswith(b"2,"):
        return Name(name.partition(b":")[0], "")
    return Name(match["base"], info[2:].decode("ascii", "ignore"))


def keywords(text: str) -> dict[str, str]:
    """The keywords by letter of a `dovecot-keywords` file."""
    found = {}
    for line in text.splitlines():
        match = _KEYWORD_LINE.fullmatch(line)
        if match and int(match[1]) < len(string.ascii_lowercase) and _settable(match[2]):
            found[string.ascii_lowercase[int(match[1])]] = match[2]
    return found


def _settable(keyword: str) -> bool:
    return bool(_KEYWORD.fullmatch(keyword)) and not set(keyword) & _NOT_ATOM


@dataclass
class Letters:
    """Gives keywords of one staged folder their letters; as many as Maildir can hold."""

    by_keyword: dict[str, str] = field(default_factory=dict)
    #: Keywords for which there was no letter left.
    lost: set[str] = field(default_factory=set)

    def info(self, letters: str, named: Mapping[str, str]) -> bytes:
        """The flags to write for `letters` of a folder whose keywords are `named`."""
        wanted = [named[letter] for letter in letters if letter in named]
        if "P" in letters:
            wanted.append(FORWARDED)
        kept = [found for keyword in wanted if (found := self._letter(keyword))]
        system = sorted(set(letters) & set(SYSTEM))
        return ("2," + "".join([*system, *sorted(set(kept))])).encode("ascii")

    def _letter(self, keyword: str) -> str | None:
        if keyword not in self.by_keyword:
            if len(self.by_keyword) == len(string.ascii_lowercase):
                self.lost.add(keyword)
                return None
            self.by_keyword[keyword] = string.ascii_lowercase[len(self.by_keyword)]
        return self.by_keyword[keyword]

    def file(self) -> bytes:
        """The folder's `dovecot-keywords`."""
        return "".join(f"{number} {keyword}\n" for number, keyword in enumerate(self.by_keyword)).encode("ascii")
