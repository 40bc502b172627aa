"""`fivefold score`: files in, files out; the work is `fivefold.batch`'s."""

from __future__ import annotations

import argparse
import os
import re
import sys
from typing import TYPE_CHECKING, Any

from fivefold.commands.words import USAGE, Parser, add, add_json, add_providers, complain, print_json

if TYPE_CHECKING:
    from fivefold.batch.plan.settings import BatchSettings
    from fivefold.batch.run.execute import Result
    from fivefold.batch.run.preparation import RunOrder
    from fivefold.delivery.settings import DeliverySettings

PASSED = 10
"""Paths passed over that a person is shown; run.json has all of them."""

_SETTINGS = (
    "format",
    "contract",
    "strict_columns",
    "max_bad_fraction",
    "max_bad_rows",
    "allow_torn",
    "workers",
    "fragment_bytes",
    "delimiter",
    "encoding",
    "digest_inputs",
    "engine",
    "delta",
    "iceberg",
)


def asked(arguments: argparse.Namespace) -> tuple[RunOrder, BatchSettings, DeliverySettings] | None:
    """What a command line asks for, None after saying what is wrong with it."""
    from fivefold.batch.run.preparation import RunOrder

    found = settings_of(arguments, "fivefold score --help")
    if found is None:
        return None
    settings, delivery = found
    inputs = tuple(pattern for patterns in arguments.input for pattern in patterns)
    return RunOrder(arguments.model, inputs, arguments.output), settings, delivery


def settings_of(arguments: argparse.Namespace, help: str) -> tuple[BatchSettings, DeliverySettings] | None:
    """The settings that options and variables give, None after saying what is wrong with them."""
    from fivefold.batch.plan.settings import BatchSettings
    from fivefold.core.settings import SettingsError, read
    from fivefold.delivery.settings import DeliverySettings

    if getattr(arguments, "providers", None) and os.environ.get("RAY_ADDRESS"):
        # Its workers have the variables of their own pods: they would score elsewhere without a word.
        why = "--providers: expected FIVEFOLD_PROVIDERS where the workers of RAY_ADDRESS are made"
        complain(why, help)
        return None
    given: dict[str, Any] = {name: getattr(arguments, name, None) for name in _SETTINGS}
    given |= {name: _words(getattr(arguments, name)) for name in ("columns", "na", "booleans")}
    try:
        return read(BatchSettings, **given), read(DeliverySettings)
    except SettingsError as err:
        complain(str(err), help)
        return None


def _words(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(filter(None, text.split(",")))


def score(arguments: argparse.Namespace) -> int | None:
    """Score, and say what became of it."""
    from fivefold.batch.run.execute import score

    what = asked(arguments)
    if what is None:
        return USAGE
    order, settings, delivery = what
    result = score(order, settings, delivery, out=sys.stderr, metrics=arguments.metrics or "")
    print_result(result, arguments.json)
    return None


def print_result(result: Result, json: bool) -> None:
    """A finished run, for a person or a program."""
    report = result.report
    if json:
        print_json(
            {name: value for name, value in report.items() if name != "parts"} | {"scored_now": result.scored_now}
        )
        return
    finished = "finished before, 0 rows scored now" if not result.scored_now and report["scored"] else "finished"
    print(f"{finished}: {report['output']}")
    print(f"rows      {report['rows']:,} in, {report['scored']:,} scored, {report['quarantined']:,} quarantined")
    if report["codes"]:
        print("refused   " + ", ".join(f"{code} {count:,}" for code, count in report["codes"].items()))
    for each in report.get("broken", ()):
        where = f"row {each['row']:,}" if each["offset"] is None else f"row {each['row']:,}, byte {each['offset']:,}"
        print(f"broken    {each['file']}: {where}: {each['reason']}")
    if report["ignored_columns"]:
        print(f"ignored   columns {', '.join(report['ignored_columns'])}")
    passed = report.get("passed_over", ())
    if passed:
        shown = ", ".join(f"{each['path']} ({each['reason']})" for each in passed[:PASSED])
        print(f"input     {len(passed):,} passed over: {shown}{', …' if len(passed) > PASSED else ''}")
    print(f"model     {report['model']}@{report['version']}, bundle {report['bundle']}")
    print(f"join      {_join(report)}")
    print(f"time      {_time(report)}")


def _join(report: dict[str, Any]) -> str:
    """By which columns the output is put beside its input again."""
    number = "_row, the number of a row in its file"
    if report["columns"]:
        return f"by {', '.join(report['columns'])}, or by {number}"
    left_out = report["ignored_columns"]
    keys = [name for name in left_out if _KEY.search(name)]
    if keys:
        return f"by {number}; --columns {','.join(keys)} carries the file's own key"
    if left_out:
        return f"by {number}; --columns {','.join(left_out[:_FEW])} carries columns of the file"
    return f"by {number} (parts are in the input's order)"


_KEY = re.compile(r"(^|_|-|\b)(id|key|uuid|guid|name|number|nr|no)$|(?<=[a-z])I[Dd]$", re.IGNORECASE)
"""Names of columns by which rows are usually told apart."""

_FEW = 3


def _time(report: dict[str, Any]) -> str:
    """What was work, and what starting and publishing took beside it."""
    working = report["working_seconds"]
    if not working:
        return f"{report['seconds']:,} s, none of them of scoring"
    around = max(report["seconds"] - working, 0.0)
    return f"{working:,} s of work, {report['rows_per_second']:,} rows/s; {around:,.1f} s of start and end around it"


def add_what(parser: Parser, *, required: bool = True) -> None:
    """The options that say what is scored, and how."""
    parser.add_argument(
        "--model",
        metavar="REFERENCE",
        required=required,
        help="a bundle: a directory, a .tar, or a URL with its digest",
    )
    parser.add_argument(
        "--input",
        metavar="PATTERN",
        action="append",
        nargs="+",
        required=required,
        help="files, directories or patterns (*, ?, **): parquet, csv, jsonl; compressed text; s3:// and gs:// too",
    )
    parser.add_argument("--output", metavar="DIR", required=required, help="a directory, or an s3:// or gs:// URL")
    parser.add_argument("--format", choices=("parquet", "csv", "jsonl"), help="of the output (default: parquet)")
    add_reading(parser)
    parser.add_argument(
        "--max-bad-fraction",
        metavar="SHARE",
        type=float,
        help="a larger share of quarantined rows is not published (default: 0.01)",
    )
    parser.add_argument(
        "--max-bad-rows",
        metavar="N",
        type=int,
        help="more quarantined rows stop the run at once (default: as many as there are)",
    )
    parser.add_argument(
        "--allow-torn",
        action="store_true",
        default=None,
        help="publish also where a compressed stream or a row group breaks off: what is before it is scored (default: "
        "such a run ends with 3)",
    )
    parser.add_argument("--workers", metavar="N", type=int, help="processes, one core each (default: 0, all cores)")
    parser.add_argument(
        "--fragment-bytes", metavar="N", type=int, help="input that is finished as one (default: 134217728, 128 MiB)"
    )
    parser.add_argument(
        "--delta", metavar="TABLE", help="publish into this Delta table, in which the output lies, too (default: none)"
    )
    parser.add_argument(
        "--iceberg",
        metavar="TABLE",
        help="publish into this Iceberg table, too: CATALOG.NAMESPACE.TABLE (default: none)",
    )
    add_providers(parser)
    parser.add_argument(
        "--engine",
        choices=("auto", "local", "ray", "ray-data"),
        help="who does the work: one process, Ray with a worker for each core, or what is done first (default: auto)",
    )
    parser.add_argument(
        "--digest-inputs",
        action="store_true",
        default=None,
        help="tell local files apart by content (default: by size and time of change)",
    )


def add_reading(parser: Parser) -> None:
    """The options that say how files are read."""
    parser.add_argument(
        "--contract", metavar="VERSION", help="the contract version of the input and the output (default: the bundle's)"
    )
    parser.add_argument(
        "--columns", metavar="NAMES", help="input columns that the output carries, with commas between (default: none)"
    )
    parser.add_argument(
        "--strict-columns",
        action="store_true",
        default=None,
        help="refuse a table with columns nobody asked for (default: they are ignored, and named)",
    )
    parser.add_argument("--delimiter", metavar="CHARACTER", help="of CSV input (default: ,); tab for a tab")
    parser.add_argument(
        "--na", metavar="WORDS", help="bare CSV cells that are null beside the empty one: NA,NULL,\\\\N (default: none)"
    )
    parser.add_argument(
        "--booleans", metavar="TRUE,FALSE", help="words of CSV input beside true and false: True,False (default: none)"
    )
    parser.add_argument("--encoding", metavar="NAME", help="of text input (default: UTF-8): latin-1, utf-16, …")


VARIABLES = """
Every setting is also a variable, as FIVEFOLD_MAX_BAD_FRACTION=0.05; these are variables alone:
  FIVEFOLD_CHUNK_ROWS   rows that are checked and scored together (default: 8192)
  FIVEFOLD_ATTEMPTS     workers that may die over one fragment before the run is given up (default: 3)
  FIVEFOLD_STORE_HTTP   talk to object stores whose endpoint is not https (default: false)"""


def add_how(parser: Parser) -> None:
    """The options of a run that this process does itself."""
    parser.add_argument(
        "--metrics", metavar="FILE|URL", help="write metrics to a textfile, or push them to a Prometheus gateway"
    )
    add_json(parser)


EXAMPLES = (
    "fivefold score --model bundles/demo --input 'data/*.parquet' --output scores",
    "fivefold score --model bundles/demo --input data.csv.gz --output scores --format csv --columns id,name",
    "fivefold score --model s3://models/demo.tar#sha256=DIGEST --input 's3://data/day/*' --output s3://scores/day",
    "fivefold score --model bundles/demo --input data --output scores      the same again goes on where it stopped",
)


def add_score(commands: Any) -> None:
    parser = add(commands, "score", score, "score files into files, with every row accounted for", *EXAMPLES)
    parser.description = f"{parser.description}\n{VARIABLES}"
    add_what(parser)
    add_how(parser)
