"""A copy of the process's Prometheus metrics in Ray's own, which every node of a cluster exposes.

A scrape of `/metrics` through the load balancer meets one replica at random; Ray's exporter has them all. What is
measured is left to `fivefold.core.telemetry`; Ray prefixes the names with `ray_` and adds which replica spoke.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


NOTHING = sys.float_info.min
"""What a counter begins with: Ray takes no zero, and has no series before the first increment. A rate over a series
that begins with its first failure misses that one. Added to the first whole number it is gone."""


class Copy:
    """Copies counters, gauges and histograms of a registry; a histogram becomes its buckets, sum and count."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._metrics: dict[str, Any] = {}
        self._seen: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}

    def update(self) -> None:
        """Bring Ray's metrics up to date."""
        from ray.util.metrics import Counter, Gauge

        for family in self._registry.collect():
            kind: Any = Gauge if family.type == "gauge" else Counter
            for sample in family.samples:
                if sample.name.endswith("_created"):
                    continue
                metric = self._metrics.get(sample.name)
                if metric is None:
                    keys = tuple(sample.labels)
                    metric = self._metrics[sample.name] = kind(sample.name, family.documentation, tag_keys=keys)
                if family.type == "gauge":
                    metric.set(sample.value, tags=sample.labels)
                    continue
                key = sample.name, tuple(sample.labels.items())
                seen = self._seen.get(key)
                if seen is None:
                    metric.inc(NOTHING, tags=sample.labels)
                    self._seen[key] = seen = 0.0
                if sample.value > seen:
                    metric.inc(sample.value - seen, tags=sample.labels)
                    self._seen[key] = sample.value
