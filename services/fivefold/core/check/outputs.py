"""What a model answered, held against the contract's outputs: values decide, as they do on the way in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fivefold.core.check.findings import Findings
from fivefold.core.check.values import column, plain_numbers, plain_text
from fivefold.core.columns import Array, Columns
from fivefold.core.errors import ModelFailed
from fivefold.core.fields.field import Field


def check_outputs(fields: Sequence[Field], arrays: Mapping[str, Array], rows: int) -> Columns:
    """A model's answer as columns under the contract's outputs; `ModelFailed` where it leaves them.

    Values decide, as on the way in: any numeric source converts, families never mix. Arrays have shape
    [rows, *field.shape].
    """
    findings: Findings | None = None
    out: dict[str, Array] = {}
    for index, field in enumerate(fields):
        array = arrays.get(field.name)
        if array is None:
            raise ModelFailed("model_failed", "the model gave no such output", path=f"outputs.{field.name}")
        if array.shape != (rows, *field.shape):
            message = f"expected shape {[rows, *field.shape]} from the model, got {list(array.shape)}"
            raise ModelFailed("model_failed", message, path=f"outputs.{field.name}")
        plain = plain_numbers(field, array) if field.numeric else plain_text(field, array)
        if plain is not None:
            out[field.name] = plain
            continue
        if array.dtype.kind not in _FAMILY[field.kind]:
            message = f"expected {field.dtype} from the model, got {array.dtype}"
            raise ModelFailed("model_failed", message, path=f"outputs.{field.name}")
        if array.dtype.kind in "US":
            array = array.astype(object)
        if array.dtype.kind == "O" and not all(isinstance(value, str | bytes) for value in array.reshape(-1)):
            message = f"expected {field.dtype} from the model, got other objects"
            raise ModelFailed("model_failed", message, path=f"outputs.{field.name}")
        findings = findings or Findings(fields, rows, "outputs")
        out[field.name] = column(findings, index, array)
    if findings:
        first = findings.ordered()[0]
        raise ModelFailed("model_failed", f"the model left its contract: {first.message}", path=first.path)
    return Columns(fields, out, rows)


_FAMILY = {"bool": "b", "int": "iuf", "float": "iuf", "string": "OUS", "bytes": "OS"}
