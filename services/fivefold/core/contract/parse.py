"""contract.json to its fields, read strictly: the first thing that is wrong is refused with its JSON path.

What a field is stands in `fivefold.core.fields`; a default is held against its field by the reader of records, as a
value that a caller sends is.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fivefold.core.errors import ContractInvalid
from fivefold.core.fields.field import DTYPES, KEYWORDS, Field
from fivefold.core.fields.pattern import Pattern
from fivefold.core.fields.suggestion import nearest
from fivefold.core.readers.records import Records

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,127}\Z")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+\-]{0,63}\Z")


class Parsed(NamedTuple):
    """What a contract consists of, in the order of `Contract`."""

    name: str
    version: str
    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    description: str | None


def parse(data: bytes | str | Mapping[str, Any]) -> Parsed:
    """Read and check a contract; raises `ContractInvalid` with the JSON path of the first thing that is wrong."""
    if not isinstance(data, Mapping):
        try:
            data = json.loads(data.decode("utf-8") if isinstance(data, bytes) else data, parse_constant=_no_constant)
        except (ValueError, RecursionError) as err:
            raise ContractInvalid(f"not JSON: {err}") from err
    if not isinstance(data, Mapping):
        raise ContractInvalid(f"expected an object, got {_type(data)}")
    _known(data, ("format", "name", "version", "description", "inputs", "outputs"), "")
    if data.get("format") != 1 or isinstance(data.get("format"), bool):
        raise ContractInvalid(f"expected format 1, got {data.get('format')!r}", path="format")
    name = _text(data, "name", "")
    if not _NAME.match(name):
        raise ContractInvalid(f"{name!r} is not a name", path="name", help="a letter, then letters, digits, _ . -")
    version = _text(data, "version", "")
    if not _VERSION.match(version):
        raise ContractInvalid(f"{version!r} is not a version", path="version", help="such as 1.0.0")
    description = _text(data, "description", "") if data.get("description") is not None else None
    inputs = _fields(data, "inputs")
    outputs = _fields(data, "outputs")
    return Parsed(name, version, inputs, outputs, description)


def _no_constant(token: str) -> Any:
    raise ValueError(f"{token} is not JSON")


def _type(value: Any) -> str:
    names = {
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "a string",
        list: "an array",
        dict: "an object",
    }
    return "null" if value is None else names.get(type(value), type(value).__name__)


def _known(data: Mapping[str, Any], known: Sequence[str], path: str) -> None:
    for key in data:
        if key not in known:
            allowed = f"allowed: {', '.join(known)}"
            near = nearest(str(key), known)
            help = f"{near} {allowed}" if near else allowed
            raise ContractInvalid(f"unknown keyword {key!r}", path=_join(path, str(key)), help=help)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _text(data: Mapping[str, Any], key: str, path: str) -> str:
    if key not in data:
        raise ContractInvalid(f"{key!r} is missing", path=_join(path, key))
    value = data[key]
    if not isinstance(value, str) or not value:
        raise ContractInvalid(f"expected a non-empty string, got {_type(value)}", path=_join(path, key))
    _utf8(value, _join(path, key))
    return value


def _utf8(value: str, path: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ContractInvalid("expected valid UTF-8, got a lone surrogate", path=path) from None


def _fields(data: Mapping[str, Any], side: str) -> tuple[Field, ...]:
    raw = data.get(side)
    if not isinstance(raw, list) or not raw:
        raise ContractInvalid(f"expected a non-empty array of fields, got {_type(raw)}", path=side)
    out: list[Field] = []
    taken: dict[str, str] = {}
    for index, item in enumerate(raw):
        path = f"{side}[{index}]"
        if not isinstance(item, Mapping):
            raise ContractInvalid(f"expected an object, got {_type(item)}", path=path)
        parsed = _field(item, path, output=side == "outputs")
        for name in (parsed.name, *parsed.aliases):
            if name in taken:
                raise ContractInvalid(f"the name {name!r} is already taken by {taken[name]}", path=path)
            taken[name] = path
        out.append(parsed)
    return tuple(out)


def _field(data: Mapping[str, Any], path: str, *, output: bool) -> Field:
    _known(data, tuple(KEYWORDS), path)
    name = _text(data, "name", path)
    if not _NAME.match(name):
        raise ContractInvalid(
            f"{name!r} is not a name", path=f"{path}.name", help="a letter or _, then letters, digits, _ . -"
        )
    dtype = _text(data, "dtype", path)
    if dtype not in DTYPES:
        raise ContractInvalid(
            f"unknown dtype {dtype!r}", path=f"{path}.dtype", help=nearest(dtype, DTYPES) or ", ".join(DTYPES)
        )
    values: dict[str, Any] = {"name": name, "dtype": dtype}
    for keyword in ("unit", "description"):
        if data.get(keyword) is not None:
            values[keyword] = _text(data, keyword, path)
    for keyword in ("nullable", "allow_nan"):
        value = data.get(keyword, False)
        if not isinstance(value, bool):
            raise ContractInvalid(f"expected true or false, got {_type(value)}", path=f"{path}.{keyword}")
        values[keyword] = value
    values["shape"] = _shape(data.get("shape", []), f"{path}.shape")
    values["aliases"] = _names(data.get("aliases", []), f"{path}.aliases")
    labels = values["labels"] = _names(data.get("labels", []), f"{path}.labels")
    bare = Field(**values)
    if labels and (not bare.shape or len(labels) != bare.shape[-1]):
        raise ContractInvalid(
            f"{len(labels)} labels for a last dimension of {bare.shape[-1] if bare.shape else 'none'}",
            path=f"{path}.labels",
        )
    _nullability(data, bare, path, output)
    values["null_value"] = _value(data["null_value"], bare, f"{path}.null_value") if "null_value" in data else None
    for keyword in ("minimum", "maximum"):
        if data.get(keyword) is not None:
            if not bare.numeric:
                raise ContractInvalid(f"{keyword} needs a numeric dtype, not {dtype}", path=f"{path}.{keyword}")
            values[keyword] = _value(data[keyword], bare, f"{path}.{keyword}")
    low, high = values.get("minimum"), values.get("maximum")
    if low is not None and high is not None and low > high:
        raise ContractInvalid(f"minimum {low} is above maximum {high}", path=f"{path}.minimum")
    for keyword, attribute in (("minLength", "min_length"), ("maxLength", "max_length")):
        if data.get(keyword) is not None:
            values[attribute] = _length(data[keyword], bare, f"{path}.{keyword}")
    if (values.get("min_length") or 0) > values.get("max_length", math.inf):
        raise ContractInvalid("minLength is above maxLength", path=f"{path}.minLength")
    if data.get("pattern") is not None:
        values["pattern"] = _text(data, "pattern", path)
        if dtype != "string":
            raise ContractInvalid(f"pattern needs dtype string, not {dtype}", path=f"{path}.pattern")
        Pattern.parse(values["pattern"], path=f"{path}.pattern")
    if data.get("enum") is not None:
        values["enum"] = _enum(data["enum"], bare, f"{path}.enum")
    if data.get("unknown") is not None:
        values["unknown"] = _unknown(data["unknown"], Field(**values), f"{path}.unknown", output)
    if "default" in data:
        if output:
            raise ContractInvalid("an output has no default", path=f"{path}.default")
        values["default"] = _default(data["default"], Field(**values), f"{path}.default")
    return Field(**values)


def _shape(value: Any, path: str) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise ContractInvalid(f"expected an array of sizes, got {_type(value)}", path=path)
    for index, size in enumerate(value):
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            help = "-1 is reserved; a row's shape is fixed" if size == -1 else None
            raise ContractInvalid(f"expected a positive size, got {size!r}", path=f"{path}[{index}]", help=help)
    if math.prod(value) > 2**24 or len(value) > 8:
        raise ContractInvalid("a row's array may have at most 8 dimensions and 16,777,216 elements", path=path)
    return tuple(value)


def _names(value: Any, path: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ContractInvalid(f"expected an array of strings, got {_type(value)}", path=path)
    for index, item in enumerate(value):
        if not isinstance(item, str) or not item:
            raise ContractInvalid(f"expected a non-empty string, got {item!r}", path=f"{path}[{index}]")
        _utf8(item, f"{path}[{index}]")
    if len(set(value)) != len(value):
        raise ContractInvalid("the same name twice", path=path)
    return tuple(value)


def _nullability(data: Mapping[str, Any], bare: Field, path: str, output: bool) -> None:
    if bare.allow_nan:
        if bare.kind != "float":
            raise ContractInvalid(f"allow_nan needs a float dtype, not {bare.dtype}", path=f"{path}.allow_nan")
        if output:
            raise ContractInvalid(
                "an output that may be NaN has no spelling in JSON",
                path=f"{path}.allow_nan",
                help="declare it nullable",
            )
        if data.get("enum") is not None:
            raise ContractInvalid("allow_nan and enum contradict each other", path=f"{path}.allow_nan")
    if "null_value" in data:
        if not bare.nullable or bare.kind == "float":
            why = "in a float NaN is null" if bare.kind == "float" else "the field is not nullable"
            raise ContractInvalid(f"null_value has no meaning here: {why}", path=f"{path}.null_value")
    elif bare.nullable and bare.kind != "float":
        raise ContractInvalid(
            f"a nullable {bare.dtype} declares null_value, the value that the model gets for null",
            path=f"{path}.null_value",
        )


def _value(value: Any, bare: Field, path: str) -> Any:
    """One scalar of a keyword, canonical for the field's dtype (floats rounded once from binary64)."""
    kind = bare.kind
    if kind in ("int", "float"):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ContractInvalid(f"expected a number, got {_type(value)}", path=path)
        if kind == "int":
            if value != value or value in (math.inf, -math.inf) or int(value) != value:
                raise ContractInvalid(f"expected an integer, got {value}", path=path)
            info = np.iinfo(bare.dtype)
            if not int(info.min) <= int(value) <= int(info.max):
                raise ContractInvalid(f"{value} is outside {bare.dtype}", path=path)
            return int(value)
        try:
            wide = float(value)
        except OverflowError:
            wide = math.inf
        with np.errstate(over="ignore"):
            if not math.isfinite(wide) or not np.isfinite(np.float64(wide).astype(bare.dtype)):
                raise ContractInvalid(f"{value} is outside {bare.dtype}", path=path)
        return value if isinstance(value, int) and int(wide) == value else wide
    if kind == "bool":
        if not isinstance(value, bool):
            raise ContractInvalid(f"expected true or false, got {_type(value)}", path=path)
        return value
    if not isinstance(value, str):
        raise ContractInvalid(f"expected a string, got {_type(value)}", path=path)
    _utf8(value, path)
    if kind == "bytes":
        try:
            base64.b64decode(value, validate=True)
        except ValueError as err:  # also what is not ASCII
            raise ContractInvalid(f"not base64: {err}", path=path) from err
    return value


def _length(value: Any, bare: Field, path: str) -> int:
    if bare.kind not in ("string", "bytes"):
        raise ContractInvalid(f"lengths need dtype string or bytes, not {bare.dtype}", path=path)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ContractInvalid(f"expected a length of at least 0, got {value!r}", path=path)
    return value


def _enum(value: Any, bare: Field, path: str) -> tuple[Any, ...]:
    if bare.kind in ("bool", "bytes"):
        raise ContractInvalid(f"enum needs a string or numeric dtype, not {bare.dtype}", path=path)
    if not isinstance(value, list) or not value:
        raise ContractInvalid(f"expected a non-empty array, got {_type(value)}", path=path)
    out = tuple(_value(item, bare, f"{path}[{index}]") for index, item in enumerate(value))
    if len(set(out)) != len(out):
        raise ContractInvalid("the same value twice", path=path)
    return out


def _unknown(value: Any, bare: Field, path: str, output: bool) -> Any:
    """The member that stands for what a later version adds: of the enum, or of the labels where there is none."""
    if not output:
        raise ContractInvalid("an input has no unknown member: what it may be is listed", path=path)
    members: tuple[Any, ...] = bare.labels if bare.enum is None else bare.enum
    if not members:
        raise ContractInvalid("unknown needs an enum or labels, one of which it names", path=path)
    if bare.enum is not None and bare.kind != "string":
        raise ContractInvalid("a number of an enum has no unknown member: any other number is as good", path=path)
    if bare.enum is None and not bare.numeric:
        raise ContractInvalid(f"numbers are added to the unknown label, and this is {bare.dtype}", path=path)
    if isinstance(value, bool) or value not in members:
        help = f"one of {', '.join(map(str, members[:8]))}"
        raise ContractInvalid(
            f"expected a member of the {'labels' if bare.enum is None else 'enum'}", path=path, help=help
        )
    return value


def _default(value: Any, bare: Field, path: str) -> Any:
    """The default must itself be a legal value: it never reaches the readers' checks again."""
    if value is None:
        if not bare.nullable:
            raise ContractInvalid("a default of null needs nullable", path=path)
        return None
    reading = Records((bare,)).read([{bare.name: value}])
    if reading.violations:
        raise ContractInvalid(f"not a legal value: {reading.violations[0].message}", path=path)
    return value
