"""Key pairs on disk: certificate and key always belong together, whatever happens in between."""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from appliance.errors import NotFound
from appliance.pki.authority import Authority, Pair, Profile
from appliance.pki.pairs import PairSlot

AUTHORITY = Authority.create("m.example.com")
PAIRS = [AUTHORITY.issue(Profile.MAIL, "m", ["m.example.com"]) for _ in range(4)]


def own_group(_: str) -> int:
    return os.getgid()


@pytest.fixture
def slot(tmp_path: Path) -> PairSlot:
    return PairSlot(tmp_path, "mail")


def in_files(slot: PairSlot) -> Pair:
    """As an engine reads them: by the two names."""
    return Pair(slot.certificate_path.read_bytes(), slot.key_path.read_bytes())


def test_what_was_written_is_what_everybody_reads(slot: PairSlot) -> None:
    assert slot.read() is None
    slot.write(PAIRS[0], own_group)
    assert slot.read() == in_files(slot) == PAIRS[0]
    assert stat.S_IMODE(slot.key_path.stat().st_mode) == 0o600
    assert stat.S_IMODE(slot.certificate_path.stat().st_mode) == 0o644


def test_a_shared_key_is_for_its_group_and_nobody_else(tmp_path: Path) -> None:
    slot = PairSlot(tmp_path, "etcd", group="etcd")
    slot.write(PAIRS[0], own_group)
    assert stat.S_IMODE(slot.key_path.stat().st_mode) == 0o640


def test_the_one_before_is_kept_and_older_ones_are_not(slot: PairSlot, tmp_path: Path) -> None:
    for pair in PAIRS:
        slot.write(pair, own_group)
    assert slot.previous() == PAIRS[2]
    assert len([entry for entry in (tmp_path / "mail.d").iterdir() if not entry.is_symlink()]) == 2


def test_rolling_back_brings_the_one_before_and_twice_is_where_it_was(slot: PairSlot) -> None:
    slot.write(PAIRS[0], own_group)
    with pytest.raises(NotFound):
        slot.roll_back()
    slot.write(PAIRS[1], own_group)
    slot.roll_back()
    assert in_files(slot) == PAIRS[0]
    slot.roll_back()
    assert in_files(slot) == PAIRS[1]


def test_writing_the_same_again_keeps_the_one_before(slot: PairSlot) -> None:
    for pair in (PAIRS[0], PAIRS[1], PAIRS[1]):
        slot.write(pair, own_group)
    assert slot.previous() == PAIRS[0]


class Crash(BaseException):
    """The process ends here."""


def crash_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = itertools.count()

    def wrapped(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if next(counter) == step:
                raise Crash
            return original(*arguments, **options)

        return call

    for name in ("fsync", "mkdir", "rename", "replace", "symlink", "fchmod", "unlink", "rmdir"):
        monkeypatch.setattr(os, name, wrapped(getattr(os, name)))


def matches(pair: Pair) -> bool:
    key = serialization.load_pem_private_key(pair.key, password=None)
    return key.public_key() == pair.leaf().public_key()


def test_a_crash_at_any_step_leaves_a_pair_that_matches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in itertools.count():
        slot = PairSlot(tmp_path / str(step), "mail")
        slot.folder.mkdir()
        slot.write(PAIRS[0], own_group)
        slot.write(PAIRS[1], own_group)
        finished = False
        with monkeypatch.context() as patch:
            crash_at(step, patch)
            try:
                slot.write(PAIRS[2], own_group)
                finished = True
            except Crash:
                pass
        assert matches(in_files(slot))
        assert in_files(slot) in ((PAIRS[2],) if finished else (PAIRS[1], PAIRS[2]))
        slot.write(PAIRS[2], own_group)
        assert in_files(slot) == PAIRS[2]
        if finished:
            assert step > 12
            break
