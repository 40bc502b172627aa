"""Which hub a command is about: a directory's store, or a Postgres."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fivefold.commands.words import Parser

if TYPE_CHECKING:
    from fivefold.edge.hub.database import HubDatabase


@contextmanager
def hub_store(arguments: argparse.Namespace, *, create: bool = False) -> Iterator[HubDatabase]:
    """The store that a command line names, for the length of a `with`."""
    from fivefold.edge.hub.store_opening import open_database

    database = open_database(arguments.data, arguments.database, create=create)
    try:
        yield database
    finally:
        database.close()


def add_store(parser: Parser, *, running: bool = False) -> None:
    """Add the arguments that name it; `running`: a hub that answers may be named instead."""
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--data", metavar="DIR", help="the hub's directory, on a disk of this machine")
    place.add_argument("--database", metavar="URL", help="or a Postgres: postgres://USER@HOST/NAME")
    if running:
        place.add_argument("--hub", metavar="URL", help="or a hub that answers there")


def from_zero(text: str) -> int:
    """The type of an argument that is a number of at least 0."""
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise argparse.ArgumentTypeError(f"expected a number of at least 0, got {text!r}")
    return int(text)
