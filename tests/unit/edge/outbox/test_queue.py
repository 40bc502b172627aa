"""The outbox: what was appended is there, in order, until it is acknowledged; what could not be kept says so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import apsw
import pytest

from fivefold.core.errors import ContractError, RunFailed
from fivefold.edge.outbox import Gap, Outbox, Stored, append_keys
from fivefold.edge.outbox.lane_rows import ROW_BYTES
from fivefold.edge.outbox.stored import MAX_BODY_BYTES

BODY = b'{"kind":"prediction"}'
ID = "0191e0c8-0000-7000-8000-000000000000"
ROW = len(BODY) + len(ID) + ROW_BYTES
ALL = (1000, 10**9)


def events(count: int) -> list[tuple[str, bytes]]:
    return [(ID, BODY)] * count


def opened(path: Path, **given) -> Outbox:
    return Outbox(path / "outbox.sqlite", **({"quota_bytes": 10**9} | given))


def numbers(stored: list[Stored]) -> list[tuple[int, int]]:
    return [(each.first, each.seq) for each in stored]


def test_each_lane_counts_by_itself_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    """1, 2, 3 in every lane; the next process goes on from there, under the same id."""
    with opened(tmp_path) as outbox:
        assert outbox.append("bulk", events(3)) == [1, 2, 3]
        assert outbox.append("alerts", events(2)) == [1, 2]
        outbox.mark_sent("bulk", 3)
        assert outbox.ack("bulk", 3) == 3
        name = outbox.id
    with opened(tmp_path) as outbox:
        assert outbox.id == name
        assert len(outbox.id) == 32
        assert outbox.append("bulk", events(1)) == [4]
        assert outbox.append("alerts", events(1)) == [3]
        assert numbers(outbox.pending("bulk", *ALL)) == [(4, 4)]
        assert numbers(outbox.pending("alerts", *ALL)) == [(1, 1), (2, 2), (3, 3)]


def test_appends_of_many_threads_share_no_number(tmp_path: Path) -> None:
    """Each thread's events keep their order, and no number is given twice or left out."""
    given: list[list[int]] = [[] for _ in range(12)]

    def one(thread: int) -> None:
        for at in range(15):
            given[thread] += outbox.append("bulk", events(1 + at % 3))

    with opened(tmp_path) as outbox:
        threads = [threading.Thread(target=one, args=(thread,)) for thread in range(12)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()

        assert sorted(seq for each in given for seq in each) == list(range(1, 12 * 30 + 1))
        assert all(each == sorted(each) for each in given)
        assert [each.seq for each in outbox.pending("bulk", *ALL)] == list(range(1, 361))


def test_pending_is_bounded_but_never_stands_still(tmp_path: Path) -> None:
    """So many events, so many bytes, and one at least."""
    with opened(tmp_path) as outbox:
        outbox.append("bulk", events(10))

        assert len(outbox.pending("bulk", 4, 10**9)) == 4
        assert len(outbox.pending("bulk", 10, 3 * ROW)) == 3
        assert len(outbox.pending("bulk", 10, 1)) == 1
        assert outbox.pending("alerts", *ALL) == []


def test_a_full_outbox_refuses_and_keeps_what_it_has(tmp_path: Path) -> None:
    """`reject_new`: all of an append or nothing of it; room comes with an acknowledgement."""
    with opened(tmp_path, quota_bytes=5 * ROW) as outbox:
        outbox.append("bulk", events(4))
        with pytest.raises(RunFailed, match="full") as refused:
            outbox.append("alerts", events(2))
        assert refused.value.code == "storage_failed"
        assert outbox.append("alerts", events(1)) == [1]
        assert outbox.status().nearly_full
        outbox.mark_sent("bulk", 2)
        outbox.ack("bulk", 2)
        assert outbox.append("bulk", events(2)) == [5, 6]


def test_dropping_the_oldest_leaves_one_gap_record(tmp_path: Path) -> None:
    """What was dropped is one record that grows, and the numbers go on without a hole."""
    with opened(tmp_path, quota_bytes=5 * ROW, policy="drop_oldest") as outbox:
        for _ in range(12):
            outbox.append("bulk", events(1))
        first, *rest = outbox.pending("bulk", *ALL)

        assert first.gap == Gap(1, 7, "quota")
        assert numbers([first, *rest]) == [(1, 7), *((seq, seq) for seq in range(8, 13))]
        assert outbox.status()["bulk"].dropped == 7
        with pytest.raises(RunFailed):
            outbox.append("bulk", events(6))
        assert outbox.append("bulk", events(5)) == list(range(13, 18))


def test_what_is_less_urgent_is_dropped_first_and_alerts_never_for_bulk(tmp_path: Path) -> None:
    """An alert drops bulk; bulk drops no alert."""
    with opened(tmp_path, quota_bytes=4 * ROW, policy="drop_oldest") as outbox:
        outbox.append("alerts", events(2))
        outbox.append("bulk", events(2))
        outbox.append("alerts", events(1))
        assert outbox.status()["bulk"].events == 1
        outbox.append("alerts", events(1))
        assert outbox.status()["bulk"].events == 0
        with pytest.raises(RunFailed):
            outbox.append("bulk", events(1))
        outbox.append("alerts", events(1))
        assert numbers(outbox.pending("alerts", *ALL))[0] == (1, 1)
        assert outbox.pending("alerts", *ALL)[0].gap == Gap(1, 1, "quota")


def test_what_a_hub_may_have_seen_has_a_record_of_its_own(tmp_path: Path) -> None:
    """A gap does not grow over numbers that were sent, and an acknowledgement takes its part of one."""
    with opened(tmp_path, quota_bytes=4 * ROW, policy="drop_oldest") as outbox:
        outbox.append("bulk", events(4))
        outbox.mark_sent("bulk", 2)
        outbox.append("bulk", events(3))
        assert numbers(outbox.pending("bulk", 2, 10**9)) == [(1, 2), (3, 3)]
        outbox.append("bulk", events(2))
        assert numbers(outbox.pending("bulk", 2, 10**9)) == [(1, 2), (3, 5)]
        outbox.mark_sent("bulk", 5)
        assert outbox.ack("bulk", 4) == 0
        assert outbox.pending("bulk", 1, 10**9)[0].gap == Gap(5, 1, "quota")


def test_nothing_is_forgotten_that_was_not_sent(tmp_path: Path) -> None:
    """An acknowledgement of what nobody can have is refused."""
    with opened(tmp_path) as outbox:
        outbox.append("bulk", events(3))
        outbox.mark_sent("bulk", 1)
        with pytest.raises(ValueError, match="never sent"):
            outbox.ack("bulk", 2)
        with pytest.raises(ValueError, match="never given"):
            outbox.mark_sent("bulk", 4)
        assert outbox.ack("bulk", 1) == 1
        assert outbox.ack("bulk", 1) == 0
        assert outbox.status()["bulk"].events == 2


def test_a_clock_that_is_set_changes_no_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers decide; the clock is shown, and nothing else."""
    with opened(tmp_path) as outbox:
        for year in (2026, 1970, 2200, 1999):
            monkeypatch.setattr(time, "time_ns", lambda year=year: (year - 1970) * 31_557_600 * 10**9)
            outbox.append("bulk", events(1))
        found = outbox.pending("bulk", *ALL)

        assert [each.seq for each in found] == [1, 2, 3, 4]
        assert found[1].at_ms == 0
        assert outbox.status()["bulk"].oldest_ms == found[0].at_ms


@pytest.mark.parametrize("body", [b"", b"[]", b'{"a":1}\n', b'{\n"a":1}', b'{"a":1'])
def test_a_body_that_would_break_a_batch_is_not_taken(tmp_path: Path, body: bytes) -> None:
    with opened(tmp_path) as outbox, pytest.raises(ValueError, match="no JSON object"):
        outbox.append("bulk", [(ID, body)])


def test_an_event_too_large_for_a_line_is_refused(tmp_path: Path) -> None:
    """It would stand in front of the others for ever."""
    with opened(tmp_path) as outbox:
        with pytest.raises(ContractError) as refused:
            outbox.append("bulk", [(ID, b'{"x":"' + b"x" * MAX_BODY_BYTES + b'"}')])
        assert refused.value.code == "too_large"
        with pytest.raises(ValueError, match="no lane"):
            outbox.append("nobody", events(1))


def test_a_second_opener_is_refused_with_the_reason(tmp_path: Path) -> None:
    """The process that has it is named; after its end, however it came, the file can be had."""
    code = (
        "import sys, signal; from fivefold.edge.outbox import Outbox; outbox = Outbox(sys.argv[1], quota_bytes=9**9);"
        "outbox.append('bulk', [('a', b'{}')]); print('open', flush=True); signal.pause()"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "outbox.sqlite")]
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        with pytest.raises(RunFailed, match=f"process {process.pid}") as refused:
            opened(tmp_path)
        assert refused.value.code == "run_conflict"
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    with opened(tmp_path) as outbox:
        assert outbox.append("bulk", events(1)) == [2]
        with pytest.raises(RunFailed, match=str(os.getpid())):
            opened(tmp_path)


def test_a_changed_bit_becomes_a_gap_record_and_is_not_sent(tmp_path: Path) -> None:
    """What the disk has changed inside of an event is seen by its checksum; the events around it are right."""
    with opened(tmp_path) as outbox:
        outbox.append("bulk", [(ID, b'{"n":"%05d"}' % at) for at in range(1, 8)])
    path = tmp_path / "outbox.sqlite"
    whole = path.read_bytes()
    assert whole.count(b"00004") == 1
    path.write_bytes(whole.replace(b"00004", b"00005"))
    with opened(tmp_path) as outbox:
        found = outbox.pending("bulk", *ALL)

        assert [each.seq for each in found] == [1, 2, 3, 4, 5, 6, 7]
        assert found[3].gap == Gap(4, 1, "corrupt")
        assert outbox.status()["bulk"].corrupt == 1
        assert outbox.status()["bulk"].events == 6


def test_rows_that_are_missing_become_a_gap_record(tmp_path: Path) -> None:
    """In the middle, and at the end."""
    with opened(tmp_path) as outbox:
        outbox.append("bulk", events(9))
    db = apsw.Connection(str(tmp_path / "outbox.sqlite"))
    db.execute("DELETE FROM events WHERE key & 0xff IN (4, 5, 9)")
    db.close()
    with opened(tmp_path) as outbox:
        assert [each.gap for each in outbox.pending("bulk", *ALL) if each.gap] == [
            Gap(4, 2, "corrupt"),
            Gap(9, 1, "corrupt"),
        ]
        assert outbox.append("bulk", events(1)) == [10]
        assert outbox.status()["bulk"].events == 7


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        (b"no database at all, but long enough to be looked at" * 40, "not a SQLite file"),
        (None, "corrupt"),
    ],
)
def test_a_damaged_file_is_told_and_left_alone(tmp_path: Path, what: bytes | None, sentence: str) -> None:
    """Nothing is made anew in place of a file that cannot be read."""
    path = tmp_path / "outbox.sqlite"
    if what is None:
        with opened(tmp_path) as outbox:
            outbox.append("bulk", [(ID, b'{"x":"' + b"y" * 900 + b'"}')] * 200)
        whole = bytearray(path.read_bytes())
        whole[8192:81920] = os.urandom(73728)
        path.write_bytes(whole)
    else:
        path.write_bytes(what)
    before = path.read_bytes()
    with pytest.raises(RunFailed, match=sentence) as refused:
        opened(tmp_path)
    assert refused.value.code == "input_broken"
    assert path.read_bytes() == before


def test_another_programs_file_and_a_newer_outbox_are_refused(tmp_path: Path) -> None:
    db = apsw.Connection(str(tmp_path / "outbox.sqlite"))
    db.execute("CREATE TABLE mine (a)")
    db.close()
    with pytest.raises(RunFailed, match="no outbox"):
        opened(tmp_path)
    (tmp_path / "outbox.sqlite").unlink()
    opened(tmp_path).close()
    db = apsw.Connection(str(tmp_path / "outbox.sqlite"))
    db.execute("PRAGMA user_version=9")
    db.close()
    with pytest.raises(RunFailed, match="version 9"):
        opened(tmp_path)


def test_a_counter_that_was_changed_is_refused(tmp_path: Path) -> None:
    """A watermark that moved by itself would lose events without a word."""
    with opened(tmp_path) as outbox:
        outbox.append("bulk", events(9))
    db = apsw.Connection(str(tmp_path / "outbox.sqlite"))
    db.execute("UPDATE lanes SET acked = 5, sent = 5 WHERE name = 'bulk'")
    db.close()
    with pytest.raises(RunFailed, match="checksum"):
        opened(tmp_path)


def test_a_full_disk_refuses_and_loses_nothing(tmp_path: Path) -> None:
    """SQLite's own limit on pages is met as a full disk is; afterwards what was accepted is there, and can be sent."""
    with opened(tmp_path) as outbox:
        pages = outbox._file.db.pragma("page_count")
        outbox._file.db.execute(f"PRAGMA max_page_count={pages + 20}").fetchall()
        accepted = 0
        large = [(ID, b'{"x":"' + b"y" * 2000 + b'"}')]
        refused: RunFailed | None = None
        while refused is None:
            try:
                (accepted,) = outbox.append("bulk", large)
            except RunFailed as err:
                refused = err
        assert refused.code == "storage_failed"
        assert "no space left" in refused.message
        assert accepted > 10
        assert [each.seq for each in outbox.pending("bulk", *ALL)] == list(range(1, accepted + 1))
        outbox.mark_sent("bulk", accepted)
        assert outbox.ack("bulk", accepted) == accepted
        assert outbox.append("bulk", events(1)) == [accepted + 1]


def test_after_close_nothing_is_taken(tmp_path: Path) -> None:
    outbox = opened(tmp_path)
    outbox.append("bulk", events(1))
    outbox.mark_sent("bulk", 1)
    outbox.close()
    outbox.close()
    with pytest.raises(RunFailed, match="closed"):
        outbox.ack("bulk", 1)
    with pytest.raises(RunFailed, match="closed"):
        outbox.append("bulk", events(1))


def test_an_append_ends_a_wait(tmp_path: Path) -> None:
    with opened(tmp_path) as outbox:
        assert not outbox.wait(0.0)
        threading.Thread(target=outbox.append, args=("bulk", events(1))).start()
        assert outbox.wait(30.0)


def test_a_key_that_comes_again_gets_the_numbers_of_before(tmp_path: Path) -> None:
    """Also after the events have left and the file was opened anew, as long as it is among the newest keys."""
    path = tmp_path / "outbox.sqlite"
    pair = [("a", b"{}"), ("b", b"{}")]
    with Outbox(path, quota_bytes=10**6) as outbox:
        assert outbox.append("bulk", [*pair, ("c", b"{}")], [(b"one", 2), (b"", 1)]) == [1, 2, 3]
        assert outbox.append("bulk", [("d", b"{}"), *pair], [(b"two", 1), (b"one", 2)]) == [4, 1, 2]
        assert outbox.append("alerts", pair, [(b"one", 2)]) == [1, 2]
        assert outbox.append("bulk", pair, [(b"one", 2)]) == [1, 2]
        # Another number of events is another answer.
        assert outbox.append("bulk", [("e", b"{}")], [(b"one", 1)]) == [5]
        outbox.mark_sent("bulk", 5)
        outbox.ack("bulk", 5)
    with Outbox(path, quota_bytes=10**6) as outbox:
        assert outbox.append("bulk", [("f", b"{}")], [(b"two", 1)]) == [4]
        assert outbox.status()["bulk"].events == 0
        outbox.append("bulk", [("g", b"{}")] * append_keys.MOST, [(b"%d" % at, 1) for at in range(append_keys.MOST)])
        assert outbox.append("bulk", [("h", b"{}")], [(b"two", 1)]) == [append_keys.MOST + 6]
