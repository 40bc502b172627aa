"""Events a second on one core, and how soon a result is there, on a real Kafka beside other programs.

    python -m loadtest.stream throughput [--events N] [--rounds 5] [--only NAME …]

A forest of fifty trees over twenty numbers. Every program gets the same topic, which is full before it starts, a group
of its own and one core; the broker has the other ones. What counts is when the broker got the records that come out,
the first fifth left out, so that nobody's start counts. Each round goes through all, every second one backwards.

Then events come at half of Fivefold's own rate (`--load`): how long from an event's time until a reader of committed
records has the result.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from confluent_kafka import Producer, TopicPartition

from loadtest.machine.host import halves, pinned
from loadtest.machine.measurement import Failed, say
from loadtest.machine.programs import ENVIRONMENTS, PEERS, ROOT, demand_environment, direct
from loadtest.peers import scoring
from loadtest.peers.stream import stream_topics
from loadtest.stream.kafka_broker import KafkaBroker, make_topics
from loadtest.stream.log_readers import KafkaReader

SOURCE: Final = "rows"
PARTITIONS: Final = 4
FIRST: Final = 0.2
"""Of the records, what is left out."""

LIMIT_SECONDS: Final = 600.0
GOALS: Final = {"at-least-once": 0.9, "faststream": 10.0, "quixstreams": 10.0, "quixstreams-exactly-once": 10.0}
"""The least that Fivefold's rate over another's has to be."""

GOAL_P99: Final = 0.1
WARM_SECONDS: Final = 40.0
"""At half load, what is left out: a broker that has just started compiles its code meanwhile, and falls behind."""

_SENT: Final = "sent"
_MARK: Final = b"marked"
_EVERY: Final = 8
"""One event of so many tells its time; to ask all of them costs more than a broker does."""


@dataclass(frozen=True)
class StreamProgram:
    """Who is compared; `environment` is the name of its own one, none for this one."""

    name: str
    title: str
    program: str = ""
    environment: str = ""
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return ENVIRONMENTS / self.environment / "bin" / "python" if self.environment else Path(sys.executable)

    def command(self, broker: str, bundle: Path, target: str) -> list[str]:
        """What is started."""
        if self.program:
            return [str(self.python), str(PEERS / "stream" / self.program)]
        at = f"kafka://{broker}"
        module = ["fivefold.cli", "stream"] if self is EXACTLY_ONCE else ["loadtest.stream.at_least_once"]
        words = ["--model", str(bundle), "--from", f"{at}/{SOURCE}", "--to", f"{at}/{target}", "--group", target]
        return [str(self.python), "-m", *module, *words]

    def variables(self, broker: str, bundle: Path, target: str) -> dict[str, str]:
        """What it is told beside that."""
        path = os.pathsep.join((str(ROOT / "services"), str(ROOT)))
        if not self.program:
            return direct() | {"PYTHONPATH": path}
        from fivefold.core.bundle.bundle import Bundle

        binding = Bundle.open(bundle).manifest.binding
        assert binding is not None
        return direct() | {
            "PYTHONPATH": os.pathsep.join((str(PEERS), str(PEERS / "stream"))),
            scoring.MODEL: str(bundle / "model.onnx"),
            scoring.INPUT: binding.inputs[0].model_input,
            scoring.OUTPUT: binding.outputs[0].model_output,
            stream_topics.BROKER: broker,
            stream_topics.SOURCE: SOURCE,
            stream_topics.TARGET: target,
            stream_topics.GROUP: target,
            **self.options,
        }


EXACTLY_ONCE: Final = StreamProgram("fivefold", "Fivefold, exactly once")
PROGRAMS: Final = (
    EXACTLY_ONCE,
    StreamProgram("at-least-once", "Fivefold without the transaction"),
    StreamProgram("faststream", "FastStream, batches, at least once", "faststream_.py", "faststream"),
    StreamProgram("quixstreams", "Quix Streams, at least once", "quixstreams_.py", "quixstreams"),
    StreamProgram(
        "quixstreams-exactly-once",
        "Quix Streams, exactly once",
        "quixstreams_.py",
        "quixstreams",
        {stream_topics.EXACTLY_ONCE: "1"},
    ),
)


@dataclass
class Rates:
    """Events a second, round by round, and the latencies in seconds at half load."""

    rates: dict[str, list[float]] = field(default_factory=dict)
    cpu: dict[str, list[float]] = field(default_factory=dict)
    """Events a second of processor time, which a busy machine spoils less."""
    latencies: Sequence[float] = ()
    late: float = 0.0
    """How long the slowest hundredth of the events took to come into the log, in seconds: their producer's part."""
    offered: float = 0.0
    load: float = 0.5
    """The share of Fivefold's own rate that is offered then."""

    def ratio(self, name: str) -> tuple[float, float, float]:
        """Fivefold's rate over another's within a round: the median, the lowest, the highest."""
        found = [ours / theirs for ours, theirs in zip(self.rates[EXACTLY_ONCE.name], self.rates[name])]
        return statistics.median(found), min(found), max(found)

    def p99(self) -> float:
        """Of the latencies."""
        return float(np.quantile(self.latencies, 0.99)) if len(self.latencies) else float("nan")

    def markdown(self) -> str:
        """The table."""
        lines = ["| program | events/s on one core | Fivefold ÷ it | goal | events/CPU-s |", "|--|--:|--:|--:|--:|"]
        for each in PROGRAMS:
            if each.name in self.rates:
                median, low, high = self.ratio(each.name)
                ratio = "1" if each is EXACTLY_ONCE else f"{median:.2f} ({low:.2f} to {high:.2f})"
                goal = f"{GOALS[each.name]:g}" if each.name in GOALS else ""
                cpu = f"{statistics.median(self.cpu[each.name]):,.0f}" if each.name in self.cpu else ""
                found = f"{statistics.median(self.rates[each.name]):,.0f}"
                lines.append(f"| {each.title} | {found} | {ratio} | {goal} | {cpu} |")
        if len(self.latencies):
            lines.append(
                f"\nAt {self.offered:,.0f} events a second, {self.load:.0%} of that: from an event to its result "
                f"with a reader of committed records {np.median(self.latencies) * 1000:.0f} ms in the median, "
                f"{self.p99() * 1000:.0f} ms at the 99th percentile (goal {GOAL_P99 * 1000:.0f}). Until the event "
                f"itself was in the log: {self.late * 1000:.0f} ms at the 99th percentile."
            )
        return "\n".join(lines)

    def missed(self) -> list[str]:
        """Goals that are not met."""
        found = [name for name, goal in GOALS.items() if name in self.rates and self.ratio(name)[0] < goal]
        return [*found, *(["p99"] if len(self.latencies) and self.p99() > GOAL_P99 else [])]


def demand(chosen: Sequence[StreamProgram]) -> None:
    """Everything that has to be installed; raises `ToolMissing`."""
    for each in chosen:
        demand_environment(each.title, each.python, each.environment)


def rows(count: int) -> Iterator[bytes]:
    """Records as JSON, a thousand different ones."""
    draw = np.random.default_rng(3).standard_normal((1000, len(stream_topics.FEATURES))).round(4).clip(-8, 8)
    some = [json.dumps(dict(zip(stream_topics.FEATURES, each))).encode() for each in draw.tolist()]
    for number in range(count):
        yield some[number % len(some)]


def fill(broker: str, count: int) -> None:
    """The topic that everybody reads."""
    make_topics(broker, PARTITIONS, SOURCE, f"{SOURCE}.dead-letter")
    producer = Producer({"bootstrap.servers": broker, "linger.ms": 20, "queue.buffering.max.messages": 2_000_000})
    for number, value in enumerate(rows(count)):
        producer.produce(SOURCE, value, partition=number % PARTITIONS)
        if not number % 10_000:
            producer.poll(0)
    if producer.flush(120):
        raise Failed("the events could not be produced")


@contextmanager
def running(who: StreamProgram, broker: str, bundle: Path, target: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program on the first half of the cores, for the length of a `with`."""
    with log.open("wb") as output, pinned(halves()[0][:1]):
        process = subprocess.Popen(
            who.command(broker, bundle, target),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=who.variables(broker, bundle, target),
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def rate(who: StreamProgram, broker: str, bundle: Path, target: str, count: int, scratch: Path) -> tuple[float, float]:
    """Events a second of one program, and a second of its processor time; raises `Failed` where it does not do all."""
    # The broker's own time: some programs give a record the time of its event.
    make_topics(broker, PARTITIONS, target, options={"message.timestamp.type": "LogAppendTime"})
    log = scratch / f"{target}.log"
    consumer = KafkaReader(broker).consumer(**{"check.crcs": False})
    consumer.assign([TopicPartition(target, partition, 0) for partition in range(PARTITIONS)])
    stamps: list[int] = []
    first, begun = int(count * FIRST), (0, 0.0)
    try:
        with running(who, broker, bundle, target, log) as process:
            deadline = time.monotonic() + LIMIT_SECONDS
            while len(stamps) < count:
                # Seldom: whoever looks takes time from the broker.
                some = consumer.consume(20_000, 0.5)
                stamps += [message.timestamp()[1] for message in some if message.error() is None]
                if len(stamps) >= first and not begun[0]:
                    begun = len(stamps), cpu_seconds(process.pid)
                if process.poll() is not None or time.monotonic() > deadline:
                    said = log.read_text(errors="replace")[-1500:]
                    raise Failed(f"{who.title}: {len(stamps):,} of {count:,} records:\n{said}")
            used = cpu_seconds(process.pid) - begun[1]
    finally:
        consumer.close()
    stamps.sort()
    return (count - first) / max((stamps[-1] - stamps[first]) / 1000, 0.001), (count - begun[0]) / max(used, 0.01)


def cpu_seconds(pid: int) -> float:
    """The processor time that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def latencies(
    broker: str, bundle: Path, offered: float, seconds: float, scratch: Path, cores: Collection[int]
) -> tuple[list[float], float]:
    """Seconds from an event to its result, at so many events a second, and until the slowest hundredth of the events
    were in the log. `cores` are the worker's."""
    source, target = "paced", "paced-results"
    make_topics(broker, PARTITIONS, source, target, f"{source}.dead-letter")
    words = EXACTLY_ONCE.command(broker, bundle, target)
    words[words.index("--from") + 1] = f"kafka://{broker}/{source}"
    consumer = KafkaReader(broker).consumer(**{"fetch.wait.max.ms": 10})
    consumer.assign([TopicPartition(target, partition, 0) for partition in range(PARTITIONS)])
    # As Java's is by default: five requests on their way at most, so that a busy broker gets fewer and larger ones.
    producer = Producer({"bootstrap.servers": broker, "linger.ms": 5, "enable.idempotence": True})
    stop, count = threading.Event(), int(offered * (WARM_SECONDS + seconds))
    warm = int(offered * WARM_SECONDS)

    late: list[float] = []

    def delivered(due: float, _error: object, _message: object) -> None:
        late.append(time.monotonic() - due)

    def produce() -> None:
        begun = time.monotonic()
        for number, value in enumerate(rows(count)):
            while (now := time.monotonic()) < begun + number / offered:
                producer.poll(0.001)
            if not number % _EVERY:
                producer.poll(0)
            if number % _EVERY:
                producer.produce(source, value, partition=number % PARTITIONS)
            else:
                # Another partition from mark to mark.
                producer.produce(
                    source,
                    value,
                    key=_MARK,
                    partition=number // _EVERY % PARTITIONS,
                    headers=[(_SENT, b"%.6f" % now)],
                    on_delivery=partial(delivered, begun + number / offered) if number >= warm else None,
                )
            if stop.is_set():
                return
        producer.flush(30)

    found: list[float] = []
    waited = time.monotonic() + LIMIT_SECONDS
    with (scratch / "paced.log").open("wb") as output, pinned(cores):
        process = subprocess.Popen(
            words,
            stdout=output,
            stderr=output,
            env=EXACTLY_ONCE.variables(broker, bundle, target),
            start_new_session=True,
        )
    generator = threading.Thread(target=produce, daemon=True)
    producer.produce(source, next(rows(1)), partition=0)
    try:
        while len(found) < (count + _EVERY - 1) // _EVERY:
            for message in consumer.consume(1000, 0.005):
                if message.key() == _MARK and message.error() is None:
                    headers: Any = dict(message.headers() or ())
                    found.append(time.monotonic() - float(headers[_SENT]))
                elif not generator.ident and message.error() is None:
                    # The first one: the worker is at work.
                    generator.start()
            if process.poll() is not None or time.monotonic() > waited:
                raise Failed(f"{len(found):,} results came: {(scratch / 'paced.log').read_text()[-1000:]}")
    finally:
        stop.set()
        producer.flush(1)
        process.kill()
        process.wait()
        consumer.close()
    return found[warm // _EVERY :], float(np.quantile(late, 0.99))


def measure(
    chosen: Sequence[StreamProgram],
    broker: KafkaBroker,
    bundle: Path,
    count: int,
    rounds: int,
    seconds: float,
    load: float,
    scratch: Path,
) -> Rates:
    """All rounds, then the latencies; raises `Failed`."""
    say(f"producing {count:,} events")
    fill(broker.address, count)
    found = Rates({each.name: [] for each in chosen}, load=load)
    for index in range(rounds):
        for who in chosen if index % 2 == 0 else reversed(chosen):
            said, cpu = rate(who, broker.address, bundle, f"{who.name}-{index}", count, scratch)
            found.rates[who.name].append(said)
            found.cpu.setdefault(who.name, []).append(cpu)
            say(f"round {index + 1} of {rounds}: {who.title}: {said:,.0f} events/s, {cpu:,.0f} a CPU-second")
    if seconds:
        found.offered = statistics.median(found.rates[EXACTLY_ONCE.name]) * load
        say(f"{found.offered:,.0f} events/s for {seconds:.0f} s")
        server, others = halves()
        # Whoever looks at the worker does not share its core. The broker may have what the worker leaves: with a
        # transaction for every few hundred events it needs more than a core of its own.
        broker.spread()
        with pinned(others):
            found.latencies, found.late = latencies(broker.address, bundle, found.offered, seconds, scratch, server[:1])
    return found
