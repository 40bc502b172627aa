"""JSON as a person has it at hand: a record, an array of records, or a V1 body; each as the body that REST would get.

Nothing of it is judged here: the reader of V1 bodies gets the very text.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fivefold.core.check.findings import describe
from fivefold.core.errors import ContractError
from fivefold.core.fields.field import Field
from fivefold.core.readers.exact_json import loads

Form = Literal["record", "records", "body"]


@dataclass(frozen=True, slots=True)
class JsonQuestion:
    """A V1 body, and the form in which it was asked."""

    form: Form
    body: bytes


def question_of(text: bytes, fields: Sequence[Field]) -> JsonQuestion:
    """The question that a JSON text asks under a contract's inputs.

    An object with `instances` or `inputs` is a body, unless a field has that name; any other object is one record, an
    array is one of records. Raises `ContractError` `malformed` for what is no JSON, or neither object nor array.
    """
    value = loads(text)
    if isinstance(value, list):
        return JsonQuestion("records", b'{"instances":' + text + b"}")
    if not isinstance(value, dict):
        raise ContractError(
            "malformed",
            f"expected a record, an array of records or an object with instances, got {describe(value)}",
            help='a record is an object of the inputs: {"NAME": VALUE, …}',
        )
    if _is_body(value, {name for field in fields for name in (field.name, *field.aliases)}):
        return JsonQuestion("body", text)
    return JsonQuestion("record", b'{"instances":[' + text + b"]}")


def is_lines(text: bytes) -> bool:
    """Whether a text is JSON lines and no JSON value: its first line is a whole object, and others follow."""
    first, _, rest = text.lstrip().partition(b"\n")
    if not rest.strip() or not first.startswith(b"{"):
        return False
    try:
        return isinstance(loads(first), dict)
    except ContractError:
        return False


def _is_body(value: dict[str, Any], names: Collection[str]) -> bool:
    return any(member in value and member not in names for member in ("instances", "inputs"))
