"""The outbox and its sender, each event accounted for by a checker that uses nothing of the product.

    python -m loadtest.edge chaos         nothing lost, nothing twice, in order, whatever is killed
    python -m loadtest.edge disk-full     what did not fit was refused, what was accepted arrives
    python -m loadtest.edge throughput    durable events a second, and a backlog that empties
    python -m loadtest.edge devices       a thousand devices at once on one hub
    python -m loadtest.edge selftest      the checker sees what it is there for

Exit status: 0 as it has to be, 1 not so, 2 it could not be measured, 130 after Ctrl-C. Whatever a command has started
is ended when it is.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from loadtest import document
from loadtest.edge import disk_full, many_devices, outbox_chaos, outbox_rates, selftest
from loadtest.edge.outbox_chaos import OutboxChaos, OutboxChaosSettings
from loadtest.machine import measurement
from loadtest.machine.measurement import positive, say
from loadtest.machine.programs import ROOT

CACHE: Final = ROOT / ".cache" / "edge"


def chaos(given: argparse.Namespace) -> int:
    """Run, print the table, say what is wrong."""
    settings = OutboxChaosSettings(
        days=given.days,
        events=given.events,
        kills=given.kills,
        threads=given.threads,
        seed=measurement.seed(given.seed),
        speed=given.speed,
        hub=given.hub == "fivefold",
    )
    say(f"{settings.events:,} events, {settings.kills} kills, seed {settings.seed}")
    with measurement.scratch(CACHE, "chaos-") as scratch:
        try:
            result = OutboxChaos(settings, scratch).run()
        finally:
            if given.keep:
                shutil.copytree(scratch, given.keep, dirs_exist_ok=True)
    tail = (
        f"{settings.days:g} days of a clock {settings.speed:g} times as fast as ours, {settings.threads} threads, "
        f"seed {settings.seed}; {result.seconds:.0f} s, {result.draining_seconds:.0f} s of them with a network."
    )
    document.publish(_table("chaos", result.rows(), tail), given.write, "edge-chaos")
    for sentence in result.verdict.words:
        say(f"  {sentence}")
    say("each one once, in order" if result.verdict.holds else "not each one once, in order: above")
    return 0 if result.verdict.holds else 1


def full(given: argparse.Namespace) -> int:
    """Fill the disk, print the table."""
    if not given.mounted:
        return disk_full.in_own_namespace(["--write", str(given.write)] if given.write else [])
    with measurement.scratch(CACHE, "disk-full-") as scratch:
        result = disk_full.measure(scratch)
    tail = f"A disk of {disk_full.DISK_MIB} MiB; a quota of {disk_full.QUOTA:,} bytes."
    document.publish(_table("disk full", result.rows(), tail), given.write, "edge-disk-full")
    for sentence in (*result.full.words, *result.quota.words):
        say(f"  {sentence}")
    return 0 if result.holds else 1


def rates(given: argparse.Namespace) -> int:
    """Measure, print the table."""
    with measurement.scratch(CACHE, "rates-") as scratch:
        result = outbox_rates.measure(scratch, given.rounds, given.seconds, given.backlog)
    tail = f"Median of {given.rounds} rounds of {given.seconds:g} s; a backlog of {given.backlog:,} events."
    document.publish(_table("throughput", result.rows(), tail), given.write, "edge-throughput")
    return 0


def devices(given: argparse.Namespace) -> int:
    """Measure, print the table."""
    with measurement.scratch(CACHE, "devices-") as scratch:
        result = many_devices.measure(scratch, given.devices, given.events, given.batch, given.at_once, given.database)
    tail = (
        f"{given.events:,} events of each device, {given.batch} in a batch, {given.at_once} devices at a time, each "
        f"third batch sent twice; {result.seconds:.0f} s. Devices and hub share the machine."
    )
    document.publish(_table("devices", result.rows(), tail), given.write, "edge-devices")
    return 0 if result.holds else 1


def self_test(_: argparse.Namespace) -> int:
    """Whether the checker is fit for use."""
    missed = selftest.misses()
    for sentence in missed:
        say(f"  {sentence}")
    say("not fit for use" if missed else f"{len(selftest.INJECTED) + 1} injected faults, each seen")
    return 1 if missed else 0


def _table(title: str, rows: Sequence[tuple[str, str]], tail: str) -> str:
    return "\n".join((f"| {title} | |", "|--|--:|", *(f"| {name} | {value} |" for name, value in rows), "", tail))


@measurement.exits()
def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the commands."""
    return measurement.run_command(_parser(), arguments)


def _parser() -> argparse.ArgumentParser:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.edge", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    each = commands.add_parser(
        "chaos",
        help="nothing lost, nothing twice, in order",
        description=outbox_chaos.__doc__,
        epilog="examples:\n  python -m loadtest.edge chaos --events 20_000 --kills 10\n"
        "  python -m loadtest.edge chaos --days 7 --events 1_000_000 --kills 200 --write docs/measurements.md",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    each.add_argument("--days", type=float, default=7.0, metavar="D", help="of the device's clock; 7 if left out")
    each.add_argument("--events", type=positive, default=20_000, metavar="N", help="20,000 if left out")
    each.add_argument("--kills", type=positive, default=10, metavar="K", help="of the device; 10 if left out")
    each.add_argument("--threads", type=positive, default=8, metavar="T", help="that append; 8 if left out")
    each.add_argument("--speed", type=float, default=2000.0, metavar="X", help="of the clock; 2000 if left out")
    each.add_argument("--hub", choices=("own", "fivefold"), default="own", help="who receives; own: the checker's own")
    each.add_argument("--seed", type=int, metavar="S", help="of the faults; drawn and printed if left out")
    each.add_argument("--keep", type=Path, metavar="DIR", help="copy there what the run has made")
    each.add_argument("--write", type=Path, metavar="FILE", help="put the table where its markers are")
    each.set_defaults(run=chaos)
    each = commands.add_parser(
        "disk-full",
        help="what did not fit was refused, what was accepted arrives",
        description=disk_full.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    each.add_argument("--mounted", action="store_true", help=argparse.SUPPRESS)
    each.add_argument("--write", type=Path, metavar="FILE", help="put the table where its markers are")
    each.set_defaults(run=full)
    each = commands.add_parser(
        "throughput",
        help="durable events a second, and a backlog that empties",
        description=outbox_rates.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    each.add_argument("--rounds", type=positive, default=5, metavar="R", help="5 if left out")
    each.add_argument("--seconds", type=float, default=5.0, metavar="S", help="of each measurement; 5 if left out")
    each.add_argument("--backlog", type=positive, default=100_000, metavar="N", help="events; 100,000 if left out")
    each.add_argument("--write", type=Path, metavar="FILE", help="put the table where its markers are")
    each.set_defaults(run=rates)
    each = commands.add_parser(
        "devices",
        help="a thousand devices at once on one hub",
        description=many_devices.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    each.add_argument("--devices", type=positive, default=1000, metavar="N", help="1,000 if left out")
    each.add_argument("--events", type=positive, default=500, metavar="E", help="of each device; 500 if left out")
    each.add_argument("--batch", type=positive, default=100, metavar="B", help="events in a request; 100 if left out")
    each.add_argument("--at-once", type=positive, default=64, metavar="T", help="devices; 64 if left out")
    each.add_argument("--database", metavar="URL", help="an empty Postgres instead of a directory")
    each.add_argument("--write", type=Path, metavar="FILE", help="put the table where its markers are")
    each.set_defaults(run=devices)
    commands.add_parser("selftest", help="the checker sees what it is there for").set_defaults(run=self_test)
    return parser


if __name__ == "__main__":
    sys.exit(main())
