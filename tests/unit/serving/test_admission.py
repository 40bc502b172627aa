"""A burst may wait, an overload is refused at once; how long a wait is, the model's own pace says."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fivefold.serving.admission import LOOKS, PATIENCE, Admission

WAIT, BURST = 0.02, 0.5


class Clock:
    """A time that passes only where a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Queue:
    """A model that really takes `took` seconds a request, behind an admission that has been told `told`."""

    def __init__(self, took: float, *, told: float | None = None, at_once: int = 1) -> None:
        self.clock = Clock()
        self.admission = Admission(WAIT, BURST, at_once=at_once, clock=self.clock)
        self.answered = 0
        self.waits: list[tuple[float, float]] = []
        """When each request that has begun came, and how long it waited."""
        self._took, self._told, self._at_once = took, took if told is None else told, at_once
        self._queue: deque[float] = deque()
        self._ends: list[float] = []

    def ask(self, times: Iterable[float]) -> list[bool]:
        """Whether it was admitted, for a request at each of these times."""
        return [self._asked(time) for time in times]

    def until(self, time: float) -> None:
        """Let the model work until then."""
        while self._ends and self._ends[0] <= time:
            self.clock.now = heapq.heappop(self._ends)
            self.admission.end(self._told)
            self.answered += 1
            self._start()
        self.clock.now = time

    def _asked(self, time: float) -> bool:
        self.until(time)
        if not self.admission.admits(self._told):
            return False
        self.admission.begin(self._told)
        self._queue.append(time)
        self._start()
        return True

    def _start(self) -> None:
        while self._queue and len(self._ends) < self._at_once:
            came = self._queue.popleft()
            self.waits.append((came, self.clock.now - came))
            heapq.heappush(self._ends, self.clock.now + self._took)


def evenly(start: float, end: float, rate: float) -> list[float]:
    """So many times a second, from one time to the other."""
    return [start + index / rate for index in range(round((end - start) * rate))]


def at_random(end: float, rate: float) -> Iterator[float]:
    """The same number on average, as callers who do not know of each other come."""
    draw = random.Random(0)
    time = draw.expovariate(rate)
    while time < end:
        yield time
        time += draw.expovariate(rate)


def admission(*, wait: float = WAIT, burst: float = BURST, at_once: int = 1) -> tuple[Admission, Clock]:
    clock = Clock()
    return Admission(wait, burst, at_once=at_once, clock=clock), clock


def begin(queue: Admission, seconds: float, times: int) -> None:
    for _ in range(times):
        queue.begin(seconds)


def test_nothing_waits_while_there_is_room() -> None:
    """However long the work is, and however long it has been running."""
    queue, clock = admission(wait=0.0, burst=0.0, at_once=2)

    assert queue.wait == 0.0
    queue.begin(100.0)
    clock.now = 60.0
    assert queue.wait == 0.0
    assert queue.admits(0.001)


@pytest.mark.parametrize("at_once", [1, 2, 8])
def test_what_is_ahead_is_shared_by_what_runs_at_once(at_once: int) -> None:
    """Before anything has ended, the promised seconds divided by the threads."""
    queue, _ = admission(at_once=at_once)
    begin(queue, 0.01, 16)

    assert queue.wait == pytest.approx(0.16 / at_once)


@pytest.mark.parametrize("at_once", [1, 2])
def test_a_burst_may_wait(at_once: int) -> None:
    """Twice what the model can do, for no longer than a burst lasts: everything is admitted and answered."""
    queue = Queue(0.01, at_once=at_once)

    admitted = queue.ask(evenly(0.0, BURST, 200 * at_once))
    queue.until(10.0)

    assert all(admitted)
    assert queue.answered == len(admitted)
    assert max(wait for _, wait in queue.waits) > 5 * max(WAIT, PATIENCE * 0.01)


@pytest.mark.parametrize("at_once", [1, 2])
def test_an_overload_is_refused(at_once: int) -> None:
    """What goes on for longer than a burst waits no longer than the limit, once the burst's queue is worked off."""
    queue = Queue(0.01, at_once=at_once)

    burst = queue.ask(evenly(0.0, BURST, 200 * at_once))
    after = queue.ask(evenly(BURST + 0.05, BURST + 0.1, 200 * at_once))
    queue.ask(evenly(BURST + 0.1, 3.0, 200 * at_once))
    queue.until(10.0)

    assert all(burst)
    assert not any(after)
    assert max(wait for came, wait in queue.waits if came > BURST + 0.1) <= PATIENCE * 0.01 + 1e-9


def test_after_an_overload_a_burst_may_wait_again() -> None:
    """Once the queue is empty everything is as it was."""
    queue = Queue(0.01)
    overload = queue.ask(evenly(0.0, 3.0, 200))
    queue.until(5.0)

    assert not all(overload)
    assert queue.admission.wait == 0.0
    assert all(queue.ask(evenly(5.0, 5.0 + BURST, 200)))
    assert not all(queue.ask(evenly(5.0 + BURST, 7.0, 200)))


def test_a_slow_models_requests_may_wait_longer() -> None:
    """So many times as long as they take themselves, whatever the limit; those that take less may not."""
    queue, clock = admission(burst=0.0)
    clock.now = 0.001
    begin(queue, 1.0, int(PATIENCE))

    assert queue.wait == PATIENCE
    assert queue.admits(1.0)
    assert not queue.admits(0.99)
    queue.begin(1.0)
    assert not queue.admits(1.0)


def test_a_quick_models_requests_may_wait_as_long_as_the_limit() -> None:
    """Their own time is less than that."""
    quick = 1 / 1024
    queue, clock = admission(wait=16 * quick, burst=0.0)
    clock.now = quick / 2
    begin(queue, quick, 16)

    assert queue.wait == 16 * quick
    assert queue.admits(quick)
    queue.begin(quick)
    assert not queue.admits(quick)


@pytest.mark.parametrize(("told", "took"), [(0.01, 0.05), (0.05, 0.01)])
@pytest.mark.parametrize("at_once", [1, 2])
def test_the_pace_is_learned(told: float, took: float, at_once: int) -> None:
    """From what ends while others wait: a wait is what the model needs, whatever was promised for it."""
    queue, clock = admission(at_once=at_once)
    begin(queue, told, 10)
    for _ in range(300):
        clock.now += took / at_once
        queue.end(told)
        queue.begin(told)

    assert queue.wait == pytest.approx(10 * took / at_once, rel=0.1)


def test_a_model_that_is_slower_than_it_promised_keeps_the_limit() -> None:
    """Five times slower: in an overload, what is admitted waits no longer than with an honest promise."""
    queue = Queue(0.005, told=0.001)

    queue.ask(evenly(0.0, 10.0, 300))
    queue.until(10.0)

    assert queue.answered >= 0.9 * 10.0 / 0.005
    assert max(wait for came, wait in queue.waits if came >= 2.0) <= WAIT + 0.005


def test_an_idle_model_teaches_nothing() -> None:
    """Where nobody waits, the time between two ends is the callers', not the model's."""
    queue, clock = admission(at_once=2)
    for _ in range(300):
        begin(queue, 0.01, 2)
        clock.now += 5.0
        queue.end(0.01)
        queue.end(0.01)
        clock.now += 5.0
    begin(queue, 0.01, 4)

    assert queue.wait == pytest.approx(0.02)


def test_what_is_given_up_teaches_nothing() -> None:
    """It leaves the queue shorter, at no pace of the model's."""
    queue, clock = admission()
    begin(queue, 0.01, 10)
    clock.now = 0.05
    for _ in range(8):
        queue.end(0.01, counts=False)

    assert queue.wait == 0.05, "nothing has ended by the model's doing"
    for _ in range(2):
        queue.end(0.01, counts=False)
    begin(queue, 0.01, 3)
    assert queue.wait == pytest.approx(0.03)


def test_a_stuck_model_is_seen_by_the_clock() -> None:
    """Nothing ends, so nothing is learned: what has waited already is what there is to wait."""
    queue, clock = admission()
    begin(queue, 0.001, 2)

    assert queue.admits(0.001)
    clock.now = BURST
    assert queue.wait == BURST
    assert queue.admits(0.001), "this may still be a burst"
    clock.now = 60.0
    assert queue.wait == 60.0
    asked = []
    for _ in range(LOOKS):
        clock.now += 1.0
        asked.append(queue.admits(0.001))
    assert asked[0], "one look is none"
    assert not asked[-1]


def test_a_process_that_was_held_up_refuses_nobody() -> None:
    """What came meanwhile is all there at once; that is a burst, however long nobody was looking."""
    queue, clock = admission()
    begin(queue, 0.001, 2)
    queue.admits(0.001)

    clock.now = 2 * BURST

    assert all(queue.admits(0.001) for _ in range(50))


def test_a_model_that_was_stuck_admits_again() -> None:
    """As soon as its queue is gone, although its pace was a bad one."""
    queue, clock = admission()
    begin(queue, 0.01, 3)
    clock.now = 60.0
    for _ in range(3):
        queue.end(0.01)

    assert queue.wait == 0.0
    assert queue.admits(0.01)


SECONDS = st.floats(1e-5, 100.0)


@given(
    at_once=st.integers(1, 4),
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("begin"), SECONDS),
            st.tuples(st.just("end"), st.booleans()),
            st.tuples(st.just("ask"), SECONDS),
            st.tuples(st.just("pass"), st.floats(0.0, 10.0)),
        ),
        max_size=60,
    ),
)
def test_whatever_happens_the_queue_adds_up(at_once: int, steps: list[tuple[str, float]]) -> None:
    """No wait is negative, where there is room there is none, and when all have left nothing stays behind."""
    queue, clock = admission(at_once=at_once)
    inside: deque[float] = deque()

    def leave(counts: bool) -> None:
        queue.end(inside.popleft(), counts=counts)

    for what, value in steps:
        if what == "begin":
            inside.append(value)
            queue.begin(value)
        elif what == "end" and inside:
            leave(bool(value))
        elif what == "ask":
            assert queue.admits(value) or queue.wait > max(WAIT, PATIENCE * value)
        elif what == "pass":
            clock.now += value
        assert 0.0 <= queue.wait < float("inf")
        assert len(inside) >= at_once or queue.wait == 0.0
    while inside:
        leave(True)

    assert queue.wait == 0.0
    begin(queue, 1.0, at_once)
    full = queue.wait
    begin(queue, 1.0, at_once)
    assert full > 0.0
    assert queue.wait == pytest.approx(2 * full), "what is ahead began at nothing"


@pytest.mark.parametrize("load", [1.5, 3.0])
@pytest.mark.parametrize("at_once", [1, 2])
@pytest.mark.parametrize("took", [0.002, 0.01, 0.05])
def test_an_overload_costs_neither_answers_nor_latency(load: float, at_once: int, took: float) -> None:
    """Callers who do not care how busy the model is: it stays busy, and what it takes on waits within the limit."""
    queue = Queue(took, at_once=at_once)
    capacity = at_once / took

    queue.ask(evenly(0.0, 20.0, load * capacity))
    queue.until(20.0)

    assert queue.answered >= 0.9 * 20.0 * capacity
    assert max(wait for came, wait in queue.waits if came >= 1.0) <= max(WAIT, PATIENCE * took) + took


@pytest.mark.parametrize("load", [0.5, 0.75])
def test_random_arrivals_below_capacity_are_no_overload(load: float) -> None:
    """Callers who do not know of each other make queues now and then; that is what a queue is for."""
    queue = Queue(0.005)

    admitted = queue.ask(at_random(120.0, load / 0.005))

    assert sum(admitted) >= 0.999 * len(admitted)


@pytest.mark.parametrize("load", [1.5, 3.0])
@pytest.mark.parametrize("took", [0.01])
def test_an_overload_at_random_costs_neither_answers_nor_latency(load: float, took: float) -> None:
    """The same with arrivals that come in clusters and leave gaps; a rare cluster may wait longer."""
    queue = Queue(took)

    queue.ask(at_random(20.0, load / took))
    queue.until(20.0)
    waits = sorted(wait for came, wait in queue.waits if came >= 1.0)

    assert queue.answered >= 0.9 * 20.0 / took
    assert waits[len(waits) * 95 // 100] <= 2 * max(WAIT, PATIENCE * took)
