"""The cases of adapters as bundles: a model that holds what reaches it against `into`, and answers `answer`.

A case that speaks of one direction alone has the plain field of the others, `x` or `y`, on its other side; what goes
that way then is a number of our own. Asking is left to `test_adapted`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.bundle.carried import CarriedVersion
from fivefold.core.contract.contract import Contract
from fivefold.core.readers.records import Records

CALLER, OWN = "1.0.0", "2.0.0"
PLAIN = {"inputs": {"x": 1.5}, "outputs": {"y": 2.5}}
_MODEL = """
from tests.conformance import adapted


class Held:
    def predict(self, columns):
        return adapted.answer({!r}, columns)
"""


@dataclass(frozen=True)
class Adapted:
    """One case: both contracts, and a whole way there and back; or the fields for which there is none."""

    id: str
    caller: Contract
    own: Contract
    newer: bool
    given: Mapping[str, Any]
    into: Mapping[str, Any]
    answer: Mapping[str, Any]
    back: Mapping[str, Any]
    ignored: tuple[str, ...]
    refused: tuple[str, ...]


@cache
def load() -> dict[str, Adapted]:
    """All cases by their names."""
    document = json.loads(Path(__file__).with_name("adapters").joinpath("adapters.json").read_text("utf-8"))
    return {item["id"]: _case(item) for item in document["cases"]}


def _case(item: Mapping[str, Any]) -> Adapted:
    caller, own = (
        Contract.from_json({"format": 1, "name": "demo", "version": version, **item[side]})
        for side, version in (("caller", CALLER), ("own", OWN))
    )
    x, y = PLAIN["inputs"], PLAIN["outputs"]
    if "refused" not in item:
        # A side that the case leaves open has the plain field alone, the same in both contracts.
        assert "given" in item or [f.name for f in caller.inputs] == list(x) == [f.name for f in own.inputs], item["id"]
        assert "answer" in item or [f.name for f in caller.outputs] == list(y), item["id"]
    return Adapted(
        item["id"],
        caller,
        own,
        item.get("newer", False),
        item.get("given", x),
        item.get("into", x),
        item.get("answer", y),
        item.get("back", y),
        tuple(item.get("ignored", ())),
        tuple(item.get("refused", ())),
    )


def bundle(case: Adapted, directory: Path) -> Bundle:
    """The case as a bundle, named after it; raises `BundleInvalid` where it is refused."""
    plain = case.refused or None
    return Bundle.write(
        directory / case.id,
        contract=case.own,
        model={"model/held.py": _MODEL.format(case.id).encode()},
        runtime="python",
        entry="held:Held",
        golden=([], []) if plain else ([case.into], [case.answer]),
        tolerance=0.0,
        name=case.id,
        carried=[CarriedVersion(case.caller, case.newer)],
        default_contract=OWN,
    )


def answer(id: str, columns: Any) -> dict[str, Any]:
    """What the model of a case answers to what the case says that it gets, and to nothing else."""
    case = load()[id]
    rows = len(columns[case.own.inputs[0].name])
    wanted = Records(case.own.inputs).read([case.into] * rows).accept()
    for field in case.own.inputs:
        got = np.asarray(columns[field.name])
        assert got.dtype == field.numpy_dtype, (field.name, got.dtype)
        assert got.shape == (rows, *field.shape)
        np.testing.assert_array_equal(got, wanted[field.name])
        if field.nullable:
            np.testing.assert_array_equal(columns.nulls[field.name], wanted.nulls(field.name))
    out = Records(case.own.outputs).read([case.answer] * rows).accept()
    return {field.name: out[field.name] for field in case.own.outputs}
