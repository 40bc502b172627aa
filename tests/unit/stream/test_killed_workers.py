"""Workers that are killed at any moment: nothing is lost, and nothing is there twice."""

from __future__ import annotations

import contextlib
from pathlib import Path

from tests.support.event_logs import LocalLogs
from tests.support.stream_processes import check, line, numbered, with_kills

from fivefold.core.bundle.bundle import Bundle
from fivefold.stream.sqlite_store import SqliteStore

EVENTS = 4000


def test_exactly_one_result_each(bundle: Bundle, tmp_path: Path) -> None:
    """Three workers share the local log, and one after the other is killed while events come in."""
    logs = LocalLogs(tmp_path)
    logs.append("in", numbered(EVENTS // 2))
    more = iter([numbered(EVENTS // 2, EVENTS // 2)])
    words = line(
        bundle.path,
        "local://in",
        "local://out",
        "--dead-letter",
        "local://dead",
        "--data",
        str(tmp_path),
        "--max-batch",
        "40",
    )

    def done() -> int:
        with contextlib.closing(SqliteStore(tmp_path)) as store:
            ends = {each.name: each.events for each in store.topics()}
        found = ends.get("out", 0) + ends.get("dead", 0)
        if found > EVENTS // 8:
            for some in more:
                logs.append("in", some)
        return found

    with_kills([words] * 3, done, EVENTS, 6, seed=7)

    check(EVENTS, logs.read("out"), logs.read("dead"))
