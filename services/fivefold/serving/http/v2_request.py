"""The JSON of an Open Inference Protocol request and the header that says its length: a typed decoder, an exact one.

As everywhere, the typed decoder may only accept; what it refuses is read again. What the tensors hold is not looked at
here: their data stays JSON text, or parsed values where the exact reader, which explains, had to parse it.

A member that may be left out may as well be null, and a parameter likewise: clients that write down all members of
their types, as pydantic's, Java's and Go's do, mean nothing else by it.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec

from fivefold.core.check.findings import describe, shown_name
from fivefold.core.errors import ContractError
from fivefold.core.readers.exact_json import Watch, loads

T = TypeVar("T")

Parameter = str | int | float | bool

Parameters = dict[str, Parameter | None] | None
"""As they come: null is as good as absent, of one parameter or of all."""

HEADER_LENGTH = b"inference-header-content-length"
"""The header with the bytes of the JSON, where binary data follows it."""

NOTHING = msgspec.Raw(b"")
"""The data of a tensor that has none."""


_MAX_SIZE = 2**53


class Input(msgspec.Struct, gc=False):
    """One tensor of a request. `data` is `NOTHING`, JSON text (`null` too), or a parsed value by the exact reader."""

    name: str
    datatype: str
    shape: list[int]
    data: msgspec.Raw = NOTHING
    parameters: Parameters = None


class Output(msgspec.Struct, gc=False):
    """One output that a request asks for."""

    name: str
    parameters: Parameters = None


class Request(msgspec.Struct, gc=False):
    """A request's JSON; members that the protocol does not know are passed over. None: absent, or null."""

    inputs: list[Input]
    id: str | None = None
    parameters: Parameters = None
    outputs: list[Output] | None = None


class Numbers(msgspec.Struct, gc=False):
    """One tensor whose data is a flat list of numbers, decoded with the request instead of after it."""

    name: str
    datatype: str
    shape: list[int]
    data: list[float]
    parameters: Parameters = None


class Plain(msgspec.Struct, gc=False):
    """A request of such tensors."""

    inputs: list[Numbers]
    id: str | None = None
    parameters: Parameters = None
    outputs: list[Output] | None = None


_decode = msgspec.json.Decoder(Request).decode
_decode_plain = msgspec.json.Decoder(Plain).decode


def header_length(value: bytes | None) -> int | None:
    """The bytes of the JSON by the header's value, None without the header. Raises `ContractError`."""
    if value is None:
        return None
    if not value.isdigit() or len(value) > 18:
        raise ContractError(
            "malformed", f"Inference-Header-Content-Length: expected bytes, got {value.decode('latin-1')[:64]!r}"
        )
    return int(value)


def parse_plain(text: bytes) -> Plain | None:
    """A request of one tensor that is numbers alone; None for anything else, which `parse` then reads."""
    try:
        plain = _decode_plain(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return plain if len(plain.inputs) == 1 and not plain.inputs[0].parameters else None


def parse(text: bytes, max_depth: int, watch: Watch | None = None) -> Request:
    """Read a request's JSON; raises `ContractError` `malformed` or `too_large` with the path of what is wrong.

    `watch` is asked where the reading is long, and may end it.
    """
    try:
        return _decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _exact(loads(text, max_depth=max_depth, watch=watch))


def _exact(value: Any) -> Request:
    _expect(value, dict, "an object", "")
    if "inputs" not in value:
        raise ContractError("malformed", "expected an array of tensors, got nothing", path="inputs")
    inputs = [_input(item, index) for index, item in enumerate(_expect(value["inputs"], list, "an array", "inputs"))]
    outputs = []
    asked = value.get("outputs")
    for index, item in enumerate(_expect([] if asked is None else asked, list, "an array", "outputs")):
        path = f"outputs[{index}]"
        outputs.append(Output(_text(item, "name", path), _parameters(item, path)))
    request = Request(inputs=inputs, parameters=_parameters(value, ""), outputs=outputs)
    if value.get("id") is not None:
        request.id = _text(value, "id", "")
    return request


def _input(item: Any, index: int) -> Input:
    path = f"inputs[{index}]"
    name = _text(item, "name", path)
    path = f"inputs.{shown_name(name)}"
    shape = []
    for size in _expect(item.get("shape"), list, "an array of sizes", path):
        if (
            isinstance(size, bool)
            or not isinstance(size, int | float)
            or not -1 <= size < _MAX_SIZE
            or size != int(size)
        ):
            raise ContractError("malformed", f"expected a shape of whole sizes, got {describe(size)}", path=path)
        shape.append(int(size))
    data: Any = item.get("data")
    if data is None:
        data = NOTHING
    elif not isinstance(data, list):
        # Back to text: one place says what is wrong with it.
        data = msgspec.Raw(json.dumps(data).encode())
    return Input(name, _text(item, "datatype", path), shape, data, _parameters(item, path))


def _text(owner: Any, member: str, path: str) -> str:
    owner = _expect(owner, dict, "an object", path)
    where = f"{path}.{member}" if path else member
    text = _expect(owner.get(member), str, "a string", where)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ContractError("malformed", "expected text that is valid UTF-8", path=where) from None
    return text


def _parameters(owner: dict[str, Any], path: str) -> Parameters:
    where = f"{path}.parameters" if path else "parameters"
    given = owner.get("parameters")
    if given is None:
        return None
    out: dict[str, Any] = _expect(given, dict, "an object", where)
    for name, value in out.items():
        if value is not None and not isinstance(value, str | int | float):
            message = f"expected a string, a number or a boolean as {describe(name)}, got {describe(value)}"
            raise ContractError("malformed", message, path=where)
    return out


def _expect(value: Any, kind: type[T], name: str, path: str) -> T:
    if not isinstance(value, kind):
        raise ContractError(
            "malformed", f"expected {name}, got {'nothing' if value is None else describe(value)}", path=path
        )
    return value
