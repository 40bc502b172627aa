"""What the commands share: how a command is added, how an error and JSON are printed."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import IO, Any, NoReturn

from fivefold.core import redact
from fivefold.core.errors import FivefoldError

USAGE = 2
"""Exit status of a command line that cannot be parsed."""


class Parser(argparse.ArgumentParser):
    """argparse with the house's two lines for an error."""

    intermixed = False
    """Whether words and options may stand in any order, where a command takes several words."""

    def __init__(self, **named: Any) -> None:
        named.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(**named)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """See argparse, which by itself would take the words before the first option and no others."""
        if not self.intermixed:
            return super().parse_known_args(args, namespace)
        # It calls this method in its turn.
        self.intermixed = False
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self.intermixed = True

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the command line, and end."""
        complain(message, f"{self.prog} --help")
        sys.exit(USAGE)


class Told(Exception):  # what ends the command is the error in it
    """An error that the command has told in its own way: the exit status is all that is left to give."""

    def __init__(self, error: FivefoldError) -> None:
        super().__init__(str(error))
        self.error = error


def complain(message: str, help: str | None) -> None:
    """The two lines of an error, on stderr; an address that was given is shown without what may be secret in it."""
    print(f"error: {redact.text(message)}", file=sys.stderr)
    if help:
        print(f"help: {redact.text(help)}", file=sys.stderr)


def print_json(value: Any, out: IO[str] | None = None) -> None:
    """A value for programs, on stdout."""
    print(json.dumps(value, indent=2, ensure_ascii=False), file=out)


def add(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int | None], about: str, *examples: str
) -> Parser:
    """Add a command; its help ends with the examples."""
    lines = "\n".join(f"  {example}" for example in examples)
    added: Parser = commands.add_parser(
        name, help=about, description=f"{about[0].upper()}{about[1:]}.", epilog=f"examples:\n{lines}"
    )
    added.set_defaults(run=run)
    return added


def add_group(commands: Any, name: str, about: str, *examples: str) -> Any:
    """Add a command that has commands of its own."""
    group = commands.add_parser(
        name,
        help=about,
        description=f"{about[0].upper()}{about[1:]}.",
        epilog="examples:\n" + "\n".join(f"  {line}" for line in examples),
    )
    return group.add_subparsers(metavar="COMMAND", required=True)


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON for programs")


_REFERENCE = "a bundle: a directory, a .tar, or a URL (https, s3, gs, file) with its digest"


def add_force(parser: argparse.ArgumentParser, help: str = "replace a bundle that stands there") -> None:
    """`--force`: what a command that writes a bundle overwrites by nothing else."""
    parser.add_argument("--force", action="store_true", help=help)


def add_model_references(parser: argparse.ArgumentParser) -> None:
    """`--model`: what a server serves."""
    parser.add_argument("--model", metavar="REFERENCE", action="append", default=[], help=f"{_REFERENCE}; repeatable")


def add_providers(parser: argparse.ArgumentParser) -> None:
    """`--providers`: on which devices models run; `fivefold.cli` hands it to all processes of the command."""
    parser.add_argument(
        "--providers",
        metavar="NAME,…",
        help="ONNX Runtime's execution providers, the wanted one first: cuda,cpu (default cpu, or FIVEFOLD_PROVIDERS)",
    )


def add_bundle_words(parser: Parser) -> None:
    """Bundles as words, beside `--model`."""
    parser.intermixed = True
    parser.add_argument("bundles", metavar="BUNDLE", nargs="*", help=_REFERENCE)


def add_default_versions(
    parser: argparse.ArgumentParser, help: str = "the version that answers without one; repeatable"
) -> None:
    """`--default`: which of a model's versions answers without one."""
    parser.add_argument(
        "--default",
        metavar="NAME=VERSION",
        action="append",
        default=[],
        type=_pair,
        help=help,
    )


def _pair(text: str) -> str:
    """The type of an argument `NAME=VERSION`."""
    name, equals, version = text.partition("=")
    if not (name and equals and version):
        raise argparse.ArgumentTypeError(f"expected NAME=VERSION, got {text!r}")
    return text
