"""The options that say which columns of a data set a draft takes, and how far its ranges reach."""

from __future__ import annotations

import argparse
import csv
import math
from typing import Any


def add_selection(parser: argparse.ArgumentParser) -> None:
    """The options `--target`, `--drop`, `--features` and `--margin`."""
    parser.add_argument(
        "--target",
        metavar="COLUMN,…",
        type=_columns,
        action="extend",
        default=[],
        help="what the model was trained to predict: no input; repeatable",
    )
    parser.add_argument(
        "--drop",
        metavar="COLUMN,…",
        type=_columns,
        action="extend",
        default=[],
        help="columns that are no input either; repeatable, a name with a comma in quotes: --drop '\"a, b\"'",
    )
    parser.add_argument(
        "--features",
        metavar="COLUMN,…",
        type=_columns,
        action="extend",
        help="the only inputs, in this order (default: every other column, in the data's order)",
    )
    parser.add_argument(
        "--margin",
        metavar="SHARE",
        type=_margin,
        default=0.0,
        help="widen each numeric range at both ends by this share of its span, such as 0.1; zero is not crossed "
        "(default: 0, the ends of the data)",
    )


def selected(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options as keyword arguments of `fivefold.exports.draft.drafted`."""
    return {name: getattr(arguments, name) for name in ("target", "drop", "features", "margin")}


def _columns(text: str) -> list[str]:
    """One cell or more of a line of CSV."""
    found = list(csv.reader([text], skipinitialspace=True))
    return found[0] if found else [""]


def _margin(text: str) -> float:
    try:
        margin = float(text)
    except ValueError:
        margin = math.nan
    if not (math.isfinite(margin) and margin >= 0):
        raise argparse.ArgumentTypeError(f"expected a share of at least 0, such as 0.1, got {text!r}")
    return margin
