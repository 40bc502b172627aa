"""What a replica has counted, as Ray is told of it."""

from __future__ import annotations

import time
from typing import Any

import pytest
from ray.util import metrics

from fivefold.core.telemetry import OWED, Telemetry
from fivefold.online.ray.metrics_copy import Copy

Key = tuple[str, str, str]


@pytest.fixture
def totals(monkeypatch: pytest.MonkeyPatch) -> dict[Key, list[float]]:
    """Ray's counters with what each has come to after every increment; Ray itself refuses what it does not take."""
    out: dict[Key, list[float]] = {}

    class Recorded(metrics.Counter):
        def inc(self, value: float = 1.0, tags: dict[str, str] | None = None) -> None:
            super().inc(value, tags)
            key = self.info["name"], (tags or {}).get("code", ""), (tags or {}).get("le", "")
            before = out.setdefault(key, [0.0])
            before.append(before[-1] + value)

    monkeypatch.setattr(metrics, "Counter", Recorded)
    return out


def test_a_counter_is_there_before_its_first_failure(totals: dict[Key, list[float]]) -> None:
    """A rate sees the first one only where something was before it; nothing is added to what follows."""
    telemetry = Telemetry("online", log_sample=0.0)
    counters = telemetry.counters("http", "demo", "1", "digest")
    copy = Copy(telemetry.registry)

    copy.update()
    begun: dict[Key, Any] = {key: list(values) for key, values in totals.items()}
    for code in ("ok", "ok", "internal"):
        telemetry.finished(counters, code, started=time.perf_counter(), request_id="a")
    copy.update()
    copy.update()

    assert {code for name, code, _ in begun if name == "fivefold_requests_total"} == {"ok", *OWED}
    assert all(0 < values[-1] < 1e-300 for values in begun.values())
    assert totals["fivefold_requests_total", "ok", ""][-1] == 2.0
    assert totals["fivefold_requests_total", "internal", ""][-1] == 1.0
    assert len(totals["fivefold_requests_total", "overloaded", ""]) == 2
    assert totals["fivefold_request_seconds_bucket", "", "+Inf"][-1] == 3.0
