"""One worker process from its start to its end: the bundle, the log, health, progress, and signals."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from math import inf
from pathlib import Path
from typing import IO, TYPE_CHECKING

from fivefold.core.settings import SettingsError, address, read
from fivefold.stream.addresses import TopicAddress
from fivefold.stream.log_opening import open_log
from fivefold.stream.log_waiting import PATIENCE, LogWait
from fivefold.stream.registry_settings import RegistrySettings
from fivefold.stream.settings import StreamSettings

if TYPE_CHECKING:
    from fivefold.local.health_server import HealthServer
    from fivefold.stream.metrics import StreamMetrics
    from fivefold.stream.version_reader import Avro
    from fivefold.stream.worker import Counts, StreamWorker

LINE_SECONDS = 1.0
"""How often progress is shown, and how far the log is ahead looked at."""


def run(
    model: str,
    source: TopicAddress,
    to: TopicAddress,
    dead_letter: TopicAddress,
    settings: StreamSettings,
    registry: RegistrySettings,
    *,
    directory: str | Path,
    once: bool,
    out: IO[str],
    stopped: Callable[[float], bool],
) -> Counts:
    """Score events until `stopped`, or until all are done that are there now; raises what its parts raise.

    One that is stopped while it waits, for its broker or its bundle, ends as at any other moment: nothing of what was
    in its hands is done. With `once` that is a `KeyboardInterrupt`, since not all is done.
    """
    done: deque[Counts] = deque(maxlen=1)
    try:
        return _work(
            model,
            source,
            to,
            dead_letter,
            settings,
            registry,
            directory=directory,
            once=once,
            out=out,
            stopped=stopped,
            done=done.append,
        )
    except KeyboardInterrupt:
        if once or not stopped(0):
            raise
        # It takes a second to import, and is not here yet where nothing was done.
        from fivefold.stream.worker import Counts

        out.write("ended while it waited\n" if done else "ended before it had begun\n")
        return done[-1] if done else Counts()


def _work(
    model: str,
    source: TopicAddress,
    to: TopicAddress,
    dead_letter: TopicAddress,
    settings: StreamSettings,
    registry: RegistrySettings,
    *,
    directory: str | Path,
    once: bool,
    out: IO[str],
    stopped: Callable[[float], bool],
    done: Callable[[Counts], object],
) -> Counts:
    def check() -> None:
        if stopped(0):
            raise KeyboardInterrupt

    def told(reason: str) -> None:
        out.write(f"{reason}\n")
        out.flush()

    if settings.result_format == "avro" and not registry.registry_url:
        raise SettingsError("result_format: avro needs a schema registry (--registry, FIVEFOLD_REGISTRY_URL)")
    with ExitStack() as stack:
        # The log first, and before anything is imported that takes a second: a broker then ends what this slot's dead
        # worker has begun, and readers of committed events wait for that. It joins its group with the first poll.
        log = stack.enter_context(
            open_log(
                source,
                (to, dead_letter),
                settings.group,
                directory=directory,
                slot=settings.slot,
                start=settings.start,
                same_partition=settings.same_partition,
                # Who is to end waits no longer than a call; a worker may be there before its broker.
                waiting=LogWait(PATIENCE if once else inf, check, told),
            )
        )
        from fivefold.core.runtime.scorer import Scorer
        from fivefold.delivery.fetch import fetch
        from fivefold.delivery.settings import DeliverySettings
        from fivefold.stream.browsing import latest
        from fivefold.stream.contract_gate import LAST, refuse_fewer_versions
        from fivefold.stream.metrics import StreamMetrics
        from fivefold.stream.scoring import EventScorer
        from fivefold.stream.worker import StreamWorker

        bundle = fetch(model, read(DeliverySettings), check=check)
        if not settings.accept_contract_change:
            refuse_fewer_versions(lambda: latest(to, directory, LAST), bundle.views, told)
        scorer = Scorer.open(bundle)
        stack.callback(scorer.close)
        avro = _avro(registry, to.topic) if registry.registry_url else None
        events = EventScorer(
            scorer,
            to=to.topic,
            dead_letter=dead_letter.topic,
            group=settings.group,
            same_partition=settings.same_partition,
            avro=avro,
            result_format=settings.result_format,
        )
        if settings.result_format == "avro":
            events.prepare()
        line = stack.enter_context(_progress(out))
        metrics = StreamMetrics(bundle)
        looked = 0.0

        def seen(counts: Counts) -> None:
            nonlocal looked
            done(counts)
            line(counts)
            if settings.health and time.monotonic() - looked >= LINE_SECONDS:
                metrics.update(counts, log.lag())
                looked = time.monotonic()

        def rewound(reason: str) -> None:
            out.write(f"read again: {reason}\n")

        worker = StreamWorker(
            log,
            events,
            settings,
            stopped=stopped,
            seen=seen,
            rewound=rewound,
            waiting=lambda reason: told(f"events wait: {reason}"),
        )
        if settings.health:
            stack.enter_context(_health(worker, metrics, settings))
        return worker.run(once=once)


def _avro(settings: RegistrySettings, topic: str) -> Avro:
    from fivefold.stream.avro_events import AvroEvents
    from fivefold.stream.avro_results import AvroResults, record_names
    from fivefold.stream.registry_client import SchemaRegistry

    registry = SchemaRegistry(settings)
    return lambda contract: (AvroEvents(registry, record_names(contract)), AvroResults(registry, contract, topic))


def _health(worker: StreamWorker, metrics: StreamMetrics, settings: StreamSettings) -> HealthServer:
    from fivefold.local.health_server import HealthServer

    host, port = address(settings.health, "health")
    return HealthServer(
        host,
        port,
        ready=lambda: worker.steps > 0,
        live=lambda: worker.idle_seconds() < settings.stall_seconds,
        registry=metrics.registry,
    )


@contextmanager
def _progress(out: IO[str]) -> Iterator[Callable[[Counts], None]]:
    """A line of progress on a terminal, once a second; one at the end everywhere."""
    from fivefold.stream.worker import Counts

    begun = told = time.monotonic()
    last = Counts()

    def tell(counts: Counts) -> None:
        nonlocal told, last
        last = counts
        now = time.monotonic()
        if out.isatty() and now - told >= LINE_SECONDS:
            told = now
            out.write(f"\r\x1b[K{_said(counts, now - begun)}")
            out.flush()

    try:
        yield tell
    finally:
        if out.isatty():
            out.write("\r\x1b[K")
        out.write(f"{_said(last, time.monotonic() - begun)}\n")


def _said(counts: Counts, seconds: float) -> str:
    rate = counts.events / seconds if seconds > 0 else 0.0
    codes = ", ".join(f"{code} {count:,}" for code, count in counts.codes.most_common(3))
    return (
        f"{counts.events:,} events: {counts.results:,} results, {counts.dead:,} dead letters"
        f"{f' ({codes})' if codes else ''}, {rate:,.0f} events/s"
    )
