"""Spoiled rows and the truth about them: files of good rows of which one in a hundred is broken in a known way.

`make` writes the files of one format and tells exactly where each fault lies and what code it must get, twelve kinds in
each format, from a seed. `bundle` packs a model for them whose answer is `amount + count`. How lines and columns are
spelled and spoiled is in `dirt_text` and `dirt_parquet`; comparing a run with the truth is left to `finding`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

KEY: Final = "id"
"""A column beside the contract: each row's own number."""

FIELDS: Final[tuple[Mapping[str, Any], ...]] = (
    {"name": "amount", "dtype": "float64", "minimum": 0, "maximum": 1000},
    {"name": "count", "dtype": "int32", "minimum": 0, "maximum": 100},
    {"name": "active", "dtype": "bool"},
    {"name": "site", "dtype": "string", "enum": ["left", "right"]},
    {"name": "code", "dtype": "string", "pattern": "^[A-Z]{3}$"},
    {"name": "note", "dtype": "string", "maxLength": 40, "nullable": True, "null_value": ""},
)
NAMES: Final = tuple(str(field["name"]) for field in FIELDS)
CONTRACT: Final[Mapping[str, Any]] = {
    "format": 1,
    "name": "dirt",
    "version": "1.0.0",
    "inputs": list(FIELDS),
    "outputs": [{"name": "score", "dtype": "float64"}],
}
NOTES: Final = (None, "", "plain", "one, two", 'a "quoted" word', "two\nlines", "größer 😀")

SHARE: Final = 100
"""One row in so many is spoiled."""


@dataclass(frozen=True)
class Row:
    """A good row."""

    id: int
    amount: float
    count: int
    active: bool
    site: str
    code: str
    note: str | None

    @property
    def score(self) -> float:
        """What the model answers."""
        return self.amount + self.count

    def record(self) -> dict[str, Any]:
        """Its values by name, its number too."""
        return dict(vars(self))


@dataclass(frozen=True)
class Planted:
    """One fault: `rows` rows from `row` (from 0) of a file on. `line` (from 1) and `offset` (bytes behind the
    compression) are those of the record's beginning, None in Parquet; `field` is empty where it is nobody's."""

    kind: str
    file: str
    row: int
    code: str
    field: str = ""
    rows: int = 1
    line: int | None = None
    offset: int | None = None


@dataclass(frozen=True)
class Kind:
    """One way to spoil: the code and the field of the fault that must be found. `spoil` is the format's own."""

    name: str
    code: str
    field: str
    spoil: Callable[..., Any]

    def planted(self, file: str, row: int, **more: int) -> Planted:
        """Its fault in a row of a file."""
        return Planted(self.name, file, row, self.code, self.field, **more)


@dataclass(frozen=True)
class Dirty:
    """Files below a directory: all of their rows, the faults among them, and the good rows' answers by number."""

    format: str
    directory: Path
    rows: int
    planted: Sequence[Planted]
    answers: Mapping[int, float]

    @property
    def bad(self) -> int:
        """The rows that must not be scored."""
        return sum(each.rows for each in self.planted)


def make(format: str, directory: Path, rows: int, seed: int = 0) -> Dirty:
    """Write `rows` rows (a multiple of 1,200, so that every kind is there equally) in a format: parquet, csv, jsonl."""
    from loadtest.batch_parts import dirt_parquet, dirt_text

    if rows % (SHARE * 12) or not rows:
        raise ValueError(f"expected a multiple of {SHARE * 12} rows, got {rows}")
    directory.mkdir(parents=True)
    dice = random.Random(f"{seed} {format}")
    writers = {"parquet": dirt_parquet.write, "csv": dirt_text.write_csv, "jsonl": dirt_text.write_jsonl}
    return writers[format](directory, [draw(index, dice) for index in range(rows)], dice)


def kinds(format: str) -> tuple[Kind, ...]:
    """The twelve kinds of a format."""
    from loadtest.batch_parts import dirt_parquet, dirt_text

    return {"parquet": dirt_parquet.KINDS, "csv": dirt_text.CSV_KINDS, "jsonl": dirt_text.JSON_KINDS}[format]


def draw(index: int, dice: random.Random) -> Row:
    """A good row of that number."""
    return Row(
        index,
        round(dice.uniform(0, 1000), 2),
        dice.randrange(101),
        dice.random() < 0.5,
        dice.choice(("left", "right")),
        "".join(dice.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=3)),
        dice.choice(NOTES),
    )


def plain(row: Row) -> Row:
    """The row without what would make a second fault of one: line ends and quotes."""
    return replace(row, note="plain")


def deal(rows: int, kinds: Sequence[Kind], dice: random.Random) -> dict[int, Kind]:
    """Which rows are spoiled, and how: one in a hundred, every kind equally often."""
    places = sorted(dice.sample(range(rows), rows // SHARE))
    each = [kinds[index % len(kinds)] for index in range(len(places))]
    dice.shuffle(each)
    return dict(zip(places, each))


def bundle(directory: Path) -> Path:
    """A bundle for the rows, below `directory`: `amount + count`, the other fields are looked at and not used."""
    from onnx import TensorProto, helper

    from fivefold.core.bundle.bundle import Binding, Bundle, InputBinding, OutputBinding
    from fivefold.core.contract.contract import Contract

    types = {
        "float64": TensorProto.DOUBLE,
        "int32": TensorProto.INT32,
        "bool": TensorProto.BOOL,
        "string": TensorProto.STRING,
    }
    nodes = [
        helper.make_node("Cast", ["count"], ["as_double"], to=TensorProto.DOUBLE),
        helper.make_node("Add", ["amount", "as_double"], ["score"]),
    ]
    graph = helper.make_graph(
        nodes,
        "dirt",
        [helper.make_tensor_value_info(str(field["name"]), types[str(field["dtype"])], ["rows"]) for field in FIELDS],
        [helper.make_tensor_value_info("score", TensorProto.DOUBLE, ["rows"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    dice = random.Random(1)
    golden = [draw(index, dice) for index in range(32)]
    given = [{name: row.record()[name] for name in NAMES} for row in golden]
    target = directory / "dirt"
    Bundle.write(
        target,
        contract=Contract.from_json(dict(CONTRACT)),
        model={"model.onnx": model.SerializeToString(deterministic=True)},
        runtime="onnx",
        golden=(given, [{"score": row.score} for row in golden]),
        tolerance=0.0,
        binding=Binding(
            tuple(InputBinding(str(field["name"]), (str(field["name"]),), str(field["dtype"])) for field in FIELDS),
            (OutputBinding("score", "score"),),
        ),
    )
    return target
