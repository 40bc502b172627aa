"""Group commit: one writes for all who came meanwhile, and nobody waits for somebody who has gone."""

from __future__ import annotations

import threading

import pytest

from fivefold.edge.outbox.group_commit import MOST_EVENTS, Append, GroupCommit

SECONDS = 30.0


def submitted(commit: GroupCommit, count: int, events: int = 1) -> tuple[list[threading.Thread], list[object]]:
    """So many threads that each have something to store, and what becomes of each."""
    results: list[object] = []

    def one() -> None:
        try:
            results.append(commit.submit(Append("bulk", [("a", b"{}")] * events)))
        except Exception as err:
            results.append(err)

    threads = [threading.Thread(target=one) for _ in range(count)]
    for each in threads:
        each.start()
    return threads, results


def test_who_comes_during_a_write_shares_the_next() -> None:
    """The first writes alone; all that came meanwhile are one group, within a bound."""
    sizes: list[int] = []
    begun, go_on = threading.Event(), threading.Event()

    def write(group: list[Append]) -> None:
        sizes.append(sum(len(each.events) for each in group))
        begun.set()
        assert go_on.wait(SECONDS)

    commit = GroupCommit(write)
    first, _ = submitted(commit, 1)
    assert begun.wait(SECONDS)
    others, _ = submitted(commit, 9, events=MOST_EVENTS // 4)
    while len(commit._waiting) < 9:
        pass
    go_on.set()
    for each in (*first, *others):
        each.join(SECONDS)

    assert sizes == [1, MOST_EVENTS, MOST_EVENTS, MOST_EVENTS // 4]


def test_what_a_write_raises_is_everybodys_and_the_next_goes_on() -> None:
    failing = iter([True, False])

    def write(group: list[Append]) -> None:
        if next(failing):
            raise OSError("broken")
        for each in group:
            each.seqs = [1]

    commit = GroupCommit(write)
    with pytest.raises(OSError, match="broken"):
        commit.submit(Append("bulk", [("a", b"{}")]))
    assert commit.submit(Append("bulk", [("a", b"{}")])) == [1]


def test_a_writer_that_is_interrupted_leaves_its_place_to_the_next() -> None:
    """Ctrl-C in the thread that writes: it is interrupted, the others have their error or their turn."""
    begun, go_on, rounds = threading.Event(), threading.Event(), iter([True, False])

    def write(group: list[Append]) -> None:
        if next(rounds):
            begun.set()
            assert go_on.wait(SECONDS)
            raise KeyboardInterrupt
        for each in group:
            each.seqs = [7]

    commit = GroupCommit(write)
    interrupted: list[BaseException] = []

    def first() -> None:
        try:
            commit.submit(Append("bulk", [("a", b"{}")]))
        except BaseException as err:
            interrupted.append(err)

    thread = threading.Thread(target=first)
    thread.start()
    assert begun.wait(SECONDS)
    others, results = submitted(commit, 3)
    while len(commit._waiting) < 3:
        pass
    go_on.set()
    for each in (thread, *others):
        each.join(SECONDS)

    assert [type(each) for each in interrupted] == [KeyboardInterrupt]
    assert results == [[7], [7], [7]]
