"""The typed contract: two ordered lists of fields, each with what its values may be.

`Contract.from_json` refuses a contract that cannot be enforced identically on every transport, with the JSON path of
what is wrong. Reading data under a contract is left to `fivefold.core.readers`, other languages' forms of it to
`fivefold.exports`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fivefold.core.contract.parse import parse
from fivefold.core.errors import ContractInvalid
from fivefold.core.fields.field import SAFE_INTEGER, Field


@dataclass(frozen=True)
class Contract:
    """Names, types and limits of a model's rows. The order of fields binds tensors, proto numbers and Avro records."""

    name: str
    version: str
    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    description: str | None = None

    @classmethod
    def load(cls, path: str | Path) -> Contract:
        """Read contract.json; raises `ContractInvalid` also for a file that cannot be read."""
        try:
            raw = Path(path).read_bytes()
        except OSError as err:
            raise ContractInvalid(f"cannot read {path}: {err.strerror}") from err
        return cls.from_json(raw)

    @classmethod
    def from_json(cls, data: bytes | str | Mapping[str, Any]) -> Contract:
        """Parse and check a contract; raises `ContractInvalid` with the JSON path of the first thing that is wrong."""
        return cls(*parse(data))

    def to_json(self) -> dict[str, Any]:
        """The contract as JSON values, in canonical keyword order."""
        out: dict[str, Any] = {"format": 1, "name": self.name, "version": self.version}
        if self.description:
            out["description"] = self.description
        out["inputs"] = [f.to_json() for f in self.inputs]
        out["outputs"] = [f.to_json() for f in self.outputs]
        return out

    def to_bytes(self) -> bytes:
        """contract.json as written into a bundle: UTF-8, two spaces, one newline at the end."""
        return (json.dumps(self.to_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()

    @cached_property
    def digest(self) -> str:
        """sha256 of the canonical form, as hexadecimal."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def input(self, name: str) -> Field:
        """The input field of that name (aliases not counted); KeyError when there is none."""
        for candidate in self.inputs:
            if candidate.name == name:
                return candidate
        raise KeyError(name)

    def warnings(self) -> list[str]:
        """What is legal but bites on one of the targets, each with its fix."""
        out = []
        for side, field_list in (("inputs", self.inputs), ("outputs", self.outputs)):
            for f in field_list:
                low, high = f.minimum, f.maximum
                if f.enum is not None and f.numeric:
                    low, high = min(f.enum), max(f.enum)
                if f.dtype in ("int64", "uint64") and (
                    high is None or high > SAFE_INTEGER or (f.dtype == "int64" and (low is None or low < -SAFE_INTEGER))
                ):
                    out.append(
                        f"{side}.{f.name}: {f.dtype} without bounds inside ±(2^53 - 1): a browser refuses larger ones; "
                        f"add minimum and maximum, or use int32"
                    )
                if side == "inputs" and f.null_is_value:
                    out.append(f"{side}.{f.name}: {_tensors_cannot_say_null(f)}")
        return out


def _tensors_cannot_say_null(field: Field) -> str:
    shown = json.dumps(field.null_value, ensure_ascii=False)
    if field.kind == "bool":
        return (
            f"the null_value {shown} is a value as well, so binary tensors and gRPC cannot say null; send it as JSON, "
            f"or declare the field as a float or an integer"
        )
    rules = (field.minimum, field.maximum, field.enum, field.min_length, field.max_length, field.pattern)
    limits = "a minimum or a maximum" if field.numeric else "a minLength, maxLength, pattern or enum"
    first = f"add {limits} and " if all(rule is None for rule in rules) else ""
    return (
        f"the null_value {shown} is a legal value as well, so binary tensors and gRPC cannot say null; "
        f"{first}choose a null_value outside of the legal values"
    )
