"""Whatever is done to an outbox, in whatever order: each accepted event is delivered once, or in a gap record."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fivefold.core.errors import RunFailed
from fivefold.edge.outbox import Outbox

LANES = ("alerts", "bulk")
lanes = st.sampled_from(LANES)


class OutboxRules(RuleBasedStateMachine):
    """A hub that is right, whose replies may be lost, and an outbox that is closed, opened and too small."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.open()
        self.accepted: dict[str, dict[int, bytes]] = {lane: {} for lane in LANES}
        self.hub: dict[str, list[tuple[int, bytes | None]]] = {lane: [] for lane in LANES}
        """Number by number what has arrived: a body, or None for a number in a gap record."""

    def open(self) -> None:
        path = Path(self.directory.name) / "outbox.sqlite"
        self.outbox = Outbox(path, quota_bytes=2_000, policy="drop_oldest")

    @rule(lane=lanes, sizes=st.lists(st.integers(0, 300), min_size=1, max_size=4))
    def append(self, lane: str, sizes: list[int]) -> None:
        number = len(self.accepted[lane])
        bodies = [b'{"n":%d,"x":"%s"}' % (number + at, b"x" * size) for at, size in enumerate(sizes)]
        try:
            seqs = self.outbox.append(lane, [(f"id-{at}", body) for at, body in enumerate(bodies)])
        except RunFailed:
            return
        self.accepted[lane].update(zip(seqs, bodies))

    @rule(lane=lanes, most=st.integers(1, 6), late=st.integers(0, 2), lost=st.booleans())
    def send(self, lane: str, most: int, late: int, lost: bool) -> None:
        """Read, perhaps have some dropped meanwhile, send, and perhaps hear nothing of it."""
        stored = self.outbox.pending(lane, most, 10_000)
        if not stored:
            return
        if late == 1:
            self.append("alerts", [300, 300, 300])
        self.outbox.mark_sent(lane, stored[-1].seq)
        if late == 2:
            self.append("alerts", [300, 300, 300])
        assert stored[0].first <= len(self.hub[lane]) + 1
        for each in stored:
            for seq in range(max(each.first, len(self.hub[lane]) + 1), each.seq + 1):
                self.hub[lane].append((seq, None if each.gap else each.body))
        if not lost:
            self.outbox.ack(lane, len(self.hub[lane]))

    @rule(lane=lanes)
    def ask(self, lane: str) -> None:
        """What a sender does after a failure."""
        self.outbox.ack(lane, len(self.hub[lane]))

    @rule()
    def restart(self) -> None:
        name = self.outbox.id
        self.outbox.close()
        self.open()
        assert self.outbox.id == name

    @invariant()
    def arrived_is_what_was_accepted(self) -> None:
        for lane in LANES:
            for at, (seq, body) in enumerate(self.hub[lane]):
                assert seq == at + 1
                assert body is None or body == self.accepted[lane][seq]

    @invariant()
    def counts_are_right(self) -> None:
        status = self.outbox.status()
        for lane in LANES:
            waiting = self.outbox.pending(lane, 1000, 10**9)
            events = [each for each in waiting if each.gap is None]
            assert status[lane].events == len(events)
            assert status[lane].gaps == len(waiting) - len(events)
            assert status[lane].bytes == sum(len(each.id) + len(each.body) + 64 for each in events)
            assert sum(each.gap.count for each in waiting if each.gap) == sum(
                each.seq - each.first + 1 for each in waiting if each.gap
            )
        assert status.used_bytes <= 2_000

    def teardown(self) -> None:
        for lane in LANES:
            while stored := self.outbox.pending(lane, 3, 10_000):
                self.outbox.mark_sent(lane, stored[-1].seq)
                for each in stored:
                    for seq in range(max(each.first, len(self.hub[lane]) + 1), each.seq + 1):
                        self.hub[lane].append((seq, None if each.gap else each.body))
                self.outbox.ack(lane, len(self.hub[lane]))
            assert [seq for seq, _ in self.hub[lane]] == list(range(1, len(self.accepted[lane]) + 1))
        self.arrived_is_what_was_accepted()
        self.outbox.close()
        self.directory.cleanup()


TestOutboxRules = OutboxRules.TestCase
TestOutboxRules.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
