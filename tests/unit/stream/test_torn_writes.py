"""What a power cut leaves: a whole number of transactions, wherever the file of changes ends."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from tests.support.event_logs import polled

from fivefold.stream.events import Outgoing
from fivefold.stream.sqlite_log import SqliteLog
from fivefold.stream.sqlite_store import FILE, SqliteStore

BATCHES, SIZE = 5, 40


def test_a_torn_log_holds_whole_transactions(tmp_path: Path) -> None:
    """Results and progress of the same batches, for every length of the file of changes."""
    whole = tmp_path / "whole"
    with contextlib.closing(SqliteStore(whole)) as store:
        store.append("in", [Outgoing("in", None, b"%d" % at) for at in range(BATCHES * SIZE)], 1)
        store.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    log = SqliteLog(whole, "in", "g", to=["out"])
    for _ in range(BATCHES):
        log.commit([Outgoing("out", None, each.value) for each in polled(log, SIZE)])
    shutil.copytree(whole, tmp_path / "copy")
    log.close()
    changes = (tmp_path / "copy" / f"{FILE}-wal").read_bytes()
    assert len(changes) > 20_000

    seen = set()
    for at, length in enumerate([*range(0, len(changes), 997), len(changes)]):
        torn = tmp_path / f"torn{at}"
        torn.mkdir()
        shutil.copy(tmp_path / "copy" / FILE, torn / FILE)
        # The last page that was to be written may hold anything.
        (torn / f"{FILE}-wal").write_bytes(changes[:length] + b"\xa5" * 512)
        with contextlib.closing(SqliteStore(torn)) as store:
            topics = store.topics()
            out = [int(each.value or b"") for each in store.read("out")] if store.find("out") else []
            ((found,),) = store.db.execute("PRAGMA integrity_check").fetchall()
        (progress,) = [each.groups.get("g", (0,))[0] for each in topics if each.name == "in"]
        assert found == "ok"
        assert out == list(range(progress))
        assert progress % SIZE == 0
        seen.add(progress // SIZE)
        shutil.rmtree(torn)

    assert seen == set(range(BATCHES + 1))
