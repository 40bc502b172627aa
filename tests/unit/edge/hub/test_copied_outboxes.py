"""Two outboxes with one id: the hub takes the events of one of them, tells the other, and nothing is lost."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from tests.support.hubs import OUTBOX, RunningHub, body, event, gap, running_hub

from fivefold.core.errors import RunFailed
from fivefold.edge.hub.database import HubDatabase
from fivefold.edge.hub.device_register import add_device, list_devices
from fivefold.edge.hub.event_ledger import Applied, DeviceBatch, apply_batches, events_after, quarantined_lines
from fivefold.edge.hub.pruning import prune
from fivefold.edge.hub.store_opening import open_database
from fivefold.edge.outbox import Outbox, inspection
from fivefold.edge.outbox.stored import OUTBOX_COPIED
from fivefold.edge.sync.hub_client import HubClient, HubFailure
from fivefold.edge.sync.lane_batches import LaneBatch, decode_batch
from fivefold.edge.sync.lane_protocol import BatchReply, Conflict
from fivefold.edge.sync.sender import Sender

LANES = ("alerts", "bulk")


def named(line: bytes, id: str) -> bytes:
    """A line under another id."""
    return json.dumps({**json.loads(line), "id": id}).encode()


def apply(database: HubDatabase, *lines: bytes, after: str | None) -> Applied:
    with database.transaction() as connection:
        batch = DeviceBatch("a", OUTBOX, "bulk", decode_batch(body(*lines)), after)
        (out,) = apply_batches(connection, [batch], 1000)
    return out


@pytest.fixture
def ledger(database: HubDatabase) -> HubDatabase:
    """A store that has numbers 1 to 3 of an outbox."""
    with database.transaction() as connection:
        add_device(connection, "a")
    apply(database, event(1), event(2), event(3), after="")
    return database


def test_a_batch_that_goes_on_from_another_event_is_refused(ledger: HubDatabase) -> None:
    """Nothing of it is stored or acknowledged, and it is noted; the outbox that is right goes on."""
    refused = apply(ledger, event(4), after="other-3")

    assert "3 is stored as e-3, and not as other-3" in refused.copied
    assert (refused.acked_through, refused.id, refused.stored) == (3, "e-3", 0)
    with ledger.reading() as connection:
        assert list_devices(connection)[0].copied == 1000
    assert apply(ledger, event(4), after="e-3").stored == 1


@pytest.mark.parametrize("after", ["", "e-1"])
def test_other_content_under_known_numbers_is_refused(ledger: HubDatabase, after: str) -> None:
    """As a whole: not even its new lines are taken, and quarantine stays empty."""
    refused = apply(ledger, event(2), event(3, "other"), event(4), after=after)

    assert refused.copied
    assert refused.acked_through == 3
    with ledger.reading() as connection:
        assert len(events_after(connection, 0, 10)) == 3
        assert quarantined_lines(connection, None, 10) == []


def test_the_same_batch_again_is_no_copy(ledger: HubDatabase) -> None:
    """Nor is one that is late, whose reply says which line is the hub's last one."""
    assert not apply(ledger, event(1), event(2), event(3), event(4), after="").copied
    late = apply(ledger, event(1), event(2), after="")

    assert (late.copied, late.acked_through, late.id) == ("", 4, "e-4")


def test_a_device_that_says_nothing_is_served_as_ever(ledger: HubDatabase) -> None:
    """Its contradicting line goes into quarantine."""
    applied = apply(ledger, event(3, "other"), event(4), after=None)

    assert [each.code for each in applied.rejected] == ["event_conflict"]
    assert applied.acked_through == 4


def test_a_gap_record_in_the_place_of_the_last_event_is_no_copy(ledger: HubDatabase) -> None:
    """The device has given up what it did not know to be here, and goes on from its record."""
    record = named(gap(2, 3), "g-3")

    assert apply(ledger, record, after="e-1").acked_through == 3
    assert apply(ledger, event(4), after="g-3").stored == 1


def test_a_poison_line_at_the_watermark_says_nothing(ledger: HubDatabase) -> None:
    """Its id cannot be read here, so the device is believed."""
    apply(ledger, b'{"seq": 4, "kind": 7}', after="e-3")

    assert apply(ledger, event(5), after="e-4").stored == 1


def test_a_copy_is_told_by_what_was_pruned(ledger: HubDatabase) -> None:
    """The id of the lane's last line stays when its event goes."""
    assert prune(ledger, before=2**60, through=3) == 3

    assert apply(ledger, event(4), after="other-3").copied
    assert apply(ledger, named(event(3), "other-3"), event(4), after="e-2").copied
    assert apply(ledger, event(2), event(3), event(4), after="e-1").stored == 1


class LossyClient(HubClient):
    """A device's connection, whose next replies may be lost."""

    lose = False

    def send(self, lane: str, batch: LaneBatch, after: str) -> BatchReply | Conflict:
        reply = super().send(lane, batch, after)
        if self.lose:
            raise HubFailure("not_ready", "the connection broke")
        return reply


class Device:
    """An outbox in a directory, and what it has accepted or inherited."""

    def __init__(self, path: Path, hub: RunningHub, key: str, quota: int, accepted: dict[str, tuple[str, int]]) -> None:
        self.path, self.hub, self.key, self.quota, self.accepted = path, hub, key, quota, accepted
        self.ids: set[str] = set()
        self.said: list[str] = []
        self.open()

    def open(self) -> None:
        self.outbox = Outbox(self.path, quota_bytes=self.quota, policy="drop_oldest")
        self.ids.add(self.outbox.id)
        self.sender = Sender(self.outbox, self.hub.url, "d", self.key, models=lambda: (), log=self.said.append)
        self.client = LossyClient(self.hub.url, "d", self.key, self.outbox.id)
        self.sender._client.close()
        self.sender._client = self.client

    def close(self) -> None:
        self.sender.close()
        self.outbox.close()

    def append(self, lane: str, count: int, size: int = 0) -> None:
        events = [(str(uuid.uuid4()), b'{"at":"","kind":"prediction","x":"%s"}' % (b"x" * size)) for _ in range(count)]
        with contextlib.suppress(RunFailed):
            for (id, _), seq in zip(events, self.outbox.append(lane, events), strict=True):
                self.accepted[id] = lane, seq

    def copy(self, path: Path) -> Device:
        """Another device with this one's disk."""
        self.close()
        shutil.copy(self.path, path)
        self.open()
        other = Device(path, self.hub, self.key, self.quota, dict(self.accepted))
        other.ids |= self.ids
        return other

    def step(self, lose: bool = False) -> bool:
        """One exchange; whether there may be more to do."""
        self.client.lose = lose
        try:
            return self.sender.step()
        except HubFailure as failure:
            self.sender._failed(failure.code, str(failure), None)
            return True

    def drain(self) -> None:
        """Send everything, and go on as a copy where that is what it is."""
        for _ in range(200):
            if self.step():
                continue
            if not self.resume():
                return
        raise AssertionError(f"no end: {self.said[-5:]}")

    def stopped(self) -> set[str]:
        return set(self.sender.status.stopped.values())

    def resume(self) -> bool:
        if not self.stopped():
            return False
        assert self.stopped() == {OUTBOX_COPIED}, self.said
        inspection.resume(self.path)
        self.sender._consents_at = 0.0
        self.step()
        self.ids.add(self.outbox.id)
        return True


Delivered = tuple[dict[str, tuple[str, int]], list[tuple[str, str, int, int]]]


def delivered(database: HubDatabase) -> Delivered:
    """Id to lane and number of every event at the hub, and outbox, lane, first and last of every gap."""
    events, gaps = {}, []
    with database.reading() as connection:
        for each in events_after(connection, 0, 100_000):
            line = json.loads(each.body)
            if each.kind == "gap":
                gaps.append((each.outbox, each.lane, line["from_seq"] if line["count"] else each.seq + 1, each.seq))
            else:
                assert events.get(each.id, (each.lane, each.seq)) == (each.lane, each.seq)
                events[each.id] = each.lane, each.seq
        assert quarantined_lines(connection, None, 10) == []
    return events, gaps


def check(database: HubDatabase, devices: list[Device], pruned: Sequence[Delivered] = ()) -> None:
    """Whatever a device has accepted is here, or was pruned, under its number, or in a gap record of its outbox."""
    events, gaps = delivered(database)
    for more, others in pruned:
        assert all(events.get(id, place) == place for id, place in more.items())
        events |= more
        gaps += others
    for device in devices:
        for id, (lane, seq) in device.accepted.items():
            covered = any(box in device.ids and of == lane and a <= seq <= b for box, of, a, b in gaps)
            assert events.get(id) == (lane, seq) or covered, (id, lane, seq)


@pytest.fixture
def device(hub: RunningHub, tmp_path: Path) -> Iterator[Device]:
    """A device that has delivered five events of each lane."""
    key = hub.device("d").http.headers["authorization"].split()[1]
    made = Device(tmp_path / "one.sqlite", hub, key, 10**7, {})
    for lane in LANES:
        made.append(lane, 5)
    made.drain()
    yield made
    made.close()


def test_two_devices_with_one_image(device: Device, hub: RunningHub, tmp_path: Path) -> None:
    """The second one is stopped before anything of it is taken for the first one's, and says what to do."""
    other = device.copy(tmp_path / "two.sqlite")
    device.append("bulk", 3)
    other.append("bulk", 4)
    device.drain()
    # As after attempts without a network: the hub's number is no wonder to it.
    other.outbox.mark_sent("bulk", 9)
    while other.step():
        pass

    assert other.sender.status.stopped == {"bulk": OUTBOX_COPIED}
    assert other.outbox.status()["bulk"].events == 4
    assert any("outbox_copied" in line and "fivefold gateway outbox resume" in line for line in other.said)
    with hub.database.reading() as connection:
        (row,) = list_devices(connection)
    assert row.copied is not None
    assert row.report["stopped"] == {"bulk": OUTBOX_COPIED}
    before = other.outbox.id
    other.drain()
    device.append("bulk", 2)
    device.drain()
    assert other.outbox.id != before
    assert device.stopped() == set()
    assert other.outbox.status().events == 0
    check(hub.database, [device, other])
    other.close()


def test_an_outbox_from_a_backup(device: Device, hub: RunningHub, tmp_path: Path) -> None:
    """It goes back in its numbers; what it accepts afterwards is not taken for what the hub has under them."""
    backup = device.copy(tmp_path / "backup.sqlite")
    device.append("bulk", 3)
    device.drain()
    backup.append("bulk", 1)
    while backup.step():
        pass

    assert backup.stopped() == {OUTBOX_COPIED}
    backup.drain()
    check(hub.database, [device, backup])
    backup.close()


class CopyRules(RuleBasedStateMachine):
    """Devices whose disks are copied at any time, whose replies are lost, and whose outboxes are too small."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = contextlib.ExitStack()
        self.directory = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.database = self.stack.enter_context(contextlib.closing(open_database(str(self.directory / "hub"), None)))
        self.hub = self.stack.enter_context(running_hub(self.database))
        self.devices: list[Device] = []
        self.pruned: list[Delivered] = []

    @initialize(quota=st.sampled_from([2_000, 10**7]))
    def begin(self, quota: int) -> None:
        key = self.hub.device("d").http.headers["authorization"].split()[1]
        self.devices.append(Device(self.directory / "0.sqlite", self.hub, key, quota, {}))

    def one(self, which: int) -> Device:
        return self.devices[which % len(self.devices)]

    @rule(which=st.integers(0, 2), lane=st.sampled_from(LANES), count=st.integers(1, 4), size=st.sampled_from([0, 300]))
    def append(self, which: int, lane: str, count: int, size: int) -> None:
        self.one(which).append(lane, count, size)

    @rule(which=st.integers(0, 2), most=st.integers(1, 5), lose=st.booleans())
    def step(self, which: int, most: int, lose: bool) -> None:
        device = self.one(which)
        device.sender._most = dict.fromkeys(LANES, most)
        device.step(lose)

    @rule(which=st.integers(0, 2))
    def away(self, which: int) -> None:
        """An attempt that does not get as far as the hub."""
        outbox = self.one(which).outbox
        for lane in LANES:
            if stored := outbox.pending(lane, 3, 10_000):
                outbox.mark_sent(lane, stored[-1].seq)

    @precondition(lambda self: len(self.devices) < 3)
    @rule(which=st.integers(0, 2))
    def copy(self, which: int) -> None:
        self.devices.append(self.one(which).copy(self.directory / f"{len(self.devices)}.sqlite"))

    @rule(which=st.integers(0, 2))
    def restart(self, which: int) -> None:
        device = self.one(which)
        device.close()
        device.open()

    @rule(which=st.integers(0, 2))
    def resume(self, which: int) -> None:
        self.one(which).resume()

    @rule()
    def prune(self) -> None:
        """The hub forgets what it has, and not where its lanes are."""
        self.pruned.append(delivered(self.database))
        prune(self.database, before=2**60, through=2**60)

    def teardown(self) -> None:
        try:
            for device in self.devices:
                device.drain()
                assert device.outbox.status().events == 0
            check(self.database, self.devices, self.pruned)
        finally:
            for device in self.devices:
                device.close()
            self.stack.close()


TestCopyRules = CopyRules.TestCase
TestCopyRules.settings = settings(max_examples=8, stateful_step_count=20, deadline=None)
