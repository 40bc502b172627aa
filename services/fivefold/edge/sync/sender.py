"""The sender: empties an outbox into a hub, as far as the hub and the network allow it.

Alerts go before bulk, the oldest first. Nothing is forgotten before the hub has said that it has it, and a hub that
says what cannot be stops its lane. What lies in the outbox and what the words of the protocol are is left to others.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from typing import Final

from fivefold.core.errors import FivefoldError, RunFailed
from fivefold.core.settings import SettingsError
from fivefold.edge.outbox.queue import Outbox
from fivefold.edge.outbox.stored import HUB_BEHIND, HUB_INVALID, OUTBOX_COPIED
from fivefold.edge.sync.event_bodies import timestamp
from fivefold.edge.sync.hub_client import HubClient, HubFailure
from fivefold.edge.sync.lane_batches import encode_batch
from fivefold.edge.sync.lane_protocol import MAX_BATCH_BYTES, MAX_LINES, Conflict, DeviceReport, ModelReport
from fivefold.edge.sync.pacing import HubBackOff, TokenBucket

IDLE_SECONDS: Final = 1.0
"""How long it waits at once where nothing waits to be sent: what is appended meanwhile ends that."""
CONSENT_SECONDS: Final = 2.0
REPORT_SECONDS: Final = 60.0
HEADER_BYTES: Final = 500
"""What a request costs beside its body."""

_PLAIN_BYTES: Final = MAX_BATCH_BYTES - 256 * MAX_LINES
"""Of events in a batch: a gap record's line is longer than its row."""


@dataclass
class SenderStatus:
    """What a sender has done since it was made, for metrics and the status page."""

    batches: int = 0
    events: int = 0
    """Acknowledged by the hub."""
    bytes: int = 0
    """Of bodies sent, compressed, repeats included."""
    rejected: int = 0
    """Lines that the hub has put into quarantine."""
    failures: int = 0
    """Requests that did not do what they were for."""
    failed_in_row: int = 0
    error: str | None = None
    """The last failure in a sentence; None after a success."""
    error_code: str | None = None
    """Its code: one of `core.errors.CODES`."""
    wait_seconds: float = 0.0
    """How long it waits before the next attempt."""
    last_success_ms: int | None = None
    stopped: dict[str, str] = field(default_factory=dict)
    """Lanes that are stopped, with the reason's code: `hub_behind`, `hub_invalid` or `outbox_copied`."""


class Sender:
    """Sends what waits in an outbox to a hub."""

    def __init__(
        self,
        outbox: Outbox,
        hub_url: str,
        device: str,
        key: str,
        *,
        bandwidth: float | None = None,
        allow_http: bool = False,
        ca: str | None = None,
        models: Callable[[], Sequence[ModelReport]] | None = None,
        log: Callable[[str], None] | None = None,
    ) -> None:
        """`hub_url` is https, or http to this machine (`allow_http`: to any). `bandwidth` is in bytes a second.

        `ca` is a file of certificates to trust instead of the system's. `models` gives what the report says of models,
        each minute; without it no report is sent. `log` gets a sentence where something changes.
        Raises `SettingsError` for an address, a device id or a bandwidth that is none.
        """
        if bandwidth is not None and not 100 <= bandwidth < float("inf"):
            raise SettingsError(f"bandwidth: expected 100 bytes a second or more, got {bandwidth}")
        self._outbox = outbox
        self._client = HubClient(hub_url, device, key, outbox.id, allow_http=allow_http, ca=ca)
        self._bucket = None if bandwidth is None else TokenBucket(bandwidth)
        # A batch that keeps the line busy for long would stand in an alert's way.
        self._plain_bytes = _PLAIN_BYTES if bandwidth is None else int(min(max(10 * bandwidth, 4096), _PLAIN_BYTES))
        self._models = models
        self._log = log or (lambda _: None)
        self._back_off = HubBackOff()
        self._status = SenderStatus()
        self._pause: Callable[[float], object] = time.sleep
        self._most = dict.fromkeys(outbox.lanes, MAX_LINES)
        """Lines of the next batch, by lane."""
        self._in_step = False
        """Whether the hub has said what it has, since the last failure."""
        self._consents_at = self._report_at = time.monotonic()

    @property
    def status(self) -> SenderStatus:
        """A copy of what it has done."""
        stops = {each.lane: each.stop.code for each in self._outbox.status().lanes if each.stop is not None}
        return replace(self._status, stopped=stops)

    def run(self, stop: threading.Event) -> None:
        """Send until `stop` is set, which ends every wait within a second (with `outbox.wake()` at once, where nothing
        waits to be sent). The body of a thread; failures of the hub, the network and the disk do not end it."""
        self._pause = stop.wait
        while not stop.is_set():
            try:
                if not self.step():
                    self._outbox.wait(IDLE_SECONDS)
            except HubFailure as failure:
                self._failed(failure.code, str(failure), failure.retry_after)
            except FivefoldError as error:
                # The disk's.
                self._failed(error.code, str(error), None)
            if self._status.wait_seconds:
                stop.wait(self._status.wait_seconds)
                self._status.wait_seconds = 0.0

    def step(self) -> bool:
        """One exchange with the hub; whether there may be more to do at once.

        Waits for the bandwidth alone. Raises `HubFailure`, and the outbox's errors.
        """
        self._look_for_consents()
        if not self._in_step:
            marks = self._client.watermarks()
            for lane in self._outbox.lanes:
                if self._sends(lane):
                    self._settle(lane, marks.lanes.get(lane, 0), marks.ids.get(lane, ""))
            self._succeeded()
            return True
        for lane in self._outbox.lanes:
            if self._sends(lane) and self._send(lane):
                return True
        self._report()
        return False

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _sends(self, lane: str) -> bool:
        return self._outbox.stopped(lane) is None

    def _send(self, lane: str) -> bool:
        """Send the oldest of a lane, or wait until the bandwidth allows it; False where nothing waits."""
        stored = self._outbox.pending(lane, self._most[lane], self._plain_bytes)
        if not stored:
            return False
        batch = encode_batch(stored)
        if self._bucket is not None:
            if wait := self._bucket.wait(len(batch.body) + HEADER_BYTES):
                # Afterwards there may be an alert that goes first.
                self._pause(wait)
                return True
            self._bucket.spend(len(batch.body) + HEADER_BYTES)
        self._outbox.mark_sent(lane, batch.last)
        self._status.batches += 1
        self._status.bytes += len(batch.body)
        try:
            reply = self._client.send(lane, batch, self._before(lane, batch.first))
        except HubFailure as failure:
            if failure.status == 413 and batch.lines > 1:
                self._most[lane] = max(batch.lines // 2, 1)
                return True
            raise
        if isinstance(reply, Conflict):
            if reply.code == OUTBOX_COPIED:
                self._stop(lane, OUTBOX_COPIED, reply.acked_through, reply.error[:200])
            elif self._settle(lane, reply.acked_through, reply.id):
                raise HubFailure("internal", f"the hub refuses number {batch.first} of {lane}, which is the next one")
            return True
        self._status.rejected += len(reply.rejected)
        for each in reply.rejected[:3]:
            self._log(f"the hub has put {each.seq} of {lane} into quarantine: {each.code}: {each.message[:200]}")
        if self._settle(lane, reply.acked_through, stored[-1].id if reply.acked_through == batch.last else reply.id):
            if reply.acked_through < batch.first:
                raise HubFailure("internal", f"the hub takes nothing of a batch of {lane}, without saying why")
            self._most[lane] = min(2 * self._most[lane], MAX_LINES)
            self._succeeded()
        return True

    def _before(self, lane: str, first: int) -> str:
        """The id of the acknowledged line in front of a batch; empty where it is not known, or there is none."""
        return next(iter(self._outbox.ids(lane, first - 1)), "") if first > 1 else ""

    def _settle(self, lane: str, through: int, id: str) -> bool:
        """Forget what the hub has, whose last line has this id; False where that cannot be, and the lane is stopped."""
        mine = self._outbox.status()[lane]
        acked, sent = mine.acked_through, mine.sent_through
        if acked <= through <= sent:
            ids = self._outbox.ids(lane, through) if id and through else set()
            if ids and id not in ids:
                self._stop(lane, OUTBOX_COPIED, through, f"the hub has {through} as {id[:64]}, and here it is another")
                return False
            self._status.events += self._outbox.ack(lane, through, id)
            return True
        says = (
            f"the hub says that it has everything up to {through}, of which {acked} were acknowledged and {sent} sent"
        )
        if through < acked:
            self._stop(lane, HUB_BEHIND, through, says)
        else:
            # A hub that names the line has one: somebody else has sent it.
            self._stop(lane, OUTBOX_COPIED if id else HUB_INVALID, through, says)
        return False

    def _stop(self, lane: str, code: str, through: int, why: str) -> None:
        self._outbox.stop(lane, code, through)
        way_on = "fivefold gateway outbox resume" + ("" if code == OUTBOX_COPIED else " --accept-loss")
        self._log(f"lane {lane} is stopped, {code}: {why}; nothing is deleted; help: {way_on}")
        # The hub is to hear of it soon.
        self._report_at = time.monotonic()

    def _look_for_consents(self) -> None:
        """Let stopped lanes go on whose loss somebody has accepted, by what the hub says now."""
        if time.monotonic() < self._consents_at:
            return
        self._consents_at = time.monotonic() + CONSENT_SECONDS
        waiting = [lane for lane in self._outbox.lanes if not self._sends(lane) and self._outbox.consented(lane)]
        if not waiting:
            return
        if any(stop is not None and stop.code == OUTBOX_COPIED for stop in map(self._outbox.stopped, waiting)):
            self._outbox.renew()
            self._client.outbox, self._in_step = self._outbox.id, False
            self._log(f"the outbox was a copy and goes on as {self._outbox.id}; what waits is sent from there")
            return
        marks = self._client.watermarks()
        for lane in waiting:
            try:
                gap = self._outbox.resume(lane, marks.lanes.get(lane, 0), marks.ids.get(lane, ""))
            except RunFailed as err:
                if err.code != "run_conflict":
                    raise
                self._log(f"{err}; help: {err.help}")
                continue
            cost = "nothing was lost" if gap is None or gap.gap is None else f"{gap.gap.first} to {gap.seq} as hub_lost"
            self._log(f"lane {lane} goes on: {cost}")

    def _report(self) -> None:
        if self._models is None or time.monotonic() < self._report_at:
            return
        self._report_at = time.monotonic() + REPORT_SECONDS
        status = self._outbox.status()
        oldest = min((each.oldest_ms for each in status.lanes if each.oldest_ms is not None), default=None)
        report = DeviceReport(
            outbox=status.id,
            backlog={each.lane: each.events for each in status.lanes},
            oldest=None if oldest is None else timestamp(oldest),
            software=f"fivefold {metadata.version('fivefold')}",
            models=list(self._models()),
            stopped={each.lane: each.stop.code for each in status.lanes if each.stop is not None},
        )
        try:
            self._client.report(report)
        except HubFailure as failure:
            # Events go on: where the hub is away, they will find out.
            self._status.failures += 1
            self._log(f"the report was not taken: {failure}")

    def _succeeded(self) -> None:
        if self._status.error is not None:
            self._log("the hub answers again")
        self._back_off.succeeded()
        self._in_step = True
        self._status.error = self._status.error_code = None
        self._status.failed_in_row = 0
        self._status.last_success_ms = time.time_ns() // 1_000_000

    def _failed(self, code: str, sentence: str, retry_after: float | None) -> None:
        if self._status.error != sentence:
            self._log(sentence)
        self._in_step = False
        self._status.error, self._status.error_code = sentence, code
        self._status.failures += 1
        self._status.wait_seconds = self._back_off.failed(retry_after)
        self._status.failed_in_row = self._back_off.failures
