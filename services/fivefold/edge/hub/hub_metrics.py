"""The hub's metrics, made when they are scraped.

fivefold_hub_events_total, fivefold_hub_known_lines_total, fivefold_hub_rejected_lines_total
                                    lines of this process: stored, known already, quarantined
fivefold_hub_transactions_total     transactions that stored them
fivefold_hub_failed_transactions_total
                                    those that the store did not take: devices send again
fivefold_hub_waiting_batches        batches that wait for the store
fivefold_hub_head                   position of the last event in the store
fivefold_hub_devices                devices
fivefold_hub_devices_seen{within}   heard of within 5m, 1h, 24h
fivefold_hub_silent_devices         devices with a key that were heard of once, and not within 24 hours
fivefold_hub_backlog{lane}          events that wait on devices, as they last reported
fivefold_hub_quarantined            lines in quarantine
fivefold_hub_copied_devices         devices of which a copied outbox was refused within the last 24 hours
fivefold_hub_release_halted{model,release}
                                    1 where the newest release of a model is halted
fivefold_hub_release_devices{model,release,state}
                                    devices by what they said of a model's newest release
fivefold_hub_disk_bytes, fivefold_hub_disk_free_bytes
                                    of the store's disk, where that is this machine's
fivefold_hub_forwarded_position, fivefold_hub_forwarding_trouble     where events go on to a log
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable, Iterator

import msgspec
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from fivefold.core.errors import FivefoldError
from fivefold.edge.hub.batch_commit import BatchCommit
from fivefold.edge.hub.database import HubDatabase
from fivefold.edge.hub.device_register import milliseconds
from fivefold.edge.hub.event_ledger import head_position
from fivefold.edge.hub.forward_loop import ForwardLoop
from fivefold.edge.hub.release_shelf import ShelvedRelease, list_releases

PREFIX = "fivefold_hub_"
DAY = 86_400_000
WITHIN = (("5m", 300_000), ("1h", 3_600_000), ("24h", DAY))


class HubMetrics(Collector):
    """What a hub has done and holds."""

    def __init__(self, database: HubDatabase, commit: BatchCommit, forwarding: ForwardLoop | None) -> None:
        self._database, self._commit, self._forwarding = database, commit, forwarding

    def describe(self) -> Iterable[Metric]:
        """Nothing is asked of the store before somebody scrapes."""
        return []

    def collect(self) -> Iterator[Metric]:
        """See `Collector`; where the store does not answer, what it would say is left out."""
        commit = self._commit
        yield CounterMetricFamily(PREFIX + "events", "Events that were stored.", commit.stored)
        yield CounterMetricFamily(PREFIX + "known_lines", "Lines that were here already.", commit.known)
        yield CounterMetricFamily(PREFIX + "rejected_lines", "Lines that went into quarantine.", commit.rejected)
        yield CounterMetricFamily(PREFIX + "transactions", "Transactions of events.", commit.transactions)
        about = "Transactions that the store did not take."
        yield CounterMetricFamily(PREFIX + "failed_transactions", about, commit.failures)
        yield GaugeMetricFamily(PREFIX + "waiting_batches", "Batches that wait for the store.", commit.waiting)
        forwarding = self._forwarding
        if forwarding is not None:
            trouble = float(forwarding.trouble is not None)
            yield GaugeMetricFamily(PREFIX + "forwarding_trouble", "1 while events cannot go on.", trouble)
            if forwarding.position is not None:
                yield GaugeMetricFamily(
                    PREFIX + "forwarded_position", "Position of the last event in the log.", forwarding.position
                )
        if self._database.directory is not None:
            with contextlib.suppress(OSError):
                disk = shutil.disk_usage(self._database.directory)
                yield GaugeMetricFamily(PREFIX + "disk_bytes", "The store's disk.", disk.total)
                yield GaugeMetricFamily(PREFIX + "disk_free_bytes", "What is free of it.", disk.free)
        try:
            yield from self._stored()
        except FivefoldError:
            return

    def _stored(self) -> list[Metric]:
        now = milliseconds()
        with self._database.reading() as connection:
            head = head_position(connection)
            ((quarantined,),) = connection.execute("SELECT count(*) FROM hub_quarantine")
            rows = connection.execute("SELECT seen, report, id FROM hub_devices")
            ((copied,),) = connection.execute(
                "SELECT count(DISTINCT device) FROM hub_copies WHERE at > ?", (now - DAY,)
            )
            keyed = {each for (each,) in connection.execute("SELECT DISTINCT device FROM hub_keys")}
            newest = {each.model: each for each in reversed(list_releases(connection))}
        seen = GaugeMetricFamily(PREFIX + "devices_seen", "Devices that were heard of lately.", labels=["within"])
        for name, span in WITHIN:
            seen.add_metric([name], sum(at is not None and now - at <= span for at, _, _ in rows))
        waiting: dict[str, int] = {}
        for _, report, _ in rows:
            if report is not None:
                for lane, count in msgspec.json.decode(bytes(report))["backlog"].items():
                    waiting[lane] = waiting.get(lane, 0) + count
        backlog = GaugeMetricFamily(PREFIX + "backlog", "Events that wait on devices.", labels=["lane"])
        for lane, count in sorted(waiting.items()):
            backlog.add_metric([lane], count)
        silent = sum(at is not None and now - at > DAY and id in keyed for at, _, id in rows)
        return [
            *_releases(newest.values()),
            GaugeMetricFamily(PREFIX + "silent_devices", "Devices that were not heard of for a day.", silent),
            GaugeMetricFamily(PREFIX + "head", "Position of the last event in the store.", head),
            GaugeMetricFamily(PREFIX + "devices", "Devices.", len(rows)),
            GaugeMetricFamily(PREFIX + "quarantined", "Lines in quarantine.", int(quarantined)),
            GaugeMetricFamily(PREFIX + "copied_devices", "Devices with a copied outbox, of late.", int(copied)),
            seen,
            backlog,
        ]


def _releases(newest: Iterable[ShelvedRelease]) -> list[Metric]:
    halted = GaugeMetricFamily(
        PREFIX + "release_halted", "1 where a model's newest release is halted.", labels=["model", "release"]
    )
    devices = GaugeMetricFamily(
        PREFIX + "release_devices", "Devices by their word of it.", labels=["model", "release", "state"]
    )
    for each in newest:
        halted.add_metric([each.model, str(each.release)], each.halted is not None)
        for state, count in each.devices.items():
            devices.add_metric([each.model, str(each.release), state], count)
    return [halted, devices]
