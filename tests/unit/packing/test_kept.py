"""Golden rows: typical ones, a few rare ones, all of them JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd

from fivefold.core.columns import Columns
from fivefold.core.contract.contract import Contract
from fivefold.packing import golden
from fivefold.packing.kept import Kept, keep
from fivefold.packing.probe import probe


def contract_of(*inputs: dict[str, Any]) -> Contract:
    """A contract of the given input fields."""
    outputs = [{"name": "y", "dtype": "float64"}]
    return Contract.from_json(
        {"format": 1, "name": "kept", "version": "1.0.0", "inputs": list(inputs), "outputs": outputs}
    )


def kept(contract: Contract, data: Any = None) -> Kept:
    rows = None if data is None else golden.from_data(data, contract)
    return keep(probe(contract, rows, "seed"), contract)


NUMBERS = contract_of({"name": "a", "dtype": "float64"}, {"name": "b", "dtype": "float32", "minimum": 0, "maximum": 1})


def test_plain_data_is_kept_as_it_is() -> None:
    """Without nulls, enumerations and text the golden rows are the data's own, evenly spaced."""
    few = pd.DataFrame({"a": np.arange(114.0), "b": np.linspace(0, 1, 114)})
    many = pd.DataFrame({"a": np.arange(5000.0), "b": np.linspace(0, 1, 5000)})

    assert kept(NUMBERS, few).columns.equals(golden.from_data(few, NUMBERS).columns)
    assert kept(NUMBERS, many).columns.equals(golden.from_data(many, NUMBERS).pick(256))
    assert kept(NUMBERS, few).source == "the given data"


def test_made_rows_are_sixty_four() -> None:
    """The first of those that the probe asks."""
    answer = kept(NUMBERS)

    assert answer.columns.equals(golden.made(NUMBERS.inputs, 64, "seed").columns)
    assert (answer.source, answer.notes) == ("made from the contract", ())


def test_few_rows_are_filled_up_from_the_contract() -> None:
    """At least 32, and the source and a note say where they come from."""
    answer = kept(NUMBERS, [{"a": 1, "b": 0.5}] * 5)

    assert answer.columns.rows == 32
    assert answer.columns["a"][:5].tolist() == [1] * 5
    assert answer.source == "the given data and made from the contract"
    assert "has 5 legal rows; the rest of 32" in answer.notes[0]


def test_rare_nulls_and_values_of_the_data_are_kept() -> None:
    """A server that opens the bundle proves what null and a rare category give, with the data's own rows."""
    contract = contract_of(
        {"name": "a", "dtype": "float64", "nullable": True},
        {"name": "s", "dtype": "string", "enum": ["u", "v", "w"]},
    )
    data = [{"a": None if row == 4001 else row, "s": "w" if row == 4003 else "uv"[row % 2]} for row in range(9000)]

    answer = kept(contract, data)

    assert answer.columns.rows <= 256
    assert {"a": None, "s": "v"} in answer.columns.to_records()
    assert {"a": 4003.0, "s": "w"} in answer.columns.to_records()
    assert answer.source == "the given data"


def test_nulls_and_values_that_the_data_never_holds_are_kept() -> None:
    """Made on the ground of the data's rows: each nullable field, all of them, each value, some odd text."""
    contract = contract_of(
        {"name": "a", "dtype": "float64", "nullable": True},
        {"name": "b", "dtype": "int32", "nullable": True, "null_value": -1},
        {"name": "s", "dtype": "string", "enum": ["u", "v", "w"]},
        {"name": "t", "dtype": "string"},
    )

    answer = kept(contract, [{"a": row, "b": row, "s": "u", "t": "a word"} for row in range(400)])

    a, b = answer.columns.nulls("a"), answer.columns.nulls("b")
    assert (a & b).any()
    assert (a & ~b).any()
    assert (~a & b).any()
    assert set(answer.columns["s"].tolist()) == {"u", "v", "w"}
    assert len(set(answer.columns["t"].tolist())) > 3
    assert answer.columns.rows == 256
    assert answer.source == "the given data and made from the contract"


def test_rows_that_json_cannot_spell_stay_behind() -> None:
    """NaN where it is no null, and infinities, are legal on other transports and have no place in golden.jsonl."""
    contract = contract_of(
        {"name": "a", "dtype": "float64", "allow_nan": True},
        {"name": "b", "dtype": "float64", "allow_nan": True, "nullable": True},
    )
    a = np.array([1, math.nan, 3, math.inf, *range(60)], np.float64)
    b = np.array([1, 2, math.nan, 4, -math.inf, *range(59)], np.float64)
    rows = golden.LegalRows(Columns(contract.inputs, {"a": a, "b": b}, 64), "some rows")

    answers = [keep(probe(contract, given, "seed"), contract) for given in (rows, None)]

    for answer in answers:
        json.dumps(answer.columns.to_records(), allow_nan=False)
        assert answer.columns.nulls("b").any()
        assert answer.columns.rows >= 32


def test_data_without_a_row_that_json_can_spell_is_filled_up() -> None:
    """Every row holds NaN: the golden rows are made."""
    contract = contract_of({"name": "a", "dtype": "float64", "allow_nan": True})
    rows = golden.LegalRows(Columns(contract.inputs, {"a": np.full(50, np.nan)}, 50), "some rows")

    answer = keep(probe(contract, rows, "seed"), contract)

    assert answer.columns.rows == 32
    assert np.isfinite(answer.columns["a"]).all()


def test_large_rows_are_few() -> None:
    """Megabytes of JSON a row: two of them, and that is said."""
    contract = contract_of({"name": "image", "dtype": "float32", "shape": [3, 320, 320], "minimum": 0, "maximum": 1})
    image = np.linspace(0, 1, 5 * 3 * 320 * 320, dtype=np.float32).reshape(5, 3, 320, 320)
    rows = golden.LegalRows(Columns(contract.inputs, {"image": image}, 5), "images.parquet")

    made = kept(contract)
    answer = keep(probe(contract, rows, "seed"), contract)

    assert (made.columns.rows, answer.columns.rows) == (2, 2)
    assert answer.columns["image"][[0, 1], 0, 0, 0].tolist() == image[[0, 4], 0, 0, 0].tolist()
    assert answer.notes == ("rows are large: 2 golden rows are kept",)
