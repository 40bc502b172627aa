"""Arrow schemas of a contract's rows, with all rules in the metadata.

Arrow says type, shape and nullability; the other rules stand as JSON under the metadata key `fivefold` of each field.
Needs pyarrow. Reading batches under the contract is left to `fivefold.core.readers.arrow`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fivefold.core.contract.contract import Contract
from fivefold.core.fields.field import Field

if TYPE_CHECKING:
    import pyarrow as pa

KEY = b"fivefold"


def files(contract: Contract) -> dict[str, bytes]:
    """Two Arrow IPC streams without rows: `record` for the inputs and `prediction` for the outputs."""
    import pyarrow as pa

    out = {}
    for kind, fields in (("record", contract.inputs), ("prediction", contract.outputs)):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, schema(contract, fields)):
            pass
        out[f"{contract.name}.{kind}.arrows"] = sink.getvalue().to_pybytes()
    return out


def schema(contract: Contract, fields: Sequence[Field]) -> pa.Schema:
    """The Arrow schema of one side of the contract."""
    import pyarrow as pa

    members = [
        pa.field(field.name, arrow_type(field), field.nullable, metadata={KEY: _json(field.to_json())})
        for field in fields
    ]
    return pa.schema(members, metadata={KEY: _json({"contract": f"{contract.name}@{contract.version}"})})


def arrow_type(field: Field) -> pa.DataType:
    """The field's type: fixed-size lists nested by its shape."""
    import pyarrow as pa

    names = {"bool": "bool_", "bytes": "binary"}
    out: pa.DataType = getattr(pa, names.get(field.dtype, field.dtype))()
    for depth, size in enumerate(reversed(field.shape)):
        out = pa.list_(pa.field("item", out, field.nullable and depth == 0), size)
    return out


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
