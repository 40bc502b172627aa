"""The rows that two bundles are compared on: golden rows of both, and recorded requests from files.

A file holds JSON lines: `{"contract": "NAME@VERSION", "inputs": record}` as `fivefold serve --record` writes them, or a
record alone, which is read under the old bundle's default contract version as a request that names none. Reading a
record under its version is left to `model_side`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import ContractError, NotFound, RunFailed
from fivefold.core.readers.recorded_lines import recorded_line

TOGETHER = 4096
"""Rows that are asked for at once."""

GOLDEN_OLD, GOLDEN_NEW, GOLDEN_BOTH = "golden rows, old", "golden rows, new", "golden rows, both"


@dataclass(slots=True)
class RowSource:
    """Where rows come from, and what became of them."""

    name: str
    read: int = 0
    """Rows, also those that were refused or are of other contracts."""
    compared: int = 0
    foreign: dict[str, int] = field(default_factory=dict)
    """Rows by the contract of which they are, where that is neither bundle's."""

    def to_json(self) -> dict[str, Any]:
        return {"rows": self.name, "read": self.read, "compared": self.compared, "foreign": self.foreign}


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Some rows of one source under one contract version."""

    source: RowSource
    contract: str
    """`NAME@VERSION`."""
    numbers: Sequence[int]
    """Which rows of the source they are: lines of a file from 1, golden rows from 0."""
    records: Sequence[bytes]
    """Each as JSON, as it stands in the file."""


@dataclass(frozen=True, slots=True)
class BrokenLine:
    """A line that holds no record."""

    source: RowSource
    number: int
    error: ContractError


def golden_batches(old: Bundle, new: Bundle) -> Iterator[RowBatch]:
    """The golden rows of both, those once that they share under one contract version."""
    sides = [(bundle.views.own.name, bundle.golden()[0].to_records()) for bundle in (old, new)]
    known = [{(version, _text(record)) for record in records} for version, records in sides]
    both = known[0] & known[1]
    for at, name in enumerate((GOLDEN_OLD, GOLDEN_NEW)):
        version, records = sides[at]
        own = [row for row, record in enumerate(records) if (version, _text(record)) not in both]
        shared = [row for row, record in enumerate(records) if (version, _text(record)) in both]
        for title, rows in ((GOLDEN_BOTH, shared if not at else []), (name, own)):
            if rows:
                source = RowSource(title, read=len(rows))
                yield RowBatch(source, version, rows, [_text(records[row]) for row in rows])


def recorded_batches(path: str | Path, old: Bundle, new: Bundle) -> Iterator[RowBatch | BrokenLine]:
    """The rows of a file; raises `NotFound` where there is none, `RunFailed` for one that cannot be read."""
    place = Path(path)
    if not place.is_file():
        raise NotFound("not_found", f"there is no file {place}", help="fivefold serve --record FILE writes them")
    source = RowSource(place.name)
    names = {old.contract.name, new.contract.name}
    waiting: dict[str, tuple[list[int], list[bytes]]] = {}
    held = 0
    try:
        file = place.open("rb")
    except OSError as err:
        raise RunFailed("input_broken", f"cannot read {place}: {err.strerror}") from err
    with file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            source.read += 1
            try:
                contract, record = _request(line, old)
            except ContractError as error:
                yield BrokenLine(source, number, error)
                continue
            if contract.rpartition("@")[0] not in names:
                source.foreign[contract] = source.foreign.get(contract, 0) + 1
                continue
            numbers, records = waiting.setdefault(contract, ([], []))
            numbers.append(number)
            records.append(record)
            held += 1
            if held == TOGETHER:
                yield from _batches(source, waiting)
                waiting, held = {}, 0
    yield from _batches(source, waiting)
    # So that a file without rows, or with foreign ones alone, is heard of too.
    yield RowBatch(source, old.views.default.name, (), ())


def _batches(source: RowSource, waiting: dict[str, tuple[list[int], list[bytes]]]) -> Iterator[RowBatch]:
    for contract, (numbers, records) in waiting.items():
        yield RowBatch(source, contract, numbers, records)


def _request(line: bytes, old: Bundle) -> tuple[str, bytes]:
    """The contract version and the record of a line; raises `ContractError` `malformed`.

    What is wrong inside of a record is said by whoever reads it.
    """
    named, record = recorded_line(line)
    contract = named or old.views.default.name
    # A version alone is one of the old bundle's contract: another model's may have the same number.
    return contract if "@" in contract else f"{old.contract.name}@{contract}", record


def _text(record: Any) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode()
