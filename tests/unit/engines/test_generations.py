"""Generations of a configuration: whole or not at all, whatever happens in between."""

from __future__ import annotations

import itertools
import os
import re
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.cluster.model import Node, Role, ServiceGroup
from appliance.cluster.names import EngineName, GroupName, InstanceId, NodeName
from appliance.engines.base import (
    Change,
    ConfigurationRefused,
    Directory,
    Engine,
    Facts,
    Probe,
    RenderContext,
    Rendered,
    RenderedFile,
)
from appliance.engines.generations import KEPT, Generations, apply, content_hash
from appliance.errors import NotFound

INSTANCE = InstanceId(EngineName("toy"), GroupName("mail"))


def own_group(_: str) -> int:
    return os.getgid()


def context(**settings: Any) -> RenderContext:
    group = ServiceGroup(name=GroupName("mail"), services=(EngineName("toy"),), candidates=(NodeName("n1"),))
    node = Node(name=NodeName("n1"), roles=frozenset({Role.STORE}))
    return RenderContext(INSTANCE, group, node, "mail.example.com", settings)


def files(text: str, **more: RenderedFile) -> Rendered:
    return {"main.cf": RenderedFile(text), "conf.d/10-extra.conf": RenderedFile("x", 0o640), **more}


@pytest.fixture
def store(tmp_path: Path) -> Generations:
    return Generations(INSTANCE, tmp_path / "toy@mail", own_group)


class Toy(Engine):
    """An engine whose checker refuses the word `bad`."""

    facts = Facts(EngineName("toy"), (), ())

    def __init__(self) -> None:
        self.checked: list[tuple[Path, str]] = []

    def directories(self, context: RenderContext) -> tuple[Directory, ...]:
        return ()

    def render(self, context: RenderContext) -> Rendered:
        value = context.settings["value"]
        return {
            "main.cf": RenderedFile(f"{context.config}/extra {value}", 0o640),
            "extra": RenderedFile("fixed" if value != "restart" else "moved", change=Change.RESTART),
        }

    def check(self, context: RenderContext, folder: Path) -> None:
        text = (folder / "main.cf").read_text()
        self.checked.append((folder, text))
        if re.search(r"\bbad\b", text):  # the folder's name is hexadecimal and may hold these letters
            raise ConfigurationRefused(context.instance, "line 1: bad")

    def probes(self, context: RenderContext) -> tuple[Probe, ...]:
        return ()


def test_what_was_committed_is_in_force(store: Generations, tmp_path: Path) -> None:
    assert store.in_force() is None
    assert store.current_hash() is None
    rendered = files("one", secret=RenderedFile("密", 0o600, change=Change.RESTART))
    assert store.commit(rendered) == store.current_hash() == content_hash(rendered)
    assert store.in_force() == rendered
    current = tmp_path / "toy@mail" / "current"
    assert (current / "conf.d/10-extra.conf").read_text() == "x"
    assert stat.S_IMODE((current / "secret").stat().st_mode) == 0o600
    assert stat.S_IMODE((current / "conf.d").stat().st_mode) == 0o755


def test_files_look_as_old_as_programs_want_them_that_fear_half_a_file(store: Generations, tmp_path: Path) -> None:
    store.commit(files("one"))
    written = [each for each in (tmp_path / "toy@mail" / "current").rglob("*") if not each.name.startswith(".")]
    assert all(time.time() - each.stat().st_mtime > 10 for each in written if each.is_file())


def test_modes_do_not_depend_on_the_umask(store: Generations, tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        store.commit(files("one"))
    finally:
        os.umask(old)
    folder = (tmp_path / "toy@mail" / "current").resolve()
    assert stat.S_IMODE((folder / "main.cf").stat().st_mode) == 0o644
    for each in (folder, folder.parent, folder.parent.parent):
        assert stat.S_IMODE(each.stat().st_mode) == 0o755


def test_committing_the_same_again_changes_nothing(store: Generations, tmp_path: Path) -> None:
    first = store.commit(files("one"))
    inode = (tmp_path / "toy@mail" / "current" / "main.cf").stat().st_ino
    assert store.commit(files("one")) == first
    assert (tmp_path / "toy@mail" / "current" / "main.cf").stat().st_ino == inode


def test_a_generation_that_somebody_edited_is_replaced_by_a_good_one(store: Generations, tmp_path: Path) -> None:
    store.commit(files("one"))
    (tmp_path / "toy@mail" / "current" / "main.cf").write_text("edited")
    assert store.in_force() != files("one")
    store.commit(files("one"))
    assert store.in_force() == files("one")


def test_a_changed_mode_is_noticed(store: Generations, tmp_path: Path) -> None:
    store.commit(files("one"))
    (tmp_path / "toy@mail" / "current" / "main.cf").chmod(0o666)
    assert store.in_force() != files("one")


def test_a_damaged_generation_counts_as_none(store: Generations, tmp_path: Path) -> None:
    store.commit(files("one"))
    (tmp_path / "toy@mail" / "current" / ".manifest.json").write_text("{")
    assert store.in_force() is None
    store.commit(files("one"))
    assert store.in_force() == files("one")


def test_only_the_newest_generations_are_kept(store: Generations, tmp_path: Path) -> None:
    names = [store.commit(files(str(number))) for number in range(6)]
    kept = {entry.name for entry in (tmp_path / "toy@mail" / "generations").iterdir()}
    assert kept == set(names[-KEPT:])


def test_rolling_back_brings_the_previous_one_and_twice_is_where_it_was(store: Generations) -> None:
    with pytest.raises(NotFound):
        store.roll_back()
    store.commit(files("one"))
    with pytest.raises(NotFound):
        store.roll_back()
    store.commit(files("two"))
    store.roll_back()
    assert store.in_force() == files("one")
    store.roll_back()
    assert store.in_force() == files("two")


def test_after_a_roll_back_the_next_commit_keeps_what_was_in_force(store: Generations) -> None:
    for text in ("one", "two"):
        store.commit(files(text))
    store.roll_back()
    store.commit(files("three"))
    store.roll_back()
    assert store.in_force() == files("one")


@pytest.mark.parametrize("name", ["../escape", "/etc/passwd", "", ".", ".manifest.json", "a/../../b"])
def test_a_file_name_never_leaves_its_generation(store: Generations, name: str) -> None:
    with pytest.raises(ValueError, match="no file name"):
        store.commit({name: RenderedFile("x")})


texts = st.text(max_size=8)
rendered_files = st.builds(
    RenderedFile, st.text(max_size=20), st.sampled_from([0o600, 0o640, 0o644]), st.sampled_from(["root", "mail"])
)


@given(one=st.dictionaries(texts, rendered_files, max_size=3), two=st.dictionaries(texts, rendered_files, max_size=3))
def test_equal_hash_means_equal_files(one: Rendered, two: Rendered) -> None:
    assert (content_hash(one) == content_hash(two)) is (one == two)


# apply


def test_a_configuration_is_checked_where_it_stands_and_then_put_in_force(store: Generations, tmp_path: Path) -> None:
    toy = Toy()
    assert apply(toy, context(value="1"), store) is Change.RESTART
    folder, text = toy.checked[0]
    assert text == f"{folder}/extra 1"
    assert not folder.exists()
    in_force = store.in_force()
    assert in_force is not None
    assert in_force["main.cf"].text == f"{context().config}/extra 1"


def test_an_unchanged_configuration_is_neither_checked_nor_written(store: Generations) -> None:
    toy = Toy()
    apply(toy, context(value="1"), store)
    assert apply(toy, context(value="1"), store) is Change.NONE
    assert len(toy.checked) == 1


@pytest.mark.parametrize(
    ("value", "change"),
    [pytest.param("2", Change.RELOAD, id="reload"), pytest.param("restart", Change.RESTART, id="restart")],
)
def test_a_change_asks_for_what_its_files_need(store: Generations, value: str, change: Change) -> None:
    apply(Toy(), context(value="1"), store)
    assert apply(Toy(), context(value=value), store) is change


def test_a_refused_configuration_leaves_the_one_in_force(store: Generations, tmp_path: Path) -> None:
    apply(Toy(), context(value="1"), store)
    before = (store.current_hash(), store.in_force())
    with pytest.raises(ConfigurationRefused) as caught:
        apply(Toy(), context(value="bad"), store)
    assert "line 1: bad" in str(caught.value)
    assert (store.current_hash(), store.in_force()) == before
    assert len(list((tmp_path / "toy@mail" / "generations").iterdir())) == 1


def test_a_refused_first_configuration_leaves_none(store: Generations) -> None:
    with pytest.raises(ConfigurationRefused):
        apply(Toy(), context(value="bad"), store)
    assert store.current_hash() is None


# Crashes


class Crash(BaseException):
    """The process ends here."""


def crash_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process end before the step-th call that changes the disk."""
    counter = itertools.count()

    def wrapped(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if next(counter) == step:
                raise Crash
            return original(*arguments, **options)

        return call

    for name in ("fsync", "mkdir", "rename", "replace", "symlink", "fchmod", "unlink", "utime", "rmdir"):
        monkeypatch.setattr(os, name, wrapped(getattr(os, name)))


def test_a_crash_at_any_step_leaves_a_whole_configuration_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    survived = 0
    for step in itertools.count():
        root = tmp_path / str(step)
        for text in ("zero", "one", "two", "three"):
            Generations(INSTANCE, root, own_group).commit(files(text))
        with monkeypatch.context() as patch:
            crash_at(step, patch)
            try:
                apply(Toy(), context(value="4"), Generations(INSTANCE, root, own_group))
                finished = True
            except Crash:
                finished = False
        after = Generations(INSTANCE, root, own_group)
        new = Toy().render(context(value="4"))
        assert after.in_force() in ((new,) if finished else (files("three"), new))
        apply(Toy(), context(value="4"), after)
        assert after.in_force() == new
        after.commit(files("five"))  # the next change clears away what was left
        left = {entry.name for entry in (root / "generations").iterdir()}
        assert len(left) <= KEPT
        assert not any(name.startswith(".") for name in left)
        if finished:
            break
        survived += 1
    assert survived > 15
