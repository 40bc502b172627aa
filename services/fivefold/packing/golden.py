"""Rows to prove a model with: out of somebody's data, or made from the contract.

Rows that break the contract are left out and counted. Reading is core's readers' work: the rows are held to the same
law as any request. Which rows packing measures with is left to `fivefold.packing.probe`, which of them travel in the
bundle to `fivefold.packing.kept`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fivefold.core.check import Reading
from fivefold.core.columns import Columns
from fivefold.core.contract import Contract, Field
from fivefold.core.errors import ContractInvalid, FivefoldError, Violation
from fivefold.core.readers.arrow import Arrow
from fivefold.core.readers.records import Records
from fivefold.core.readers.text import Text
from fivefold.packing.bind import normal
from fivefold.packing.generated import generate
from fivefold.packing.needs import need

GOLDEN_LEAST = 32
GOLDEN_MOST = 256
GOLDEN_MADE = 64
PROBE_MOST = 2048
PROBE_MADE = 512
"""Rows measured with while packing: enough to meet the rare row on which two number formats take different branches."""


@dataclass(frozen=True)
class Rows:
    """Legal rows of a contract's inputs, and where they come from."""

    columns: Columns
    source: str
    refused: int = 0
    first: Violation | None = None

    def index(self, most: int) -> npt.NDArray[np.int64]:
        """The positions of at most `most` rows, evenly spaced, the first and the last among them."""
        rows = self.columns.rows
        return np.linspace(0, rows - 1, min(most, rows)).round().astype(np.int64)

    def pick(self, most: int) -> Columns:
        """At most `most` rows, evenly spaced, the first and the last among them."""
        return self.columns if self.columns.rows <= most else self.columns.take(self.index(most))


def from_data(data: Any, contract: Contract) -> Rows:
    """The legal rows of a file (.parquet .csv .json .jsonl), a data frame, a mapping of columns or a list of records.

    Columns outside the contract are ignored; a column may also be spelled as people spell it (`mean radius` for
    `mean_radius`). Raises `ContractInvalid` where no row is legal.
    """
    source = str(Path(data).name) if isinstance(data, str | Path) else "the given data"
    reading = _read(data, contract)
    first = reading.violations[0] if reading.violations else None
    if not reading.columns.rows:
        why = first.message if first else "there are no rows"
        raise ContractInvalid(
            f"no row of {source} is legal under the contract: {first.path + ': ' if first else ''}{why}",
            help="correct the contract, or give data of the model's inputs",
        )
    return Rows(reading.columns, source, reading.rows - reading.columns.rows, first)


def _read(data: Any, contract: Contract) -> Reading:
    fields = contract.inputs
    if isinstance(data, str | Path):
        path = Path(data)
        suffix = path.suffix.lower()
        try:
            if suffix in (".parquet", ".pq"):
                return _table(need("pyarrow.parquet").read_table(path), fields)
            if suffix in (".csv", ".tsv"):
                return _csv(path, fields, "\t" if suffix == ".tsv" else ",")
            if suffix in (".json", ".jsonl", ".ndjson"):
                text = path.read_text("utf-8")
                data = (
                    json.loads(text)
                    if suffix == ".json"
                    else [json.loads(line) for line in text.splitlines() if line.strip()]
                )
            else:
                raise ContractInvalid(f"cannot tell the format of {path}", help="use .parquet, .csv, .json or .jsonl")
        except FivefoldError:
            raise
        except OSError as err:
            raise ContractInvalid(f"cannot read {path}: {err.strerror or err}") from err
        except Exception as err:  # pyarrow's and json's own errors for a file that is not what its name says
            raise ContractInvalid(f"cannot read {path}: {str(err).splitlines()[0]}") from err
    if isinstance(data, dict) and isinstance(data.get("instances"), list):
        data = data["instances"]
    if isinstance(data, Sequence):
        known = _spellings(fields)
        rows = [
            {known.get(key, key): value for key, value in row.items() if key in known} if isinstance(row, dict) else row
            for row in data
        ]
        return Records(fields).read(rows)
    pandas = need("pandas")
    frame = data if isinstance(data, pandas.DataFrame) else pandas.DataFrame(data)
    return _table(need("pyarrow").Table.from_pandas(frame, preserve_index=False), fields)


def _spellings(fields: Sequence[Field]) -> dict[str, str]:
    """Every way to write a field's name that data may hold under its own name too, to the field's name."""
    exact = {name: name for field in fields for name in (field.name, *field.aliases)}
    return _Spellings(exact, {normal(field.name): field.name for field in fields})


class _Spellings(dict[str, str]):
    def __init__(self, exact: dict[str, str], loose: dict[str, str]) -> None:
        super().__init__(exact)
        self._loose = loose

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or (isinstance(key, str) and normal(key) in self._loose)

    def get(self, key: str, default: Any = None) -> Any:
        return super().get(key) or self._loose.get(normal(key), default)


def _table(table: Any, fields: Sequence[Field]) -> Reading:
    known = _spellings(fields)
    names = [str(name) for name in table.column_names]
    taken = {name for name in names if dict.__contains__(known, name)}
    renamed = [name if name in taken or known.get(name) in taken else known.get(name, name) for name in names]
    table = table.rename_columns(renamed).combine_chunks()
    batches = table.to_batches()
    if not batches:
        raise ContractInvalid("the data has no rows")
    return Arrow(fields).read(batches[0])


def _csv(path: Path, fields: Sequence[Field], delimiter: str) -> Reading:
    csv = need("pyarrow.csv")
    pa = need("pyarrow")
    parse = csv.ParseOptions(delimiter=delimiter)
    with csv.open_csv(path, parse_options=parse) as reader:
        names = reader.schema.names
    convert = csv.ConvertOptions(
        column_types={name: pa.string() for name in names},
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    table = csv.read_csv(path, parse_options=parse, convert_options=convert)
    known = _spellings(fields)
    header = [name if dict.__contains__(known, name) else known.get(name, name) for name in names]
    return Text(fields).read(header, list(zip(*(column.to_pylist() for column in table.columns), strict=True)))


def made(fields: Sequence[Field], rows: int, seed: str = "") -> Rows:
    """`rows` legal rows made from the fields: inside ranges, enums, lengths and patterns, a null in eight where
    nullable. The same fields, count and seed give the same rows on every machine."""
    return Rows(generate(fields, rows, seed), "made from the contract")
