"""`fivefold difference`: what two bundles answer differently on the same rows."""

from __future__ import annotations

import argparse
from typing import Any

from fivefold.commands.words import USAGE, add, add_json, complain, print_json


def _difference(arguments: argparse.Namespace) -> int | None:
    from fivefold.behaviour.contrast import contrast
    from fivefold.behaviour.thresholds import BehaviourBounds
    from fivefold.behaviour.wording import check_report, lines, write_report
    from fivefold.core.errors import BundleInvalid
    from fivefold.core.settings import read
    from fivefold.delivery.fetch import fetch
    from fivefold.delivery.settings import DeliverySettings

    try:
        bounds = BehaviourBounds(arguments.max_disagreement, arguments.max_change)
    except ValueError as err:
        complain(str(err), "fivefold difference --help")
        return USAGE
    if arguments.report:
        check_report(arguments.report)
    delivery = read(DeliverySettings)
    old, new = (fetch(reference, delivery) for reference in (arguments.old, arguments.new))
    rows = [path for paths in arguments.rows for path in paths]
    found = contrast(old, new, rows, arguments.by)
    broken = bounds.broken(found)
    if arguments.report:
        write_report(found, arguments.report, broken)
    if arguments.json:
        print_json(found.to_json() | {"ok": not broken, "broken": broken})
    else:
        print("\n".join(lines(found)))
    if broken:
        raise BundleInvalid("; ".join(broken), help="look at the rows that differ, or allow more")
    return None


def add_difference(commands: Any) -> None:
    """Add `difference`."""
    difference = add(
        commands,
        "difference",
        _difference,
        "compare what two bundles answer on the same rows",
        "fivefold difference bundles/old bundles/new --max-disagreement 0.01 --max-change 0.1",
        "fivefold difference bundles/old bundles/new --rows recorded.jsonl --by country --by age",
        "fivefold difference bundles/old bundles/new --rows recorded.jsonl --report difference.html",
    )
    place = "a bundle: a directory, a .tar, or a URL with its digest"
    difference.add_argument("old", metavar="OLD", help=place)
    difference.add_argument("new", metavar="NEW", help="the same")
    difference.add_argument(
        "--rows",
        metavar="FILE",
        action="append",
        nargs="+",
        default=[],
        help="JSON lines beside the golden rows of both: what fivefold serve --record wrote, or records; repeatable",
    )
    difference.add_argument(
        "--by",
        metavar="FIELD",
        action="append",
        default=[],
        help="slices by this input of OLD's contract: its values, or the quarters of a number; repeatable",
    )
    difference.add_argument(
        "--max-disagreement",
        metavar="SHARE",
        type=float,
        help="exit with status 3 where a category differs in more of the rows, or NEW alone refuses more of them",
    )
    difference.add_argument(
        "--max-change", metavar="NUMBER", type=float, help="exit with status 3 where a number moves farther in any row"
    )
    difference.add_argument("--report", metavar="FILE", help="write a report: .md (and .svg beside it), .html or .svg")
    add_json(difference)
