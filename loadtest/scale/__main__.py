"""How cost grows: with models, rows, fields, connections, replicas and proxies.

    python -m loadtest.scale models [--counts 1 10 100]     start, memory, each answer and the metrics of one process
    python -m loadtest.scale rows                           1 to 10,000 rows in a request
    python -m loadtest.scale fields                         1 to 1,000 fields of a row
    python -m loadtest.scale connections                    1 to 512 callers at once (wrk)
    python -m loadtest.scale controller                     what 50, 200, 500 replicas that count themselves take (Ray)
    python -m loadtest.scale told                           one change told to 50 to 2,000 replicas, without a Ray
    python -m loadtest.scale checks                         health checks of one HAProxy for 50, 200, 500 replicas
    python -m loadtest.scale manifest                       what the chart renders for 1 to 1,000 models (helm)

    python -m loadtest.scale rows fields --seconds 1 --write docs/scale.md

Tables go to standard output, with --write into the document between their markers, and pictures beside it in plots.
What counts is CPU time, because wall time on a shared machine is mostly other people's; figures of two runs are not
compared.

Exit status: 0 measured, 2 it could not be, 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from loadtest import document
from loadtest.machine import measurement
from loadtest.machine.measurement import positive, say
from loadtest.scale import tables
from loadtest.scale.tables import Section

Measure = Callable[[Path, argparse.Namespace], tuple[Sequence[Any], Section]]


def _models(directory: Path, given: argparse.Namespace) -> tuple[Sequence[Any], Section]:
    from loadtest.scale import models

    found = models.measure(directory, given.counts or models.COUNTS)
    return found, tables.models(found)


def _rows(directory: Path, given: argparse.Namespace) -> tuple[Sequence[Any], Section]:
    from loadtest.scale import requests

    found = requests.by_rows(directory, given.seconds, given.counts or requests.ROWS)
    return found, tables.rows(found)


def _fields(directory: Path, given: argparse.Namespace) -> tuple[Sequence[Any], Section]:
    from loadtest.scale import requests

    found = requests.by_fields(directory, given.seconds, given.counts or requests.FIELDS)
    return found, tables.fields(found)


def _connections(directory: Path, given: argparse.Namespace) -> tuple[Sequence[Any], Section]:
    from loadtest.scale import requests

    found = requests.by_connections(directory, given.seconds, given.counts or requests.CONNECTIONS)
    return found, tables.connections(found)


def _controller(_: Path, given: argparse.Namespace) -> tuple[Sequence[Any], Section]:
    from loadtest.scale import controller

    found = controller.measure(given.seconds, given.counts or controller.REPLICAS)
    return found, tables.controller(found)


def _told(_: Path, given: argparse.Namespace) -> tuple[Sequence[Any], Section]:
    from loadtest.scale import told

    found = told.measure(given.counts or told.REPLICAS)
    return found, tables.told(found)


def _checks(directory: Path, given: argparse.Namespace) -> tuple[Sequence[Any], Section]:
    from loadtest.scale import health_checks

    found = health_checks.measure(directory, given.seconds, given.counts or health_checks.REPLICAS)
    return found, tables.checks(found)


def _manifest(directory: Path, given: argparse.Namespace) -> tuple[Sequence[Any], Section]:
    from loadtest.scale import manifest

    found = manifest.measure(directory, given.counts or manifest.COUNTS)
    return found, tables.manifest(found)


WHAT: Final[dict[str, Measure]] = {
    "models": _models,
    "rows": _rows,
    "fields": _fields,
    "connections": _connections,
    "controller": _controller,
    "told": _told,
    "checks": _checks,
    "manifest": _manifest,
}


@measurement.exits()
def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is named, one after the other."""
    given = _parser().parse_args(arguments)
    measurement.ready()
    for name in dict.fromkeys(given.what):
        say(f"{name}: load {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores")
        with measurement.scratch(Path(tempfile.gettempdir()), "ff-scale-") as directory:
            found, section = WHAT[name](directory, given)
        text = section.text
        if given.write:
            for file, picture in section.pictures.items():
                (given.write.parent / "plots").mkdir(exist_ok=True)
                (given.write.parent / "plots" / file).write_text(picture)
                text += f"\n\n![{section.title}](plots/{file})"
        document.publish(text, given.write, f"scale-{name}")
        document.keep([asdict(each) for each in found], f"scale-{name}-")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.scale", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="+", choices=WHAT, metavar="WHAT", help=f"some of {', '.join(WHAT)}")
    parser.add_argument("--counts", nargs="+", type=positive, metavar="N", help="other sizes, at least two, ascending")
    parser.add_argument("--seconds", type=positive, default=2, help="of each measurement (default: 2)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the tables into this document")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
