"""A topic that is read as it grows: `fivefold log read --follow`, and what it stands on."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.score_commands import environment

from fivefold.stream.events import Outgoing
from fivefold.stream.following import follow
from fivefold.stream.sqlite_store import SqliteStore


def events(topic: str, *values: int) -> list[Outgoing]:
    """Events with these keys and values."""
    return [Outgoing(topic, b"k%d" % value, b"%d" % value) for value in values]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """An empty log."""
    with contextlib.closing(SqliteStore(tmp_path)) as made:
        yield made


def test_what_is_there_comes_first_and_then_what_comes(store: SqliteStore) -> None:
    """Each event once, a partition in its order, although the topic was made after the reader began."""
    rounds = iter([events("t", 1, 2, 3), [], events("t", 4, 5), []])

    def stopped(_: float) -> bool:
        some = next(rounds, None)
        if some:
            store.append("t", some, partitions=2)
        return some is None

    found = list(follow(store, "t", stopped=stopped))

    assert sorted(int(event.value or b"") for event in found) == [1, 2, 3, 4, 5]
    for partition in (0, 1):
        offsets = [event.offset for event in found if event.partition == partition]
        assert offsets == list(range(len(offsets)))


def test_an_offset_holds_for_each_partition(store: SqliteStore) -> None:
    """What lies before it is passed over."""
    store.append("t", events("t", *range(20)), partitions=2)

    found = list(follow(store, "t", start=3, stopped=lambda _: True))

    assert [event for event in store.read("t") if event.offset >= 3] == found


def test_the_command_ends_after_so_many(tmp_path: Path) -> None:
    """It waits for those that are not there yet."""
    with contextlib.closing(SqliteStore(tmp_path)) as made:
        made.append("t", events("t", 1))
        process = started(tmp_path, "--limit", "2")
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["value"] == 1
        made.append("t", events("t", 2))
        out, _ = process.communicate(timeout=60)

    assert [json.loads(line)["value"] for line in out.splitlines()] == [2]
    assert process.returncode == 0


def test_the_command_is_stopped(tmp_path: Path) -> None:
    """By Ctrl-C, with what was there printed, each line at once."""
    with contextlib.closing(SqliteStore(tmp_path)) as made:
        made.append("t", events("t", 1))
    process = started(tmp_path)
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["key"] == "k1"
    timer = threading.Timer(60, process.kill)
    timer.start()
    process.send_signal(signal.SIGINT)

    out, err = process.communicate()

    timer.cancel()
    assert (out, err, process.returncode) == (b"", b"", 130)


def started(directory: Path, *more: str) -> subprocess.Popen[bytes]:
    """The command, following `t`."""
    words = [sys.executable, "-m", "fivefold.cli", "log", "read", "t", "--data", str(directory), "--follow", *more]
    return subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
