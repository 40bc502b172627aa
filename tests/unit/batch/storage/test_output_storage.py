"""Directories as storage of an output."""

from __future__ import annotations

import errno
import threading
from pathlib import Path

import pytest

from fivefold.batch.storage.output_storage import DirectoryStorage, storing
from fivefold.core.errors import RunFailed


def test_a_name_is_given_once(tmp_path: Path) -> None:
    """Of many who create it at once, one succeeds, and it is whole."""
    storage = DirectoryStorage(str(tmp_path / "out"))
    won: list[int] = []
    start = threading.Barrier(8)

    def create(number: int) -> None:
        start.wait()
        if storage.create("_ledger/x.json", str(number).encode() * 1000):
            won.append(number)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert storage.read("_ledger/x.json") == str(won[0]).encode() * 1000
    assert len(won) == 1
    assert storage.names("_ledger") == ["x.json"]


def test_what_is_not_there(tmp_path: Path) -> None:
    """Is nothing, and no error."""
    storage = DirectoryStorage(str(tmp_path / "none"))

    assert storage.read("run.json") is None
    assert storage.names("_ledger") == []


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """With its path."""
    (tmp_path / "file").touch()

    with pytest.raises(RunFailed, match="file/out") as refused:
        DirectoryStorage(str(tmp_path / "file" / "out")).create("x", b"")
    assert refused.value.code == "storage_failed"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_says_how_to_go_on(number: int) -> None:
    """Whatever it is that is full."""
    with pytest.raises(RunFailed, match="/out: cannot write") as full, storing("/out"):
        raise OSError(number, "full")
    assert "goes on" in str(full.value.help)
