"""How a gateway's updates stand: as JSON for the status, as metrics for whoever scrapes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from fivefold.core.errors import FivefoldError
from fivefold.edge.sync.lane_protocol import ModelReport

OUTCOMES: Final = ("taken", "rolled_back", "refused")
SERVED: Final = ("active", "testing")


@dataclass(frozen=True, slots=True)
class UpdateStatus:
    """The releases of a device's models."""

    models: Sequence[ModelReport]
    """What each serves, and the last release that it does not, as the hub is told."""
    counts: Mapping[tuple[str, str], int]
    """By model and one of `OUTCOMES`, since the gateway started."""
    problem: FivefoldError | None
    """Why the last look for releases came to nothing; None where it did not."""

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        problem = self.problem and {"code": self.problem.code, "error": str(self.problem)}
        return {"models": msgspec.to_builtins(self.models), "counts": self._counts(), "problem": problem}

    def metrics(self) -> Iterable[Metric]:
        """For whoever scrapes the gateway."""
        release = GaugeMetricFamily(
            "fivefold_gateway_release",
            "The release that is served; 0 is what the device came with.",
            labels=["model", "version"],
        )
        testing = GaugeMetricFamily("fivefold_gateway_release_testing", "Whether it is on trial.", labels=["model"])
        ended = GaugeMetricFamily(
            "fivefold_gateway_release_ended",
            "The last release that was taken back or refused.",
            labels=["model", "version", "outcome"],
        )
        for each in self.models:
            if each.state in SERVED:
                release.add_metric([each.name, each.version], each.release or 0)
                testing.add_metric([each.name], each.state == "testing")
            else:
                ended.add_metric([each.name, each.version, each.state], each.release or 0)
        yield from (release, testing, ended)
        about = "Releases since the start, by what became of them."
        counter = CounterMetricFamily("fivefold_gateway_updates", about, labels=["model", "outcome"])
        for model, counts in self._counts().items():
            for outcome, count in counts.items():
                counter.add_metric([model, outcome], count)
        yield counter
        about = "Whether the last look for releases came to nothing."
        yield GaugeMetricFamily("fivefold_gateway_update_failing", about, value=float(self.problem is not None))

    def _counts(self) -> dict[str, dict[str, int]]:
        """With zeros, so that the first of each is seen to come."""
        return {
            model: {outcome: self.counts.get((model, outcome), 0) for outcome in OUTCOMES}
            for model in dict.fromkeys(each.name for each in self.models)
        }
