"""Files and directories appear whole, and are on the disk when they have."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from fivefold.core import atomic


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What is synced and renamed, in order, by name; names of unfinished ones are cut to their last word."""
    seen: list[tuple[str, str]] = []
    fsync, replace, rename = os.fsync, Path.replace, Path.rename

    def name(path: Path) -> str:
        return path.name.rpartition(".")[2] if path.name.startswith(".") else path.name

    def synced(handle: int) -> None:
        seen.append(("sync", name(Path(f"/proc/self/fd/{handle}").readlink())))
        fsync(handle)

    def replaced(self: Path, target: Path) -> Path:
        seen.append(("rename", f"{name(self)} {name(target)}"))
        return replace(self, target)

    def renamed(self: Path, target: Path) -> Path:
        seen.append(("rename", f"{name(self)} {name(target)}"))
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    monkeypatch.setattr(Path, "rename", renamed)
    return seen


def test_a_file_is_on_the_disk_before_and_after_it_has_its_name(tmp_path: Path, steps: list[tuple[str, str]]) -> None:
    """First its bytes, then its name; nothing else is left, and its mode is the one that was asked for."""
    atomic.replace_file(tmp_path / "a", b"old")
    steps.clear()

    atomic.replace_file(tmp_path / "a", b"new", mode=0o600)

    assert steps == [("sync", "part"), ("rename", "part a"), ("sync", tmp_path.name)]
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"new")]
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600


def test_a_device_a_pipe_or_what_leads_to_one_is_never_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root could: a regular file for /dev/null, or for the link /dev/stdout, is everybody's trouble."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to("/dev/null")
    monkeypatch.setattr(atomic, "_DEVICES", tmp_path / "dev")
    (tmp_path / "dev").mkdir()
    (tmp_path / "file").write_bytes(b"redirected to")
    (tmp_path / "dev" / "stdout").symlink_to(tmp_path / "file")

    for name in ("pipe", "null", "dev/stdout"):
        before = (tmp_path / name).lstat()
        with pytest.raises(OSError, match="expected a file to write"):
            atomic.replace_file(tmp_path / name, b"x", through=tmp_path)
        assert (tmp_path / name).lstat() == before

    assert (tmp_path / "file").read_bytes() == b"redirected to"
    (tmp_path / "link").symlink_to(tmp_path / "file")
    atomic.replace_file(tmp_path / "link", b"new")
    assert (tmp_path / "link").read_bytes() == b"new"


def test_a_finished_file_of_somebody_else_is_put_in_its_place(tmp_path: Path, steps: list[tuple[str, str]]) -> None:
    """By the same steps."""
    (tmp_path / "made").write_bytes(b"x")

    atomic.put_file(tmp_path / "made", tmp_path / "a")

    assert steps == [("sync", "made"), ("rename", "made a"), ("sync", tmp_path.name)]


def test_every_directory_of_a_directory_is_on_the_disk(tmp_path: Path, steps: list[tuple[str, str]]) -> None:
    """Before it has its name; the directory that holds it afterwards."""
    atomic.replace_directory(tmp_path / "b", {"x": b"old"})
    steps.clear()

    atomic.replace_directory(tmp_path / "b", {"x": b"1", "in/y": b"2", "in/deep/z": b"3"})

    assert steps[:3] == [("sync", "x"), ("sync", "y"), ("sync", "z")]
    assert sorted(steps[3:6]) == [("sync", "deep"), ("sync", "in"), ("sync", "part")]
    assert steps[6:] == [("rename", "b old"), ("rename", "part b"), ("sync", tmp_path.name)]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["b", "deep", "in", "x", "y", "z"]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing unfinished."""
    atomic.replace_file(tmp_path / "a", b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no room"):
        atomic.replace_file(tmp_path / "a", b"new")

    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]


@pytest.mark.parametrize(("number", "raised"), [(errno.EINVAL, False), (errno.ENOTSUP, False), (errno.EIO, True)])
def test_a_file_system_that_syncs_no_directories_is_not_asked_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, raised: bool
) -> None:
    """But one that failed to is heard."""

    def refused(_: int) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(os, "fsync", refused)
    if raised:
        with pytest.raises(OSError, match="no"):
            atomic.sync_directory(tmp_path)
    else:
        atomic.sync_directory(tmp_path)
