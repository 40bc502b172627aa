"""What is counted is what a scrape says, in the form that Prometheus' own client would have given it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.parser import text_string_to_metric_families

from fivefold.core.telemetry import FAULTS, HEALTHY, OWED, SECONDS, Telemetry, Times


@given(st.lists(st.sampled_from([*SECONDS, *(bound * 1.01 for bound in SECONDS), 0.0, 1e-9])))
def test_a_histogram_counts_as_prometheus_does(seconds: list[float]) -> None:
    """A value on a bound belongs to that bound's bucket."""
    ours, registry = Times(), CollectorRegistry()
    theirs = Histogram("t", "t", buckets=SECONDS, registry=registry)
    for value in seconds:
        ours.observe(value)
        theirs.observe(value)

    for bound, count in ours.buckets():
        assert registry.get_sample_value("t_bucket", {"le": bound}) == count
    assert registry.get_sample_value("t_sum") == pytest.approx(ours.sum)


def test_a_scrape_tells_of_every_lane() -> None:
    """Requests by code and transport; the model's own time and rows over both transports."""
    telemetry = Telemetry("online", log_sample=0.0)
    for transport, rows in (("http", 2), ("grpc", 3)):
        counters = telemetry.counters(transport, "m", "1", "digest")
        counters.rows["scored"] += rows
        counters.score_seconds.observe(0.01)
        telemetry.finished(counters, HEALTHY, started=time.perf_counter(), request_id="a")
    telemetry.finished(telemetry.counters("http"), "model_not_found", started=time.perf_counter(), request_id="b")

    body, media_type = telemetry.expose()
    samples = {
        (sample.name, *(sample.labels.get(key, "") for key in ("model", "transport", "code", "outcome", "le"))): value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
        for value in [sample.value]
    }

    assert media_type.startswith("text/plain")
    assert samples["fivefold_requests_total", "m", "http", "ok", "", ""] == 1
    assert samples["fivefold_requests_total", "m", "grpc", "ok", "", ""] == 1
    assert samples["fivefold_requests_total", "", "http", "model_not_found", "", ""] == 1
    assert samples["fivefold_rows_total", "m", "", "", "scored", ""] == 5
    assert samples["fivefold_score_seconds_count", "m", "", "", "", ""] == 2
    assert samples["fivefold_score_seconds_bucket", "m", "", "", "", "0.01"] == 2
    assert samples["fivefold_request_seconds_count", "m", "http", "", "", ""] == 1
    assert not any(name == "fivefold_score_seconds_count" and not model for name, model, *_ in samples)


def test_what_is_owed_counts_from_zero_and_a_callers_deadline_is_not_owed() -> None:
    """Before any request; a caller may ask for an answer within no time."""
    telemetry = Telemetry("online", log_sample=0.0)
    telemetry.counters("http", "m", "1", "digest")
    labels = {"pattern": "online", "model": "m", "version": "1", "transport": "http"}

    asked = {
        code: telemetry.registry.get_sample_value("fivefold_requests_total", labels | {"code": code}) for code in OWED
    }

    assert asked == dict.fromkeys(OWED, 0.0)
    assert FAULTS | {"overloaded", "not_ready"} == set(OWED)
