"""The endpoint under any order of batches, replays, holes, conflicts, lost answers and crashes: a state machine."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.support.hubs import HubClient, RunningHub, event, gap

from fivefold.core.errors import RunFailed
from fivefold.edge.hub.database import HubConnection, HubDatabase
from fivefold.edge.hub.event_ledger import events_after, lane_watermarks, quarantined_lines
from fivefold.edge.hub.sqlite_database import SqliteDatabase


class CrashingDatabase(SqliteDatabase):
    """A store whose next transaction fails, before it counts or after."""

    crash: str = ""

    @contextlib.contextmanager
    def transaction(self) -> Iterator[HubConnection]:
        crash, self.crash = self.crash, ""
        with super().transaction() as connection:
            yield connection
            if crash == "before":
                raise RunFailed("storage_failed", "crashed before the commit")
        if crash == "after":
            raise RunFailed("storage_failed", "crashed after the commit")


@dataclass
class Lane:
    """What one device has to send of one lane, and what the hub is to have of it."""

    client: HubClient
    name: str
    lines: list[tuple[int, int, str, bytes]] = field(default_factory=list)
    """First and last place, kind and content."""
    through: int = 0
    conflicts: set[bytes] = field(default_factory=set)

    @property
    def next(self) -> int:
        return self.lines[-1][1] + 1 if self.lines else 1

    def stored(self) -> list[bytes]:
        return [raw for _, last, kind, raw in self.lines if kind != "poison" and last <= self.through]

    def quarantined(self) -> set[bytes]:
        return {raw for _, last, kind, raw in self.lines if kind == "poison" and last <= self.through} | self.conflicts


class Synchronising(RuleBasedStateMachine):
    """Two devices, one of which has had two disks; two lanes of each."""

    @initialize()
    def begin(self) -> None:
        self.stack = contextlib.ExitStack()
        self.directory = self.stack.enter_context(tempfile.TemporaryDirectory())
        self.database: HubDatabase = CrashingDatabase(self.directory)
        self.hub = RunningHub(self.database)
        first, second = self.hub.device("a", "0" * 32), self.hub.device("b", "0" * 32)
        key = first.http.headers["authorization"].split()[1]
        again = self.stack.enter_context(contextlib.closing(HubClient(self.hub.url, "a", key, "1" * 32)))
        self.lanes = [Lane(client, name) for client in (first, second, again) for name in ("alerts", "bulk")]

    def teardown(self) -> None:
        if hasattr(self, "hub"):
            self.hub.close()
            self.database.close()
            self.stack.close()

    @rule(lane=st.integers(0, 5), kinds=st.lists(st.sampled_from(["event", "event", "poison", "gap"]), max_size=6))
    def collect(self, lane: int, kinds: list[str]) -> None:
        """The device works."""
        place = self.lanes[lane]
        for kind in kinds:
            first = place.next
            if kind == "event":
                place.lines.append((first, first, kind, event(first, [lane, first])))
            elif kind == "poison":
                place.lines.append((first, first, kind, b'{"seq":%d, "no": event %d}' % (first, lane)))
            else:
                place.lines.append((first, first + 2, kind, gap(first, first + 2)))

    @rule(
        lane=st.integers(0, 5),
        start=st.integers(0, 30),
        count=st.integers(1, 8),
        packed=st.booleans(),
        crash=st.sampled_from(["", "", "", "before", "after"]),
    )
    def send(self, lane: int, start: int, count: int, packed: bool, crash: str) -> None:
        """A batch from anywhere in the lane: new, known, both, or behind a hole."""
        place = self.lanes[lane]
        chosen = place.lines[start % (len(place.lines) + 1) :][:count]
        if not chosen:
            return
        assert isinstance(self.database, CrashingDatabase)
        self.database.crash = crash
        answer = place.client.send([raw for *_, raw in chosen], place.name, packed=packed)
        self.database.crash = ""
        hole = chosen[0][0] > place.through + 1
        if crash != "before" and not hole:
            place.through = max(place.through, chosen[-1][1])
        if crash:
            assert answer.status_code == 507
            return
        self.expect(answer, place, hole, [last for _, last, kind, _ in chosen if kind == "poison"])

    def expect(self, answer: httpx.Response, place: Lane, hole: bool, rejected: list[int]) -> None:
        found = answer.json()
        assert found["acked_through"] == place.through
        if hole:
            assert (answer.status_code, found["code"]) == (409, "sequence_gap")
        else:
            assert answer.status_code == 200
            assert [each["seq"] for each in found["rejected"]] == rejected

    @rule(lane=st.integers(0, 5), index=st.integers(0, 30))
    def contradict(self, lane: int, index: int) -> None:
        """Other content under a number that the hub has."""
        place = self.lanes[lane]
        known = [line for line in place.lines if line[1] <= place.through and line[2] == "event"]
        if not known:
            return
        seq = known[index % len(known)][1]
        other = event(seq, "other")
        answer = place.client.send([other], place.name)
        place.conflicts.add(other)

        assert answer.json()["acked_through"] == place.through
        assert [(each["seq"], each["code"]) for each in answer.json()["rejected"]] == [(seq, "event_conflict")]

    @rule(turn=st.integers(0, 3))
    def restart(self, turn: int) -> None:
        """The hub is another process on the same store."""
        if turn:
            return
        self.hub.close()
        self.database.close()
        self.database = CrashingDatabase(self.directory)
        self.hub = RunningHub(self.database)
        for lane in self.lanes:
            lane.client.http.close()
            key = lane.client.http.headers["authorization"].split()[1]
            lane.client = HubClient(self.hub.url, lane.client.device, key, lane.client.outbox)
            self.stack.callback(lane.client.close)

    @invariant()
    def the_hub_has_what_it_says(self) -> None:
        """Every event once and in order, every poison line and conflict kept, and the watermark that was told."""
        if not hasattr(self, "hub"):
            return
        with self.database.reading() as connection:
            events = events_after(connection, 0, 10_000)
            kept = quarantined_lines(connection, None, 10_000)
            clients = {(lane.client.device, lane.client.outbox) for lane in self.lanes}
            marks = {where: lane_watermarks(connection, *where) for where in clients}
        assert [each.position for each in events] == list(range(1, len(events) + 1))
        for lane in self.lanes:
            where = (lane.client.device, lane.client.outbox, lane.name)
            mine = [each.body for each in events if (each.device, each.outbox, each.lane) == where]
            assert mine == lane.stored()
            bad = [each.raw for each in kept if (each.device, each.outbox, each.lane) == where]
            assert len(bad) == len(set(bad))
            assert set(bad) == lane.quarantined()
            assert marks[where[:2]][lane.name] == lane.through


TestSynchronising = Synchronising.TestCase
TestSynchronising.settings = settings(max_examples=8, stateful_step_count=20, deadline=None)
