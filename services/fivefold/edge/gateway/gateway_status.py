"""How a gateway stands: as JSON for `fivefold gateway status`, as metrics for whoever scrapes it.

Counting requests is `fivefold.core.telemetry`'s; here is what waits in the outbox, what the hub has, and what the
broker sends. Everything is read when it is asked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from fivefold.serving.http.http_errors import JSON, HttpReply, identity, to_bytes

if TYPE_CHECKING:
    from starlette.requests import Request

    from fivefold.edge.gateway.update_status import UpdateStatus
    from fivefold.edge.outbox import Outbox
    from fivefold.edge.outbox.stored import LaneStatus, OutboxStatus
    from fivefold.edge.sync.sender import SenderStatus
    from fivefold.serving.messages import Call
    from fivefold.serving.repository import Repository

PATH: Final = "/v1/gateway"
"""Where a running gateway says how it stands. It holds counts and names, nothing of a request."""

LaneFamily = tuple[str, str, Callable[["LaneStatus"], float]]

LANE_GAUGES: Final[tuple[LaneFamily, ...]] = (
    ("backlog_events", "Events that wait.", lambda lane: lane.events),
    ("backlog_bytes", "What they take of the quota.", lambda lane: lane.bytes),
    ("oldest_seconds", "For how long the oldest event has waited; 0 where none does.", lambda lane: _age(lane)),
    ("acked_sequence", "The highest number that the hub has acknowledged.", lambda lane: lane.acked_through),
    ("stored_sequence", "The highest number that an event has.", lambda lane: lane.next_seq - 1),
    ("gaps", "Gap records that wait.", lambda lane: lane.gaps),
    ("stopped", "Whether nothing is sent until somebody decides.", lambda lane: lane.stop is not None),
)

LANE_COUNTERS: Final[tuple[LaneFamily, ...]] = (
    ("dropped_events", "Events that were dropped for the quota.", lambda lane: lane.dropped),
    ("corrupt_events", "Events that could not be read any more.", lambda lane: lane.corrupt),
)

SYNC_COUNTERS: Final = (
    ("sync_batches", "Batches that the hub has taken.", "batches"),
    ("sync_events", "Events that the hub has taken.", "events"),
    ("sync_sent_bytes", "Bytes of batches that were sent, repeats included.", "bytes"),
    ("sync_rejected", "Events that the hub has put into quarantine.", "rejected"),
    ("sync_errors", "Requests to the hub that failed.", "failures"),
)


class GatewayStatus:
    """Reads the outbox, the sender and the MQTT intake of one gateway."""

    def __init__(self, outbox: Outbox, models: Callable[[], Repository]) -> None:
        self._outbox, self._models = outbox, models
        self.sender: Callable[[], SenderStatus] | None = None
        """What the sender has done; None: there is no hub."""
        self.mqtt: Callable[[], dict[str, Any]] | None = None
        """How the intake stands; None: there is no broker."""
        self.updates: Callable[[], UpdateStatus] | None = None
        """How the models' releases stand; None: the gateway takes none."""

    def outbox(self) -> OutboxStatus:
        """How the outbox stands."""
        return self._outbox.status()

    def to_json(self) -> dict[str, Any]:
        """The whole, for programs."""
        outbox = self._outbox.status().to_json()
        # Who may ask is not told where on the disk it lies.
        del outbox["path"]
        return {
            "software": f"fivefold {metadata.version('fivefold')}",
            "models": [
                {"name": model.name, "version": model.version, "bundle": model.bundle.digest}
                for model in self._models()
            ],
            "outbox": outbox,
            "hub": asdict(self.sender()) if self.sender is not None else None,
            "mqtt": self.mqtt() if self.mqtt is not None else None,
            "updates": self.updates().to_json() if self.updates is not None else None,
        }

    async def answer(self, _request: Request, call: Call) -> HttpReply:
        """The handler of `PATH`."""
        return HttpReply(200, [JSON, *identity(call)], to_bytes(self.to_json()))


class GatewayCollector(Collector):
    """The metrics `fivefold_gateway_…`, made when they are scraped."""

    def __init__(self, status: GatewayStatus) -> None:
        self._status = status

    def describe(self) -> Iterable[Metric]:
        """No names before the first scrape: they need nothing of the outbox, and collide with nobody's."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """The metrics as they stand."""
        outbox = self._status.outbox()
        for name, about, read in LANE_GAUGES:
            gauge = GaugeMetricFamily(f"fivefold_gateway_{name}", about, labels=["lane"])
            for lane in outbox.lanes:
                gauge.add_metric([lane.lane], read(lane))
            yield gauge
        for name, about, read in LANE_COUNTERS:
            counter = CounterMetricFamily(f"fivefold_gateway_{name}", about, labels=["lane"])
            for lane in outbox.lanes:
                counter.add_metric([lane.lane], read(lane))
            yield counter
        yield GaugeMetricFamily("fivefold_gateway_quota_bytes", "What may wait.", value=outbox.quota_bytes)
        yield GaugeMetricFamily("fivefold_gateway_used_bytes", "What all that waits takes.", value=outbox.used_bytes)
        broken = float(outbox.broken is not None)
        yield GaugeMetricFamily("fivefold_gateway_disk_broken", "Whether the disk is trusted no more.", value=broken)
        if self._status.sender is not None:
            yield from _of_sender(self._status.sender())
        if self._status.mqtt is not None:
            yield from _of_mqtt(self._status.mqtt())
        if self._status.updates is not None:
            yield from self._status.updates().metrics()


def _of_sender(sender: SenderStatus) -> Iterable[Metric]:
    for name, about, attribute in SYNC_COUNTERS:
        yield CounterMetricFamily(f"fivefold_gateway_{name}", about, value=getattr(sender, attribute))
    about = "Attempts to reach the hub that have failed since the last that did not."
    yield GaugeMetricFamily("fivefold_gateway_sync_failed_in_row", about, value=sender.failed_in_row)


def _of_mqtt(mqtt: dict[str, Any]) -> Iterable[Metric]:
    connected = float(mqtt["connected"])
    yield GaugeMetricFamily("fivefold_gateway_mqtt_connected", "Whether the broker is there.", value=connected)
    yield GaugeMetricFamily("fivefold_gateway_mqtt_waiting", "Messages not acknowledged yet.", value=mqtt["waiting"])
    counter = CounterMetricFamily("fivefold_gateway_mqtt_messages", "Messages, by their end.", labels=["outcome"])
    for outcome, count in mqtt["messages"].items():
        counter.add_metric([outcome], count)
    yield counter


def _age(lane: LaneStatus) -> float:
    return 0.0 if lane.oldest_ms is None else max(0.0, time.time() - lane.oldest_ms / 1000)
