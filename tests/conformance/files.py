"""The driver of batch: each case as a file of one of the three formats, scored, and read back from the output.

What a file cannot say is left out of `asks`; README.md lists it. A row is judged alone there, so a case that is refused
is asked where it has one row.
"""

from __future__ import annotations

import itertools
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from fivefold.batch import formats
from fivefold.batch.formats.chunk import ReadRequest
from fivefold.batch.output.ledger import Ledger
from fivefold.batch.output.sinks import Layout
from fivefold.batch.plan.planning import Fragment
from fivefold.batch.storage.output_storage import DirectoryStorage
from fivefold.batch.storage.sources import find
from fivefold.batch.work.fragment_scorer import FragmentScorer
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import ContractError, FivefoldError
from fivefold.core.readers.arrow import Arrow
from fivefold.core.readers.exact_json import loads
from fivefold.core.runtime.scorer import Scorer
from fivefold.core.view import View
from tests.conformance.cases import Case, load_contract
from tests.conformance.drivers import Outcome, Refusal, _batch, _tabular, lists, refusal

CELLS = re.compile(r'[",\r\n]')


class Files:
    """JSON lines and CSV of a case's records, Parquet of its typed values."""

    transport = "files"

    def __init__(self, scorers: Callable[[str], Scorer], directory: Path) -> None:
        self.scorers, self.directory = scorers, directory
        self._count = itertools.count()

    def asks(self, case: Case) -> Iterator[str]:
        """The formats that can say the case."""
        if case.limits.max_rows is not None or case.limits.max_depth is not None:
            return
        rows = _records(case)
        if rows and (case.refused is None or len(rows) == 1):
            yield "jsonl"
            if header(load_contract(case.contract), rows) is not None:
                yield "csv"
        if case.binary is not None and _tabular(load_contract(case.contract), case):
            batch = _batch(load_contract(case.contract), case)
            if batch is not None and batch.num_rows and (case.refused is None or batch.num_rows == 1):
                yield "parquet"

    def ask(self, case: Case, spelling: str) -> Outcome | Refusal:
        """Write the file, score it, read what came of it."""
        contract = load_contract(case.contract)
        home = self.directory / str(next(self._count))
        home.mkdir()
        try:
            path = home / f"a.{spelling}"
            self._write(case, contract, path)
            return scored(View.of(contract), self.scorers(case.contract), path)
        except FivefoldError as error:
            return refusal(error)
        finally:
            shutil.rmtree(home)

    def _write(self, case: Case, contract: Contract, path: Path) -> None:
        if path.suffix == ".parquet":
            pq.write_table(pa.Table.from_batches([_batch(contract, case)]), path)
            return
        rows = _records(case)
        assert rows is not None
        write_text(contract, rows, path)


def write_text(contract: Contract, rows: list[bytes], path: Path) -> None:
    """Records as JSON lines, or as the CSV that says the same (`header`)."""
    if path.suffix == ".jsonl":
        path.write_bytes(b"".join(row + b"\n" for row in rows))
        return
    names = header(contract, rows)
    assert names is not None
    lines = [",".join(_cell(row, name) for name in names) for row in map(_raw, rows)]
    path.write_text("\n".join([",".join(names), *lines]) + "\n", encoding="utf-8", newline="")


def scored(view: View, scorer: Scorer, path: Path) -> Outcome | Refusal:
    """What a file's rows are answered under a contract version; written and read back beside it."""
    (source,) = find([str(path)])
    request = ReadRequest(view.inputs)
    reader = formats.of(source.format, request)
    reader.check_layout(source)
    (part,) = reader.ranges(source, 1 << 30)
    storage = DirectoryStorage(str(path.parent / "out"))
    layout = Layout.of(view, scorer.bundle.name, [])
    scratch = storage.scratch()
    FragmentScorer(scorer, view, Ledger(storage), scratch, request, layout, "parquet").score(
        Fragment("all", source, part)
    )
    scratch.close()
    bad = storage.read("quarantine/part-all.jsonl")
    if bad is not None:
        (record,) = [json.loads(line) for line in bad.splitlines()]
        return Refusal(tuple((item["code"], item["path"]) for item in record.get("details", [record])))
    table = pq.read_table(path.parent / "out" / "part-all.parquet").select([f.name for f in view.outputs])
    outputs = Arrow(view.outputs).read(table.combine_chunks().to_batches()[0]).accept()
    return Outcome(lists(view.outputs, outputs))


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    instances: list[msgspec.Raw]


def _records(case: Case) -> list[bytes] | None:
    """The text of each record, None where the body is no list of some that each stand in one line."""
    if case.records is None:
        return None
    try:
        loads(case.records)
        rows = [bytes(row) for row in msgspec.json.decode(case.records, type=_Body).instances]
    except (ContractError, msgspec.MsgspecError, UnicodeError):
        return None
    return None if any(b"\n" in row or b"\r" in row for row in rows) else rows


def _raw(row: bytes) -> dict[str, msgspec.Raw]:
    return msgspec.json.decode(row, type=dict[str, msgspec.Raw])


def header(contract: Contract, rows: list[bytes]) -> list[str] | None:
    """The columns of a CSV file that says the same, None where there is none.

    A cell has no type of its own: text for a number, or a number for text, would be read as what the field wants.
    """
    fields = {name: field for field in contract.inputs for name in (field.name, *field.aliases)}
    try:
        records = [_raw(row) for row in rows]
    except msgspec.MsgspecError:
        return None
    names = list(records[0])
    if not names or (len(names) == 1 and any(bytes(record.get(names[0], b"")) == b"null" for record in records)):
        # Without a column there is no row, and an empty line is none either.
        return None
    for row, record in zip(rows, records, strict=True):
        # A name that is repeated, or absent from one of several rows, has no cell.
        if (
            list(record) != names
            or len(loads(row)) != len(names)
            or row.count(b'":') > len(names) + row.count(b"{") - 1
        ):
            return None
        for name, raw in record.items():
            field, text = fields.get(name), bytes(raw)
            if field is None or b"\\u" in text or CELLS.search(name):
                return None
            kind = (
                "text"
                if text[:1] == b'"'
                else "null"
                if text == b"null"
                else "bool"
                if text in (b"true", b"false")
                else "other"
            )
            wanted = {"string": "text", "bytes": "text", "bool": "bool"}.get(field.kind, "other")
            if kind not in ("null", "other" if field.shape else wanted) or (field.shape and text[:1] != b"["):
                return None
    return names


def _cell(record: dict[str, msgspec.Raw], name: str) -> str:
    text = bytes(record[name]).decode()
    if text == "null":
        return ""
    value: Any = loads(text.encode()) if text[:1] == '"' else None
    shown = text if value is None else value
    return '"' + shown.replace('"', '""') + '"' if value is not None or CELLS.search(shown) else shown
