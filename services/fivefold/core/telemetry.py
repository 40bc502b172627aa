"""One telemetry vocabulary for every workload: metric names, log fields, span names.

    metric    fivefold_requests_total{pattern,model,version,transport,code}
              fivefold_request_seconds{pattern,model,version,transport}   fivefold_score_seconds{pattern,model,version}
              fivefold_rows_total{pattern,model,version,outcome}          outcome: scored, refused, failed
              fivefold_inflight{pattern}
              fivefold_keys_age_seconds{pattern}              where API keys are asked for
              fivefold_bundle_info{pattern,model,version,bundle,contract,runtime}
              fivefold_contract_requests_total{pattern,model,version,contract}
                                                              where a bundle answers several contract versions
    log line  time level event pattern transport model version bundle code rows milliseconds request_id trace_id
              and error, path, exception where there are any
    span      receive > queue, check, score, encode

What is counted, and when, is left to the workload; serving `/metrics` to its HTTP adapter; where log lines go to the
handlers of the `fivefold` logger (`log_to` gives it one).
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import random
import time
import traceback
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import IO, Any, NamedTuple

import msgspec
from opentelemetry import propagate, trace
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from fivefold.core import redact

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of the time histograms: half a millisecond (one row, small model) to half a minute (a big batch)."""

OUTCOMES = ("scored", "refused", "failed")

LOGGER = logging.getLogger("fivefold")

HEALTHY = "ok"
"""The `code` of a request that was answered."""

FAULTS = frozenset({"internal", "model_failed"})
"""Codes that are our side's fault, logged as errors; the others are warnings."""

OWED = (*sorted(FAULTS), "not_ready", "overloaded")
"""Codes of answers that were owed and not given, which alerts divide by all requests. `deadline_exceeded` is none of
them: the caller names the deadline, and a request that was slow counts as that."""


class Stage(NamedTuple):
    """One child span: its name, and start and end on `time.perf_counter` in seconds."""

    name: str
    start: float
    end: float


class Times:
    """A histogram of seconds, counted by one thread and read by any: `observe` is two list operations and a sum."""

    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(SECONDS) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(SECONDS, seconds)] += 1
        self.sum += seconds

    def add(self, other: Times) -> None:
        """Everything that another one has counted."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.sum += other.sum

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative counts by upper bound, as Prometheus wants them."""
        totals = accumulate(list(self.counts))
        return list(zip((*map(floatToGoString, SECONDS), "+Inf"), totals, strict=True))


class Counters:
    """What one (model, version, transport) has done.

    These are plain numbers, since all requests of a process are counted by the one thread that its event loop runs on;
    a scrape turns them into metrics.
    """

    __slots__ = ("bundle", "codes", "model", "request_seconds", "rows", "score_seconds", "transport", "version")

    def __init__(self, model: str, version: str, transport: str, bundle: str) -> None:
        self.model, self.version, self.transport, self.bundle = model, version, transport, bundle
        # A counter that begins with its first failure has no increase in it: who divides needs the zero before.
        self.codes = dict.fromkeys((HEALTHY, *OWED), 0)
        self.rows = dict.fromkeys(OUTCOMES, 0)
        self.request_seconds, self.score_seconds = Times(), Times()

    def count(self, code: str) -> None:
        """One more request that ended with `code`."""
        self.codes[code] = self.codes.get(code, 0) + 1


class Telemetry:
    """A process's metrics, log lines and spans for one pattern (`online`, `batch`, `stream`, `edge`).

    `log_sample` is the share of healthy requests that get a line. `tracer` is None where nothing exports spans: then
    none are made. Metrics live in a registry of their own, so several of these can share a process.
    """

    def __init__(
        self,
        pattern: str,
        *,
        log_sample: float = 0.01,
        tracer: trace.Tracer | None = None,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self.pattern = pattern
        self.log_sample = log_sample
        self.tracer = tracer
        self.registry = registry = registry or CollectorRegistry()
        where = ["pattern", "model", "version"]
        self._counters: dict[tuple[str, str, str], Counters] = {}
        registry.register(_CounterCollector(pattern, self._counters))
        self._under: dict[tuple[str, str, str], Counter] = {}
        self._contracts = Counter(
            "fivefold_contract_requests",
            "Requests by the contract version that they were read under.",
            [*where, "contract"],
            registry=registry,
        )
        self._inflight = Gauge("fivefold_inflight", "Requests in work.", ["pattern"], registry=registry)
        self._bundles = Gauge(
            "fivefold_bundle_info",
            "One for each bundle that is loaded.",
            [*where, "bundle", "contract", "runtime"],
            registry=registry,
        )
        self._devices = Gauge(
            "fivefold_model_device_info",
            "One for each model that is loaded, with the device that it runs on.",
            [*where, "device"],
            registry=registry,
        )

    def under(self, model: str, version: str, contract: str, count: int = 1) -> None:
        """Count requests (in streams events, in files rows) that asked for a contract version: what says when a version
        is no longer in use."""
        key = model, version, contract
        child = self._under.get(key)
        if child is None:
            child = self._under[key] = self._contracts.labels(self.pattern, *key)
        child.inc(count)

    def counters(self, transport: str, model: str = "", version: str = "", bundle: str = "") -> Counters:
        """The metrics of a model on a transport; without a model those of requests that never reached one."""
        key = (model, version, transport)
        counters = self._counters.get(key)
        if counters is None:
            counters = self._counters[key] = Counters(model, version, transport, bundle)
        return counters

    def inflight(self, current: Callable[[], float]) -> None:
        """Report the number of requests in work from `current` at every scrape."""
        self._inflight.labels(self.pattern).set_function(current)

    def keys_age(self, current: Callable[[], float]) -> None:
        """Report from `current` at every scrape for how long the files of API keys have not been read."""
        gauge = Gauge(
            "fivefold_keys_age_seconds",
            "Since the files of API keys were last known to be as they are served.",
            ["pattern"],
            registry=self.registry,
        )
        gauge.labels(self.pattern).set_function(current)

    def bundle(self, *, model: str, version: str, bundle: str, contract: str, runtime: str, device: str = "") -> None:
        """Announce a loaded bundle, and the device that its model runs on where that is known."""
        for counters in list(self._counters.values()):
            if (counters.model, counters.version) == (model, version):
                counters.bundle = bundle
        self._bundles.labels(self.pattern, model, version, bundle, contract, runtime).set(1)
        if device:
            self._devices.labels(self.pattern, model, version, device).set(1)

    def bundle_gone(
        self, *, model: str, version: str, bundle: str, contract: str, runtime: str, device: str = ""
    ) -> None:
        """Take back what `bundle` has announced."""
        self._bundles.remove(self.pattern, model, version, bundle, contract, runtime)
        if device:
            self._devices.remove(self.pattern, model, version, device)

    def expose(self, accept: str = "") -> tuple[bytes, str]:
        """The metrics as a scrape's body and its media type, OpenMetrics where `accept` asks for it."""
        encoder, media_type = choose_encoder(accept)
        return encoder(self.registry), media_type

    def finished(
        self,
        counters: Counters,
        code: str,
        *,
        started: float,
        request_id: str,
        rows: int = 0,
        trace_id: str = "",
        error: BaseException | None = None,
    ) -> None:
        """Count, time and log one request that ended now; `started` is on `time.perf_counter`, in seconds."""
        seconds = time.perf_counter() - started
        counters.count(code)
        counters.request_seconds.observe(seconds)
        if code == HEALTHY and (not self.log_sample or random.random() >= self.log_sample):  # noqa: S311  # no secret
            return
        level = logging.INFO if code == HEALTHY else logging.ERROR if code in FAULTS else logging.WARNING
        line: dict[str, Any] = {
            "event": "request",
            "pattern": self.pattern,
            "transport": counters.transport,
            "model": counters.model,
            "version": counters.version,
            "bundle": counters.bundle,
            "code": code,
            "rows": rows,
            "milliseconds": round(seconds * 1000, 3),
            "request_id": request_id,
            "trace_id": trace_id,
        }
        if error is not None:
            line |= describe(error)
        log(level, line)

    def span(self, traceparent: str | None, started: float, **attributes: Any) -> trace.Span | None:
        """Open the span `receive` below the caller's context, or None where nothing exports spans."""
        if self.tracer is None:
            return None
        parent = propagate.extract({"traceparent": traceparent}) if traceparent else None
        return self.tracer.start_span(
            "receive",
            context=parent,
            kind=trace.SpanKind.SERVER,
            start_time=_wall(started),
            attributes={f"fivefold.{name}": value for name, value in attributes.items()},
        )

    def end_span(self, span: trace.Span, stages: Sequence[Stage], code: str) -> None:
        """Close `receive` with its children. They are made after the fact, so that the work itself is not slowed."""
        if self.tracer is None:
            return
        context = trace.set_span_in_context(span)
        for stage in stages:
            child = self.tracer.start_span(stage.name, context=context, start_time=_wall(stage.start))
            child.end(_wall(stage.end))
        span.set_attribute("fivefold.code", code)
        if code in FAULTS:
            span.set_status(trace.StatusCode.ERROR, code)
        span.end()


class _CounterCollector(Collector):
    """The counters as Prometheus metrics, made when they are scraped."""

    def __init__(self, pattern: str, counters: Mapping[tuple[str, str, str], Counters]) -> None:
        self._pattern = pattern
        self._counters = counters

    def describe(self) -> Iterable[Metric]:
        """The metrics' names, for a registry that must not hold one twice."""
        return self._families()

    def collect(self) -> Iterable[Metric]:
        """The metrics as they stand."""
        requests, request_seconds, score_seconds, rows = families = self._families()
        scored: dict[tuple[str, str], Times] = {}
        done: dict[tuple[str, str, str], int] = {}
        for counters in list(self._counters.values()):
            where = [self._pattern, counters.model, counters.version]
            for code, count in list(counters.codes.items()):
                requests.add_metric([*where, counters.transport, code], count)
            asked = counters.request_seconds
            request_seconds.add_metric([*where, counters.transport], asked.buckets(), asked.sum)
            if counters.model:
                scored.setdefault((counters.model, counters.version), Times()).add(counters.score_seconds)
                for outcome, count in counters.rows.items():
                    key = counters.model, counters.version, outcome
                    done[key] = done.get(key, 0) + count
        for (model, version), times in scored.items():
            score_seconds.add_metric([self._pattern, model, version], times.buckets(), times.sum)
        for key, count in done.items():
            rows.add_metric([self._pattern, *key], count)
        return families

    def _families(
        self,
    ) -> tuple[CounterMetricFamily, HistogramMetricFamily, HistogramMetricFamily, CounterMetricFamily]:
        where = ["pattern", "model", "version"]
        return (
            CounterMetricFamily(
                "fivefold_requests", "Requests, by how they ended.", labels=[*where, "transport", "code"]
            ),
            HistogramMetricFamily(
                "fivefold_request_seconds", "From the whole request to the whole answer.", labels=[*where, "transport"]
            ),
            HistogramMetricFamily("fivefold_score_seconds", "In the model.", labels=where),
            CounterMetricFamily("fivefold_rows", "Rows, by what became of them.", labels=[*where, "outcome"]),
        )


def describe(error: BaseException) -> dict[str, str]:
    """An error's log fields: its sentence and path, and the exception behind it with its traceback."""
    out = {"error": str(error)}
    path = getattr(error, "path", "")
    if path:
        out["path"] = path
    cause = error.__cause__
    if cause is not None:
        # A library's own words may quote an address whose query lets one in.
        out["exception"] = redact.text("".join(traceback.format_exception(cause)))
    return out


def log(level: int, line: dict[str, Any]) -> None:
    """Write one JSON line to the `fivefold` logger; time and level come first."""
    if LOGGER.isEnabledFor(level):
        now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
        head = {"time": now.replace("+00:00", "Z"), "level": logging.getLevelName(level).lower()}
        LOGGER.log(level, "%s", _text(head | _FIELDS | line))


LONGEST = 2048
"""Characters of one value of a log line; an exception's traceback may have four times as many."""


def _text(line: dict[str, Any]) -> str:
    """A line as JSON, its texts cut where that is needed: not where all of it is short, and valid UTF-8."""
    try:
        text = msgspec.json.encode(line)
    except UnicodeEncodeError:
        text = b""
    if not 0 < len(text) <= LONGEST:
        shown = {name: _cut(value, name) if isinstance(value, str) else value for name, value in line.items()}
        text = msgspec.json.encode(shown)
    return text.decode()


def _cut(text: str, name: str) -> str:
    """A text that may be the caller's, short enough for a line and valid UTF-8."""
    most = 4 * LONGEST if name == "exception" else LONGEST
    if len(text) > most:
        text = f"{text[: most // 2]} … {text[-most // 2 :]}"
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


_FIELDS: dict[str, str] = {}
"""What every line of this process has."""


def log_to(stream: IO[str], **fields: str) -> None:
    """Send the log lines to a stream, as they are, and nowhere else; each has these fields behind time and level."""
    _FIELDS.clear()
    _FIELDS.update(fields)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(message)s"))
    LOGGER.handlers[:] = [handler]
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False


def traceparent(span: trace.Span) -> str:
    """A span's context as the W3C header's value."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier, trace.set_span_in_context(span))
    return carrier.get("traceparent", "")


def tracer_if_asked(service: str) -> trace.Tracer | None:
    """`exporting_tracer` where the standard variables name an endpoint, otherwise None."""
    variables = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    return exporting_tracer(service) if any(os.environ.get(name) for name in variables) else None


def exporting_tracer(service: str) -> trace.Tracer:
    """A tracer whose spans go to the OTLP endpoint that the standard `OTEL_*` variables name.

    Needs the SDK and the exporter, which come with the `online` extra.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider.get_tracer("fivefold")


def _wall(moment: float) -> int:
    """A moment of `time.perf_counter` (seconds) in nanoseconds since 1970, as spans want it."""
    return time.time_ns() - round((time.perf_counter() - moment) * 1e9)
