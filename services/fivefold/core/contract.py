"""The typed contract: two ordered lists of fields and the law on their values.

`Contract.from_json` refuses a contract that cannot be enforced identically on every transport, with the JSON path of
what is wrong. Reading data under a contract is left to `fivefold.core.readers`, other languages' forms of it to
`fivefold.exports`. Keywords keep the names and the meaning of JSON Schema 2020-12 where it has them.
"""

from __future__ import annotations

import base64
import difflib
import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from fivefold.core.errors import ContractInvalid
from fivefold.core.pattern import Pattern

Kind = Literal["bool", "int", "float", "string", "bytes"]

INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
FLOATS = ("float16", "float32", "float64")
DTYPES = ("bool", *INTEGERS, *FLOATS, "string", "bytes")

SAFE_INTEGER = 2**53 - 1
"""The largest integer that a JavaScript number holds exactly (ECMA-262, Number.MAX_SAFE_INTEGER)."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,127}\Z")
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+\-]{0,63}\Z")


class _Absent:
    """The default of a field that has none: `None` is a default too."""

    def __repr__(self) -> str:
        return "ABSENT"

    def __reduce__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()


@dataclass(frozen=True)
class Limits:
    """A field's limits in its own dtype, ready to be compared with arrays."""

    low: Any
    high: Any
    enum: npt.NDArray[Any] | None
    known: frozenset[Any]
    pattern: Pattern | None


@dataclass(frozen=True)
class Field:
    """One named value of a row and what it may be.

    `shape` is empty for a scalar; otherwise each row holds an array of exactly that shape. `minimum` and `maximum` are
    inclusive and in the field's `unit`; lengths are in code points (string) or bytes (bytes). In a nullable float NaN
    is null; a nullable field of another dtype names the `null_value` that stands for null where an array has no null
    of its own, and that the model receives there (`null_is_value` says when it is a value all the same). `aliases` are
    other names for the field in data, any text: the headers of somebody's tables are no names.
    """

    name: str
    dtype: str
    shape: tuple[int, ...] = ()
    minimum: float | int | None = None
    maximum: float | int | None = None
    enum: tuple[Any, ...] | None = None
    nullable: bool = False
    null_value: Any = None
    default: Any = ABSENT
    allow_nan: bool = False
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    unit: str | None = None
    description: str | None = None
    aliases: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    @cached_property
    def kind(self) -> Kind:
        """The family of the dtype; values never convert between families, except integers into floats."""
        if self.dtype in INTEGERS:
            return "int"
        if self.dtype in FLOATS:
            return "float"
        return self.dtype  # type: ignore[return-value]  # the three others are their own family

    @cached_property
    def numeric(self) -> bool:
        """Whether the values are numbers."""
        return self.kind in ("int", "float")

    @property
    def required(self) -> bool:
        """Whether a row must carry the field."""
        return self.default is ABSENT

    @cached_property
    def size(self) -> int:
        """Elements in one row."""
        return math.prod(self.shape)

    @cached_property
    def numpy_dtype(self) -> npt.DTypeLike:
        """The dtype of the column's array: the field's own for numbers and booleans, object for text and bytes."""
        return object if self.kind in ("string", "bytes") else np.dtype(self.dtype)

    @cached_property
    def null(self) -> Any:
        """The value that stands for null in the column's array."""
        if self.kind == "float":
            return math.nan
        return base64.b64decode(self.null_value) if self.kind == "bytes" and self.nullable else self.null_value

    @cached_property
    def null_is_value(self) -> bool:
        """Whether `null_value` is itself a legal value of the field.

        Then it is an ordinary value on every transport, and null is only what a spelling has of its own for null; a
        tensor of plain values has nothing of the kind. Where it is False, a value equal to `null_value` is null too.
        """
        if not self.nullable or self.kind == "float":
            return False
        value, law = self.null, self.limits
        if self.kind == "bool":
            return True
        if self.kind == "int":
            low, high = self.minimum, self.maximum
            inside = (low is None or value >= low) and (high is None or value <= high)
            return inside and (self.enum is None or value in self.enum)
        least, most = self.min_length, self.max_length
        return (
            (self.enum is None or value in self.enum)
            and (least is None or len(value) >= least)
            and (most is None or len(value) <= most)
            and (law.pattern is None or law.pattern.matches(value))
        )

    @cached_property
    def limits(self) -> Limits:
        """Bounds and enum as values of the dtype: floats rounded once from binary64, as the data is."""
        low, high, enum = self.minimum, self.maximum, None
        if self.kind == "float":
            cast = np.dtype(self.dtype).type
            low = None if low is None else cast(float(low))
            high = None if high is None else cast(float(high))
        if self.enum is not None and self.numeric:
            wide = np.array(self.enum, np.float64 if self.kind == "float" else self.dtype)
            enum = wide.astype(self.dtype)
        return Limits(
            low, high, enum, frozenset(self.enum or ()), Pattern.parse(self.pattern) if self.pattern else None
        )

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """Where a plain number may lie, both ends included, as Python numbers: the field's bounds, or its dtype's.

        None for what needs another look than two comparisons: text, nulls, NaN, enumerations.
        """
        if not self.numeric or self.nullable or self.allow_nan or self.enum is not None:
            return None
        info: Any = np.finfo(self.dtype) if self.kind == "float" else np.iinfo(self.dtype)
        number = float if self.kind == "float" else int
        low, high = self.limits.low, self.limits.high
        least, most = number(info.min), number(info.max)
        return (
            least if low is None else max(least, number(low)),
            most if high is None else min(most, number(high)),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # Fields travel to other processes; what is cached on them (a compiled pattern) does not.
        return Field, tuple(getattr(self, f.name) for f in fields(self))

    def to_json(self) -> dict[str, Any]:
        """The field as it stands in contract.json; keywords at their default are left out."""
        out: dict[str, Any] = {"name": self.name, "dtype": self.dtype}
        for keyword, attribute in _KEYWORDS.items():
            value = getattr(self, attribute)
            idle = value is None or value is False or value == ()
            if keyword in out or value is ABSENT or (idle and keyword not in ("default", "null_value")):
                continue
            if keyword == "null_value" and (value is None or not self.nullable):
                continue
            out[keyword] = list(value) if isinstance(value, tuple) else value
        return out


_KEYWORDS: Final = {
    "name": "name",
    "dtype": "dtype",
    "shape": "shape",
    "minimum": "minimum",
    "maximum": "maximum",
    "enum": "enum",
    "nullable": "nullable",
    "null_value": "null_value",
    "default": "default",
    "allow_nan": "allow_nan",
    "minLength": "min_length",
    "maxLength": "max_length",
    "pattern": "pattern",
    "unit": "unit",
    "description": "description",
    "aliases": "aliases",
    "labels": "labels",
}
assert set(_KEYWORDS.values()) == {f.name for f in fields(Field)}


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
        if not isinstance(data, Mapping):
            try:
                data = json.loads(
                    data.decode("utf-8") if isinstance(data, bytes) else data, parse_constant=_no_constant
                )
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
        return cls(name, version, inputs, outputs, description)

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
    laws = (field.minimum, field.maximum, field.enum, field.min_length, field.max_length, field.pattern)
    limits = "a minimum or a maximum" if field.numeric else "a minLength, maxLength, pattern or enum"
    first = f"add {limits} and " if all(law is None for law in laws) else ""
    return (
        f"the null_value {shown} is a legal value as well, so binary tensors and gRPC cannot say null; "
        f"{first}choose a null_value outside of the legal values"
    )


def nearest(name: str, known: Iterable[str]) -> str | None:
    """A help line that names the known name closest to a misspelt one, or None.

    What it costs is bounded, whoever chose the name: letters are counted for all known names at once, and only the few
    that have most in common are compared, as far as `_COMPARED` characters between what begins and ends alike.
    """
    name, names = name[:_LONGEST], tuple(known)
    if not names or not name:
        return None
    counts, lengths = _letters(names)
    mine, own = _letters((name,))
    shared = np.minimum(counts, mine).sum(axis=1, dtype=np.int64)
    alike = 2 * shared / (lengths + own)
    close = np.argsort(-alike, kind="stable")[:_CLOSEST]
    ratio, best = max(
        ((_ratio(name, names[at][:_LONGEST]), names[at]) for at in close if alike[at] >= _ALIKE), default=(0.0, "")
    )
    return f"did you mean {best[:_LONGEST]!r}?" if ratio >= _ALIKE else None


_LONGEST = 128
"""Characters of a name that are looked at: as many as a contract allows its own."""

_ALIKE = 0.6
"""The share of two names that must be the same, as `difflib.get_close_matches` counts it."""

_CLOSEST = 8
_COMPARED = 24


@lru_cache(maxsize=64)
def _letters(names: tuple[str, ...]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """How often each letter is in each name, letters being one of 64 by their code, and the names' lengths."""
    texts = [name[:_LONGEST].encode("utf-32-le", "surrogatepass") for name in names]
    lengths = np.array([len(text) // 4 for text in texts], np.int64)
    letters = np.frombuffer(b"".join(texts), "<u4") % 64
    at = np.repeat(np.arange(len(names)) * 64, lengths) + letters
    return np.bincount(at, minlength=64 * len(names)).reshape(-1, 64).astype(np.uint8), lengths


def _ratio(left: str, right: str) -> float:
    """How much two names have in common, 0 to 1: what begins and ends alike, and some of what is between."""
    both = len(left) + len(right)
    start = _begins_alike(left, right)
    left, right = left[start:], right[start:]
    end = _begins_alike(left[::-1], right[::-1])
    left, right = left[: len(left) - end], right[: len(right) - end]
    between = difflib.SequenceMatcher(None, left[:_COMPARED], right[:_COMPARED], autojunk=False)
    same = start + end + sum(block.size for block in between.get_matching_blocks())
    return 2 * same / both if both else 1.0


def _begins_alike(left: str, right: str) -> int:
    pairs = enumerate(zip(left, right, strict=False))
    return next((at for at, (mine, other) in pairs if mine != other), min(len(left), len(right)))


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
            raise ContractInvalid(f"unknown keyword {key!r}", path=_join(path, str(key)), help=nearest(str(key), known))


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
    _known(data, tuple(_KEYWORDS), path)
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


def _default(value: Any, bare: Field, path: str) -> Any:
    """The default must itself be a legal value: it never reaches the readers' checks again."""
    if value is None:
        if not bare.nullable:
            raise ContractInvalid("a default of null needs nullable", path=path)
        return None
    from fivefold.core.readers.records import Records  # the readers know the law; they import this module

    reading = Records((bare,)).read([{bare.name: value}])
    if reading.violations:
        raise ContractInvalid(f"not a legal value: {reading.violations[0].message}", path=path)
    return value
