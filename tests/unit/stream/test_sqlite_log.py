"""What only the local log can meet: somebody who stands still with its file in hand."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from tests.support.event_logs import LocalLogs, polled

from fivefold.stream.events import Outgoing
from fivefold.stream.log import Rewound
from fivefold.stream.sqlite_log import SqliteLog
from fivefold.stream.sqlite_store import FILE, SELECT_BYTES


def test_a_writer_that_stands_still_ends_nobody(tmp_path: Path) -> None:
    """A process may be stopped in the middle of its transaction: whoever waits for it in vain goes on waiting."""
    logs = LocalLogs(tmp_path)
    logs.append("in", [Outgoing("in", None, b"1")])
    log = logs.member("in", ["out"])
    assert isinstance(log, SqliteLog)
    log._store.db.execute("PRAGMA busy_timeout=10")
    stopped = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    stopped.execute("BEGIN IMMEDIATE")

    with pytest.raises(Rewound):
        log.poll(10, 0.1)

    stopped.execute("ROLLBACK")
    stopped.close()
    found = polled(log, 1)
    log.commit([Outgoing("out", None, b"done")])
    log.close()
    assert [each.value for each in found] == [b"1"]
    assert [each.value for each in logs.read("out")] == [b"done"]


def test_what_is_polled_at_once_fits_into_memory(tmp_path: Path) -> None:
    """Few events of many bytes, one at least, and all of them in the end."""
    logs = LocalLogs(tmp_path)
    large = bytes(SELECT_BYTES // 3)
    logs.append("in", [Outgoing("in", None, large, partition=at % 2) for at in range(8)])
    logs.append("in", [Outgoing("in", None, bytes(SELECT_BYTES + 1))])
    log = logs.member("in", ["out"])
    found = []
    while len(found) < 9:
        some = log.poll(10_000, 1)
        assert sum(len(each.value or b"") for each in some[:-1]) <= SELECT_BYTES
        found += [(each.partition, each.offset) for each in some]
        log.commit([])
    log.close()

    assert len(set(found)) == 9
