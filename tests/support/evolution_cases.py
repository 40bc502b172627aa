"""The table of cases of evolution as pairs of contracts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fivefold.core.contract.contract import Contract

CASES = Path(__file__).parents[1] / "conformance" / "evolution"
PLAIN = {"inputs": [{"name": "x", "dtype": "float64"}], "outputs": [{"name": "y", "dtype": "float64"}]}


def evolution_cases() -> Iterator[tuple[str, Any]]:
    """Every case with its id, `FILE/NAME`."""
    for path in sorted(CASES.glob("*.json")):
        for case in json.loads(path.read_text()):
            yield f"{path.stem}/{case['name']}", case


def both(case: Any, **members: Any) -> tuple[Contract, Contract]:
    """The old and the new contract of a case, some members of both replaced."""
    out = []
    for index, version in enumerate(("1.0.0", "1.1.0")):
        raw: dict[str, Any] = {"format": 1, "name": "case", "version": version}
        for side in ("inputs", "outputs"):
            raw[side] = case.get(side, (PLAIN[side], PLAIN[side]))[index]
        out.append(Contract.from_json({**raw, **case.get("contracts", ({}, {}))[index], **members}))
    return out[0], out[1]
