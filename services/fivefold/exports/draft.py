"""A contract drafted from data, for a person to edit.

What the data shows becomes rules: dtypes, ranges, the values of strings that repeat, nullability, array shapes. Data
shows neither units nor meaning nor the values that have not come yet, so the draft is a start and never the last
word; what was decided on the way is said in notes. Reading tables is left to `fivefold.exports.sample_tables`, names to
`fivefold.exports.sample_headers`, one field to `fivefold.exports.drafted_field`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fivefold.core.check.findings import describe
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import ContractInvalid
from fivefold.core.fields.field import Field
from fivefold.exports import drafted_field, sample_headers, sample_tables

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Drafted:
    """A drafted contract, what was decided while drafting it, and the column behind each input field."""

    contract: Contract
    notes: tuple[str, ...]
    columns: Mapping[str, str]
    rows: int
    """Rows of the data."""

    def ranges(self, most: int = 4) -> str:
        """What is to be corrected first: the ranges that are the data's own ends, and of how many rows they are."""
        named = [
            f"{field.name} {describe(field.minimum)}..{describe(field.maximum)}"
            for field in self.contract.inputs
            if field.minimum is not None and field.maximum is not None
        ]
        more = f", … {len(named)} in all" if len(named) > most else ""
        if not named:
            return f"its values are those of {self.rows:,} rows"
        return f"its ranges are those of {self.rows:,} rows ({', '.join(named[:most])}{more})"


def drafted(
    data: Any,
    name: str,
    *,
    outputs: Sequence[str | Field],
    version: str = "1.0.0",
    description: str | None = None,
    target: str | Sequence[str] = (),
    drop: Sequence[str] = (),
    features: Sequence[str] | None = None,
    margin: float = 0.0,
    open_ranges: bool = False,
    enums: Mapping[str, Sequence[Any]] | None = None,
) -> Drafted:
    """Draft a contract from a pandas frame, a pyarrow table, records, or a file that `tables.load` reads.

    `outputs` are fields as they stand, or names of columns that hold the model's answers: those columns are outputs and
    not inputs, and neither are the columns of `target` and `drop`. `features` are the only inputs, in that order. A
    column whose name is not legal in a contract gets one that is, and keeps the other as an alias.

    Numeric ranges are the data's ends, each moved outwards by `margin` times the span; zero is not crossed where all
    values lie on one side of it. `open_ranges` leaves ranges out, for models that are asked about outliers. `enums`
    gives for a column the values that the model knows, which replace the observed ones.

    Raises `ContractInvalid` for data that has no place in a contract (ragged arrays, times, nested records) and for
    columns that are not there.
    """
    source = data if isinstance(data, sample_tables.Table) else sample_tables.load(data)
    table, known = source.arrow, source.arrow.column_names
    if not table.num_rows:
        raise ContractInvalid("no rows to draft from")
    if not (math.isfinite(margin) and margin >= 0):
        raise ContractInvalid(f"expected a margin of at least 0, got {margin}", path="margin", help="such as 0.1")
    answers = [output for output in outputs if isinstance(output, str)]
    taken = {"target": [target] if isinstance(target, str) else list(target), "drop": list(drop)}
    sample_headers.refuse_unknown(answers, known, "outputs", "to draft an output from")
    sample_headers.refuse_unknown(taken["target"], known, "target", "to take as the target")
    sample_headers.refuse_unknown(taken["drop"], known, "drop", "to leave out")
    sample_headers.refuse_unknown(enums or (), known, "enums", "to give values for")
    chosen = _chosen(source, features, {**taken, "outputs": answers})
    # Names are made over all columns: a made name is never the header of a column that is left out.
    names = sample_headers.names(known)
    ranges = drafted_field.Ranges(margin, is_open=open_ranges)
    notes = [note for header, note in source.index.items() if header not in chosen and header not in taken["drop"]]
    inputs = []
    for header in chosen:
        found = drafted_field.of_column(
            table.column(header), header, names[header], f"inputs[{header!r}]", ranges, (enums or {}).get(header)
        )
        inputs.append(found.json)
        notes += [*source.notes.get(header, ()), *found.notes]
    answered: list[dict[str, Any]] = []
    for output in outputs:
        if isinstance(output, Field):
            answered.append(output.to_json())
            continue
        found = drafted_field.of_column(
            table.column(output), output, names[output], f"outputs[{output!r}]", drafted_field.Ranges()
        )
        answered.append(drafted_field.answer(found.json))
        notes += source.notes.get(output, ())
    about = {} if description is None else {"description": description}
    head = {"format": 1, "name": name, "version": version, **about}
    contract = Contract.from_json({**head, "inputs": inputs, "outputs": answered})
    return Drafted(contract, tuple(notes), {names[header]: header for header in chosen}, table.num_rows)


def read(data: Any) -> pa.Table:
    """The data as an Arrow table. Raises `ContractInvalid` for what is not a table."""
    return sample_tables.load(data).arrow


def _chosen(
    source: sample_tables.Table, features: Sequence[str] | None, taken: Mapping[str, Sequence[str]]
) -> list[str]:
    """The headers of the inputs, in order."""
    known = source.arrow.column_names
    if features is None:
        out = {header for names in taken.values() for header in names} | set(source.index)
        chosen = [header for header in known if header not in out]
    else:
        sample_headers.refuse_unknown(features, known, "features", "to take as a feature")
        chosen = list(features)
        for header in chosen:
            if chosen.count(header) > 1:
                raise ContractInvalid(f"the feature {header!r} is given twice", path="features")
            for purpose, names in taken.items():
                if header in names:
                    raise ContractInvalid(f"{header!r} is in features and in {purpose}", path="features")
    if not chosen:
        raise ContractInvalid("no column is left for the inputs", path="inputs", help="take fewer columns out")
    return chosen
