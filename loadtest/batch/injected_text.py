"""Good and broken lines of CSV and JSON: three files each, with line feeds, with carriage returns too, compressed."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from loadtest.batch.fault_kinds import KEY, NAMES, FaultyFiles, Kind, Row, RowFault, deal, plain

BOM: Final = b"\xef\xbb\xbf"
HEADER: Final = (KEY, *NAMES)

Line = Callable[[Row, random.Random], bytes]


def _file(path: Path, data: bytes) -> None:
    # Without a time of its own, the same rows are the same bytes.
    path.write_bytes(gzip.compress(data, 6, mtime=0) if path.suffix == ".gz" else data)


def _write(
    format: str,
    directory: Path,
    rows: Sequence[Row],
    rng: random.Random,
    kinds: Sequence[Kind],
    good: Line,
    head: bytes,
) -> FaultyFiles:
    injected: list[RowFault] = []
    answers: dict[int, float] = {}
    broken = deal(len(rows), kinds, rng)
    third = len(rows) // 3
    files = ((f"a.{format}", b"\n"), (f"b.{format}", b"\r\n"), (f"c.{format}.gz", b"\n"))
    for index, (name, end) in enumerate(files):
        first, last = index * third, (index + 1) * third if index < 2 else len(rows)
        out = bytearray(head + end if head else b"")
        line = 1 + bool(head)
        for at in range(first, last):
            row = rows[at]
            kind = broken.get(at)
            if kind is None:
                text = good(row, rng)
                answers[row.id] = row.score
            else:
                text = kind.apply(plain(row), rng)
                injected.append(kind.fault(name, at - first, line=line, offset=len(out)))
            out += text + end
            line += text.count(b"\n") + 1
        _file(directory / name, bytes(out))
    return FaultyFiles(format, directory, len(rows), injected, answers)


def write_jsonl(directory: Path, rows: Sequence[Row], rng: random.Random) -> FaultyFiles:
    """Write rows as JSON lines."""
    return _write("jsonl", directory, rows, rng, JSON_KINDS, _json_line, b"")


def write_csv(directory: Path, rows: Sequence[Row], rng: random.Random) -> FaultyFiles:
    """Write rows as CSV with a header."""
    return _write("csv", directory, rows, rng, CSV_KINDS, _csv_line, ",".join(HEADER).encode())


def _json_line(row: Row, rng: random.Random) -> bytes:
    """A good record; an integer is one however it is spelled, and the order of names is nobody's concern."""
    record = row.record()
    names = list(record)
    if rng.random() < 0.1:
        rng.shuffle(names)
    cells = {name: json.dumps(record[name], ensure_ascii=rng.random() < 0.5) for name in names}
    if rng.random() < 0.1:
        cells["count"] = rng.choice((f"{row.count}.0", f"{row.count}e0", f"{row.count}.0e0"))
    if row.note is None and rng.random() < 0.5:
        cells["note"] = "null"
    return "{{{}}}".format(", ".join(f'"{name}": {cell}' for name, cell in cells.items())).encode()


def _json(**changed: Any) -> Line:
    """A record with other values; `...` leaves the name out."""

    def apply(row: Row, _: random.Random) -> bytes:
        record = row.record() | changed
        return json.dumps({name: value for name, value in record.items() if value is not ...}).encode()

    return apply


def _json_bytes(change: Callable[[bytes], bytes]) -> Line:
    return lambda row, _: change(json.dumps(row.record()).encode())


def _put(line: bytes, before: bytes, inserted: bytes) -> bytes:
    at = line.index(before)
    return line[:at] + inserted + line[at:]


JSON_KINDS: Final = (
    Kind("wrong type", "wrong_type", "amount", _json(amount="12.5")),
    Kind("out of range", "out_of_range", "amount", _json(amount=1000.5)),
    Kind("fraction for an integer", "wrong_type", "count", _json(count=3.5)),
    Kind("null", "null_not_allowed", "count", _json(count=None)),
    Kind("missing field", "missing_field", "active", _json(active=...)),
    Kind("extra field", "unknown_field", "colour", _json(colour="red")),
    Kind("pattern", "pattern_mismatch", "code", _json(code="ab1")),
    Kind("truncated line", "malformed", "", _json_bytes(lambda line: line[: len(line) // 2])),
    Kind("bad UTF-8", "malformed", "", _json_bytes(lambda line: _put(line, b'plain"', b"\xc3("))),
    Kind("byte order mark", "malformed", "", _json_bytes(lambda line: BOM + line)),
    Kind("NUL", "malformed", "", _json_bytes(lambda line: _put(line, b'plain"', b"\x00"))),
    Kind("NaN token", "malformed", "", _json(amount=float("nan"))),
)


def _csv_line(row: Row, rng: random.Random) -> bytes:
    """A good record; any cell may stand in quotes, and text with a comma, a quote or a line end must."""
    cells = _cells(row)
    if rng.random() < 0.1:
        at = rng.randrange(len(cells) - 1)
        cells[at] = f'"{cells[at]}"'
    return ",".join(cells).encode()


def _cells(row: Row) -> list[str]:
    note = row.note
    if note is None:
        text = ""
    elif not note or any(mark in note for mark in ',"\n'):
        text = '"{}"'.format(note.replace('"', '""'))
    else:
        text = note
    active = "true" if row.active else "false"
    return [str(row.id), repr(row.amount), str(row.count), active, row.site, row.code, text]


def _cell(name: str, text: str) -> Line:
    """A record with another cell."""

    def apply(row: Row, _: random.Random) -> bytes:
        cells = _cells(row)
        cells[HEADER.index(name)] = text
        return ",".join(cells).encode()

    return apply


def _csv_bytes(change: Callable[[bytes], bytes]) -> Line:
    return lambda row, _: change(",".join(_cells(row)).encode())


def _left_open(row: Row, _: random.Random) -> bytes:
    return ",".join(_cells(replace(row, site='"left'))).encode()


CSV_KINDS: Final = (
    Kind("wrong type", "wrong_type", "amount", _cell("amount", "twelve")),
    Kind("out of range", "out_of_range", "amount", _cell("amount", "1000.5")),
    Kind("fraction for an integer", "wrong_type", "count", _cell("count", "3.5")),
    Kind("empty cell", "null_not_allowed", "count", _cell("count", "")),
    Kind("number for a boolean", "wrong_type", "active", _cell("active", "1")),
    Kind("not in the enum", "not_in_enum", "site", _cell("site", "middle")),
    Kind(
        "truncated line", "malformed", "", _csv_bytes(lambda line: line[: line.index(b",", line.index(b",") + 1) + 2])
    ),
    Kind("extra cell", "malformed", "", _csv_bytes(lambda line: line + b",more")),
    Kind("bad UTF-8", "malformed", "", _csv_bytes(lambda line: _put(line, b"plain", b"\xff"))),
    Kind("byte order mark", "malformed", "", _csv_bytes(lambda line: BOM + line)),
    Kind("NUL", "wrong_type", "amount", _cell("amount", "1\x002")),
    Kind("unbalanced quote", "malformed", "", _left_open),
)
