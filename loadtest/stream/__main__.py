"""Streams under faults and under load, each event accounted for by a checker that uses nothing of the product.

    python -m loadtest.stream chaos --log local|kfake|kafka    exactly one result for each event, whatever dies
    python -m loadtest.stream recovery                         how long readers stand still after a kill
    python -m loadtest.stream throughput                       events a second, beside other programs
    python -m loadtest.stream memory --log local|kfake|kafka   whether a worker grows
    python -m loadtest.stream selftest                         the checker sees what it is there for

Whatever a command has started is ended when it is: workers, brokers, their data. The logs of a run stay with --keep.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from loadtest import document
from loadtest.machine import generated, host, measurement
from loadtest.machine.measurement import Failed, positive, say
from loadtest.machine.programs import ROOT
from loadtest.stream import chaos_report, memory, recovery, selftest, throughput
from loadtest.stream.chaos import Chaos, ChaosSettings
from loadtest.stream.fault_plan import BROKER, RESTART, WEIGHTS
from loadtest.stream.kafka_broker import VERSION, KafkaBroker, KfakeBroker
from loadtest.stream.planned_events import bundle
from loadtest.stream.stream_logs import KafkaStreamLog, LocalLog, StreamLog

CACHE: Final = ROOT / ".cache" / "stream"
LOGS: Final = ("local", "kfake", "kafka")


def opened(given: argparse.Namespace, scratch: Path) -> StreamLog:
    """The log that a run is over; raises `ToolMissing`."""
    if given.log == "local":
        return LocalLog(scratch / "log", given.partitions)
    if given.log == "kfake":
        return KafkaStreamLog(KfakeBroker(), given.partitions)
    broker = KafkaBroker(scratch / "kafka", given.kafka)
    broker.start()
    return KafkaStreamLog(broker, given.partitions)


def chaos(given: argparse.Namespace) -> int:
    """Run, print the table, say what is wrong."""
    seed = measurement.seed(given.seed)
    missed = selftest.misses()
    if missed:
        raise Failed("; ".join(missed))
    low, _, high = given.seconds_between_kills.partition("-")
    kinds = [kind for kind in given.faults or WEIGHTS if kind not in (RESTART, BROKER) or given.log == "kafka"]
    settings = ChaosSettings(
        events=given.events,
        seconds=given.seconds or max(60.0, given.events / 4000),
        workers=given.workers,
        between=(float(low), float(high or low)),
        seed=seed,
        max_batch=given.max_batch,
        kinds=tuple(kinds),
        rebalances=given.rebalances,
    )
    options = {"FIVEFOLD_KAFKA_GROUP_PROTOCOL": given.group_protocol}
    if given.log == "kfake":
        # While a group is put together anew, kfake waits for dead members not as long as a session lasts, as Kafka
        # does, but as long as there may be between two polls: a minute.
        options["FIVEFOLD_KAFKA_POLL_SECONDS"] = "20"
    with measurement.scratch(CACHE, "chaos-") as scratch:
        model = bundle(scratch)
        say(f"{given.log}: {settings.events:,} events, {settings.seconds:.0f} s of faults, seed {seed}")
        log = opened(given, scratch)
        try:
            result = Chaos(log, model, settings, scratch, options).run()
        finally:
            log.close()
            if given.keep:
                keep(scratch, given.keep)
    table = chaos_report.markdown(title(given), result)
    document.publish(table, given.write, f"stream-chaos-{given.log}")
    for line in (*result.verdict.words, *result.wrong):
        say(f"  {line}")
    say("exactly one of each" if result.holds else "not exactly one of each, or not as it has to be: above")
    return 0 if result.holds else 1


def recovered(given: argparse.Namespace) -> int:
    """Kill, print the table."""
    seed = measurement.seed(given.seed)
    with measurement.scratch(CACHE, "recovery-") as scratch:
        model = bundle(scratch)
        broker = KafkaBroker(scratch / "kafka", given.kafka)
        broker.start()
        log = KafkaStreamLog(broker, recovery.PARTITIONS)
        try:
            found = recovery.measure(broker.address, log, model, given.kills, seed, scratch)
        finally:
            log.close()
    document.publish(found.markdown(), given.write, "stream-recovery")
    return 0 if found.met else 1


def compared(given: argparse.Namespace) -> int:
    """Measure, print the table."""
    chosen = [each for each in throughput.PROGRAMS if not given.only or each.name in ("fivefold", *given.only)]
    throughput.demand(chosen)
    with measurement.scratch(CACHE, "throughput-") as scratch:
        model = generated.bundle(generated.FOREST, CACHE / "bundles")
        broker = KafkaBroker(scratch / "kafka", given.kafka, java=("-Xmx1g",))
        with host.pinned(host.halves()[1]):
            broker.start()
        try:
            found = throughput.measure(
                chosen, broker, model, given.events, given.rounds, given.seconds, given.load, scratch
            )
        finally:
            broker.stop()
            if given.keep:
                keep(scratch, given.keep)
    document.publish(found.markdown(), given.write, "stream-throughput")
    missed = found.missed()
    say(f"missed: {', '.join(missed)}" if missed else "every goal is met")
    return 1 if missed else 0


def weighed(given: argparse.Namespace) -> int:
    """Let a worker work, print the table."""
    with measurement.scratch(CACHE, "memory-") as scratch:
        model = bundle(scratch)
        log = opened(given, scratch)
        try:
            found = memory.measure(log, model, given.events, scratch)
        finally:
            log.close()
    document.publish(found.markdown(title(given)), given.write, "stream-memory")
    say("it did not grow" if found.flat else "it grew")
    return 0 if found.flat else 1


def title(given: argparse.Namespace) -> str:
    """The log of a run, as tables name it."""
    return str(given.log) if given.log != "kafka" else f"Kafka {given.kafka}"


def keep(scratch: Path, target: Path) -> None:
    """Copy what workers and broker have said."""
    target.mkdir(parents=True, exist_ok=True)
    for each in (*scratch.glob("workers/*.log"), *scratch.glob("*.log"), *scratch.glob("kafka/broker.*")):
        (target / each.name).write_bytes(each.read_bytes())


def checked(_: argparse.Namespace) -> int:
    """Inject every fault."""
    missed = selftest.misses()
    for line in missed:
        say(f"  {line}")
    say("not fit for use" if missed else f"{len(selftest.INJECTED)} injected faults, each seen")
    return 1 if missed else 0


@measurement.exits()
def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the commands."""
    return measurement.run_command(_parser(), arguments)


def _between(text: str) -> str:
    low, dash, high = text.partition("-")
    try:
        fits = 0 < float(low) <= float(high if dash else low)
    except ValueError:
        fits = False
    if not fits:
        raise argparse.ArgumentTypeError("expected seconds, as 2-5")
    return text


def _parser() -> argparse.ArgumentParser:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.stream", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    assert chaos_report.CHAOS is not None
    each = commands.add_parser(
        "chaos",
        help="exactly one result for each event, whatever dies",
        description=chaos_report.CHAOS.partition("\n\nExit status")[0],
        epilog="examples:\n  python -m loadtest.stream chaos --log local --events 20_000\n"
        "  python -m loadtest.stream chaos --log kafka --events 1_000_000 --write docs/measurements.md\n"
        "  python -m loadtest.stream chaos --log kafka --kafka 3.9.2 --seed 7 --keep logs",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    each.add_argument("--log", choices=LOGS, required=True)
    each.add_argument("--events", type=positive, default=20_000, metavar="N", help="20,000 if left out")
    each.add_argument("--partitions", type=positive, default=8, metavar="P")
    each.add_argument("--workers", type=positive, default=3, metavar="W")
    each.add_argument("--seconds", type=float, metavar="S", help="of faults; 60 or more if left out, by --events")
    each.add_argument("--seconds-between-kills", type=_between, default="2-5", metavar="A-B", help="2-5 if left out")
    each.add_argument("--rebalances", type=int, default=0, metavar="N", help="fewer are a failure; 0 if left out")
    each.add_argument("--faults", nargs="+", choices=list(WEIGHTS), metavar="KIND", help=f"of {', '.join(WEIGHTS)}")
    each.add_argument("--max-batch", type=positive, default=200, metavar="N", help="of a worker; 200 if left out")
    each.add_argument("--kafka", default=VERSION, metavar="VERSION", help=f"of the broker; {VERSION} if left out")
    each.add_argument("--group-protocol", choices=("classic", "consumer"), default="classic")
    each.add_argument("--seed", type=int, metavar="S", help="of the faults; drawn and printed if left out")
    each.add_argument("--keep", type=Path, metavar="DIR", help="copy there what workers and broker have said")
    each.add_argument("--write", type=Path, metavar="FILE", help="put the table where its markers are")
    each.set_defaults(run=chaos)
    assert recovery.__doc__ is not None
    each = commands.add_parser(
        "recovery",
        help="how long readers stand still after a kill",
        description=recovery.__doc__,
        epilog="example:\n  python -m loadtest.stream recovery --kills 20 --write docs/measurements.md",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    each.add_argument("--kills", type=positive, default=20, metavar="K", help="20 if left out")
    each.add_argument("--kafka", default=VERSION, metavar="VERSION", help=f"of the broker; {VERSION} if left out")
    each.add_argument("--seed", type=int, metavar="S", help="of the moments")
    each.add_argument("--write", type=Path, metavar="FILE", help="put the table where its markers are")
    each.set_defaults(run=recovered)
    assert throughput.__doc__ is not None
    each = commands.add_parser(
        "throughput",
        help="events a second, beside other programs",
        description=throughput.__doc__,
        epilog="examples:\n  python -m loadtest.stream throughput --write docs/measurements.md\n"
        "  python -m loadtest.stream throughput --events 20_000 --rounds 1 --only at-least-once",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    each.add_argument("--events", type=positive, default=300_000, metavar="N", help="300,000 if left out")
    each.add_argument("--rounds", type=positive, default=5, metavar="R")
    each.add_argument("--seconds", type=float, default=30.0, metavar="S", help="at half load; 0: none")
    each.add_argument("--load", type=float, default=0.5, metavar="SHARE", help="of its own rate then; 0.5 if left out")
    each.add_argument("--only", nargs="+", choices=[each.name for each in throughput.PROGRAMS], metavar="NAME")
    each.add_argument("--kafka", default=VERSION, metavar="VERSION", help=f"of the broker; {VERSION} if left out")
    each.add_argument("--keep", type=Path, metavar="DIR", help="copy there what the programs have said")
    each.add_argument("--write", type=Path, metavar="FILE", help="put the table where its markers are")
    each.set_defaults(run=compared)
    assert memory.__doc__ is not None
    each = commands.add_parser(
        "memory",
        help="whether a worker grows",
        description=memory.__doc__.partition("\n\nExit status")[0],
        epilog="examples:\n  python -m loadtest.stream memory --log local --events 10_000_000\n"
        "  python -m loadtest.stream memory --log kafka --events 200_000",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    each.add_argument("--log", choices=LOGS, required=True)
    each.add_argument("--events", type=positive, default=2_000_000, metavar="N", help="2,000,000 if left out")
    each.add_argument("--partitions", type=positive, default=8, metavar="P")
    each.add_argument("--kafka", default=VERSION, metavar="VERSION", help=f"of the broker; {VERSION} if left out")
    each.add_argument("--write", type=Path, metavar="FILE", help="put the table where its markers are")
    each.set_defaults(run=weighed)
    each = commands.add_parser("selftest", help="whether the checker sees what it is there for")
    each.set_defaults(run=checked)
    return parser


if __name__ == "__main__":
    sys.exit(main())
