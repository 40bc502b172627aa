"""`fivefold parity`: whether every runtime on this machine answers a bundle's rows alike."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from fivefold.commands.words import USAGE, add, add_json, complain, print_json

ROWS = 200
MOST = 100_000

DATA = 3
"""Exit status where runtimes do not agree."""


def _parity(arguments: argparse.Namespace) -> int | None:
    from fivefold.core import atomic
    from fivefold.core.settings import read
    from fivefold.delivery.fetch import fetch
    from fivefold.delivery.settings import DeliverySettings
    from fivefold.parity import parity_picture, parity_run, parity_table

    only, required = (_names(given) for given in (arguments.only, arguments.require))
    if arguments.picture and Path(arguments.picture).suffix != ".svg":
        complain(f"--picture {arguments.picture}: expected a name that ends in .svg", "fivefold parity --help")
        return USAGE
    if arguments.picture and not Path(arguments.picture).absolute().parent.is_dir():
        complain(f"--picture {arguments.picture}: there is no such directory", "fivefold parity --help")
        return USAGE
    names = parity_run.chosen(only, required)
    bundle = fetch(arguments.model, read(DeliverySettings))

    def say(name: str) -> None:
        if sys.stderr.isatty():
            print(f"asking {name} …", file=sys.stderr)

    with _ended_alike():
        result = parity_run.run(bundle, arguments.rows, names, required=required, seed=arguments.seed, say=say)
    if arguments.picture:
        atomic.replace_file(Path(arguments.picture), parity_picture.draw(result).encode())
    if arguments.json:
        print_json(result.to_json())
    else:
        print("\n".join(parity_table.lines(result)))
    if result.broken:
        sys.stdout.flush()
        complain("; ".join(result.broken), None)
        return DATA
    return None


@contextlib.contextmanager
def _ended_alike() -> Iterator[None]:
    """SIGTERM and SIGHUP end a run as Ctrl-C does: no program is left behind, and no directory."""

    def end(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    before = {signum: signal.signal(signum, end) for signum in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _names(given: list[str]) -> list[str]:
    return [name for names in given for name in names.split(",") if name]


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) > MOST:
        raise argparse.ArgumentTypeError(f"expected a number of rows from 0 to {MOST}, got {text!r}")
    return int(text)


def add_parity(commands: Any) -> None:
    """Add `parity`."""
    parity = add(
        commands,
        "parity",
        _parity,
        "ask every runtime on this machine the same rows, and compare what they answer",
        "fivefold parity --model bundles/demo",
        "fivefold parity --model bundles/demo --rows 2000 --picture parity.svg",
        "fivefold parity --model bundles/demo --only http-v1,grpc --require grpc --json",
    )
    parity.add_argument(
        "--model", metavar="REFERENCE", required=True, help="a bundle: a directory, a .tar, or a URL with its digest"
    )
    parity.add_argument(
        "--rows",
        metavar="N",
        type=_count,
        default=ROWS,
        help=f"rows generated from the contract beside all golden ones; up to half made to be refused (default {ROWS})",
    )
    parity.add_argument(
        "--only", metavar="NAMES", action="append", default=[], help="these runtimes alone, commas between; repeatable"
    )
    parity.add_argument(
        "--require",
        metavar="NAMES",
        action="append",
        default=[],
        help="exit with status 3 where one of these is not on this machine; repeatable",
    )
    parity.add_argument("--seed", metavar="TEXT", default="parity", help="other generated rows (default parity)")
    parity.add_argument("--picture", metavar="FILE.svg", help="write the result as a picture, too")
    add_json(parity)
