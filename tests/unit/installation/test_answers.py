"""The answer file of `posthouse init`: what is no answer file is refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.cli.init import read_answers
from appliance.errors import BadInput


def answers(folder: Path, content: bytes) -> Path:
    file = folder / "answers.yaml"
    file.write_bytes(content)
    return file


def test_an_empty_file_answers_nothing(tmp_path: Path) -> None:
    given = read_answers(answers(tmp_path, b""))
    assert (given.hostname, given.name) == (None, None)


@pytest.mark.parametrize(
    ("content", "field"),
    [
        pytest.param(b"hostname: \xff\xfe", "answers", id="not UTF-8"),
        pytest.param(b"hostname: " + b"[" * 30_000, "answers", id="nested deeply"),
        pytest.param(b"# \n" * 100_000, "answers", id="large"),
        pytest.param(b"hostname: [a", "answers", id="not YAML"),
        pytest.param(b"hostname: !!python/object/apply:os.getpid []", "answers", id="a Python object"),
        pytest.param(b"- a", "answers", id="a list"),
        pytest.param(b"a: &a [x, x]\nname: mail1", "a", id="a field that is none"),
        pytest.param(b"hostname: 12", "hostname", id="a number"),
    ],
)
def test_what_is_no_answer_file_is_refused(tmp_path: Path, content: bytes, field: str) -> None:
    with pytest.raises(BadInput) as refused:
        read_answers(answers(tmp_path, content))
    assert refused.value.field == field
    assert "\n" not in str(refused.value)


def test_a_file_without_an_end_is_refused() -> None:
    with pytest.raises(BadInput):
        read_answers(Path("/dev/zero"))
