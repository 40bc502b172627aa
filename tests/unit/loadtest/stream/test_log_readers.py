"""A log is read without the product: what the product has written stands there."""

from __future__ import annotations

import contextlib
from pathlib import Path

from loadtest.stream.checker import LogRecord
from loadtest.stream.log_readers import LocalReader

from fivefold.stream.events import Outgoing
from fivefold.stream.sqlite_store import SqliteStore


def test_the_local_log_as_it_lies_there(tmp_path: Path) -> None:
    """Keys, values and headers, null among them, each partition by rising offsets."""
    with contextlib.closing(SqliteStore(tmp_path)) as store:
        store.append("t", [Outgoing("t", b"k", b"1", (("n", b"7"), ("z", None))), Outgoing("t", b"k", None)], 3)
        store.append("u", [Outgoing("u", None, b"x")], 1)
    reader = LocalReader(tmp_path)

    with contextlib.closing(reader):
        found = list(reader.read("t"))
        assert reader.count("t") == 2
        assert reader.count("t", "u", "nothing") == 3
        assert list(reader.read("nothing")) == []

    at = found[0].partition
    assert found == [LogRecord(at, 0, b"k", b"1", {"n": b"7", "z": None}), LogRecord(at, 1, b"k", None, {})]
