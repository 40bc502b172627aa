"""`fivefold export`: a bundle as what another place runs, one entry in `TARGETS` a place.

Each target's files are written by a package of its own, which is imported when it is asked for.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fivefold.commands.words import USAGE, add, complain


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A place that a bundle is written for."""

    write: Callable[[argparse.Namespace, Path], Sequence[str]]
    """Writes the directory; gives the lines to print."""

    options: tuple[str, ...] = ()
    """The options, by their names in the namespace, that mean something to this target and are refused elsewhere."""

    several: bool = False
    """Whether `--model` may be given more than once."""


def _bentoml(arguments: argparse.Namespace, directory: Path) -> Sequence[str]:
    from fivefold.exports import bentoml

    return [str(path) for path in bentoml.write([Path(model) for model in arguments.model], directory)]


def _gateway(arguments: argparse.Namespace, directory: Path) -> Sequence[str]:
    from fivefold.edge.export import gateway_files

    return [str(path) for path in gateway_files.write([Path(model) for model in arguments.model], directory)]


TARGETS: dict[str, Target] = {
    "bentoml": Target(write=_bentoml, several=True),
    "gateway": Target(write=_gateway, several=True),
}
"""What `--to` takes."""


def _export(arguments: argparse.Namespace) -> int | None:
    target = TARGETS[arguments.to]
    problem = _misused(arguments, target)
    if problem:
        complain(problem, "fivefold export --help")
        return USAGE
    for line in target.write(arguments, Path(arguments.directory or arguments.output)):
        print(line)
    return None


def _misused(arguments: argparse.Namespace, target: Target) -> str | None:
    """What is wrong with the command line beyond what argparse sees, or None."""
    if (arguments.directory is None) == (arguments.output is None):
        return "expected one directory to write to"
    if len(arguments.model) > 1 and not target.several:
        return f"--to {arguments.to} takes one --model, got {len(arguments.model)}"
    known = {name for each in TARGETS.values() for name in each.options}
    for name in sorted(known - set(target.options)):
        if getattr(arguments, name) not in (None, False, []):
            return f"--{name.replace('_', '-')} means nothing to --to {arguments.to}"
    return None


def add_export(commands: Any) -> None:
    export = add(
        commands,
        "export",
        _export,
        "write a bundle as what another place runs: a service of another framework, a device",
        "fivefold export --model bundles/demo --to bentoml service",
        "fivefold export --model bundles/demo --to gateway pump",
    )
    export.add_argument("--to", choices=tuple(TARGETS), required=True)
    export.add_argument("--model", metavar="BUNDLE", action="append", required=True, help="a directory or a .tar")
    export.add_argument("directory", metavar="DIR", nargs="?", help="where it is written")
    export.add_argument("--output", metavar="DIR", help="the same")
