"""A worker's metrics, in a registry of its own; who serves them is left to the caller.

    fivefold_stream_events_total{model,version,outcome}           outcome: scored, dead_letter
    fivefold_stream_dead_letters_total{model,version,code}
    fivefold_stream_batches_total, fivefold_stream_rewinds_total, fivefold_stream_waits_total {model,version}
    fivefold_stream_score_seconds_total, fivefold_stream_commit_seconds_total {model,version}
    fivefold_stream_oldest_seconds{model,version}                 age of the oldest event of the last batch
    fivefold_stream_lag{topic,partition}                          events that are in the log and not done
    fivefold_contract_requests_total{pattern,model,version,contract}   events, where a bundle answers several versions
    fivefold_bundle_info{pattern,model,version,bundle,contract,runtime}

Everything is copied from the worker's counts in the worker's own thread, so a scrape never meets a log.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from fivefold.core.bundle.bundle import Bundle
from fivefold.stream.events import Place
from fivefold.stream.worker import Counts

PREFIX = "fivefold_stream_"


class StreamMetrics(Collector):
    """What a worker has done, as a scrape asks for it."""

    def __init__(self, bundle: Bundle) -> None:
        """Metrics of a worker that scores by this bundle, in `registry`."""
        contract = bundle.contract
        self._model = [bundle.name, bundle.version]
        self._info = {
            "pattern": "stream",
            "model": bundle.name,
            "version": bundle.version,
            "bundle": bundle.digest,
            "contract": f"{contract.name}@{contract.version}",
            "runtime": bundle.manifest.runtime,
        }
        self._families: list[Metric] = self._made(Counts(), {})
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def update(self, counts: Counts, lag: Mapping[Place, int]) -> None:
        """Show these from now on."""
        self._families = self._made(counts, lag)

    def collect(self) -> Iterator[Metric]:
        """See `Collector`."""
        yield from self._families

    def _made(self, counts: Counts, lag: Mapping[Place, int]) -> list[Metric]:
        events = _counter("events", "Events that have a result or a dead letter.", "model", "version", "outcome")
        events.add_metric([*self._model, "scored"], counts.results)
        events.add_metric([*self._model, "dead_letter"], counts.dead)
        codes = _counter("dead_letters", "Dead letters by code.", "model", "version", "code")
        for code, count in sorted(counts.codes.items()):
            codes.add_metric([*self._model, code], count)
        versions = CounterMetricFamily(
            "fivefold_contract_requests",
            "Events by the contract version that they were read under.",
            labels=["pattern", "model", "version", "contract"],
        )
        for contract_version, count in sorted(counts.versions.items()):
            versions.add_metric(["stream", *self._model, contract_version], count)
        out: list[Metric] = [events, codes, versions]
        for name, about, value in (
            ("batches", "Transactions that were committed with events.", counts.batches),
            ("rewinds", "Batches that were read again, because their transaction did not count.", counts.rewinds),
            ("waits", "Batches that had to wait for the schema registry.", counts.waits),
            ("score_seconds", "Time spent reading, scoring and writing events.", counts.score_seconds),
            ("commit_seconds", "Time spent in transactions.", counts.commit_seconds),
        ):
            family = _counter(name, about, "model", "version")
            family.add_metric(self._model, value)
            out.append(family)
        oldest = _gauge("oldest_seconds", "Age of the last batch's oldest event at its commit.", "model", "version")
        oldest.add_metric(self._model, counts.oldest)
        behind = _gauge("lag", "Events that are in the log and not done.", "topic", "partition")
        for place, count in sorted(lag.items()):
            behind.add_metric([place.topic, str(place.partition)], count)
        info = GaugeMetricFamily("fivefold_bundle_info", "The bundle that scores.", labels=list(self._info))
        info.add_metric(list(self._info.values()), 1)
        return [*out, oldest, behind, info]


def _counter(name: str, about: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(PREFIX + name, about, labels=labels)


def _gauge(name: str, about: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, about, labels=labels)
