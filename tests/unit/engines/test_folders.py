"""Folders for engines: made, mended, and never through somebody else's link."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from appliance.engines.base import Directory
from appliance.engines.folders import FolderRefused, make_directories


def make(*directories: Directory) -> None:
    make_directories(directories, lambda _: os.getuid(), lambda _: os.getgid())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_folders_and_their_parents_are_made(tmp_path: Path) -> None:
    make(Directory(tmp_path / "a/b/c", mode=0o700), Directory(tmp_path / "a/b", mode=0o2750))
    assert mode(tmp_path / "a/b/c") == 0o700
    assert mode(tmp_path / "a/b") == 0o2750


def test_a_wrong_mode_is_mended_and_the_content_stays(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0o777)
    (tmp_path / "a/mail").write_text("x")
    make(Directory(tmp_path / "a", mode=0o750))
    make(Directory(tmp_path / "a", mode=0o750))
    assert mode(tmp_path / "a") == 0o750
    assert (tmp_path / "a/mail").read_text() == "x"


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    with pytest.raises(FolderRefused) as caught:
        make(Directory(tmp_path / "a"))
    assert str(tmp_path / "a") in str(caught.value)


def test_the_folder_itself_must_not_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir(mode=0o700)
    (tmp_path / "a").symlink_to("target")
    with pytest.raises(FolderRefused):
        make(Directory(tmp_path / "a", mode=0o777))
    assert mode(tmp_path / "target") == 0o700


def test_the_administrator_s_link_on_the_way_is_followed(tmp_path: Path) -> None:
    (tmp_path / "disk2").mkdir()
    (tmp_path / "srv").symlink_to("disk2")
    make(Directory(tmp_path / "srv/mail"))
    assert (tmp_path / "disk2/mail").is_dir()


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to give a link away")
def test_somebody_else_s_link_on_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "run").symlink_to("etc")
    os.lchown(tmp_path / "run", 65534, 65534)
    with pytest.raises(FolderRefused):
        make(Directory(tmp_path / "run/engine"))
    assert not (tmp_path / "etc/engine").exists()


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    (tmp_path / "file").write_text("x")
    for _ in range(3):
        make(Directory(tmp_path / "a/b/c"))
        with pytest.raises(FolderRefused):
            make(Directory(tmp_path / "file/under"))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
