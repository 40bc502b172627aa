"""Contracts and values to try exports on: hypothesis strategies that stay near the edges of what a field allows."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from fivefold.core.contract.contract import Contract
from fivefold.core.errors import ContractInvalid
from fivefold.core.fields.field import ABSENT, DTYPES, Field
from fivefold.core.readers.records import Records

CASES = Path(__file__).parents[1] / "conformance" / "cases" / "contracts"

PATTERNS = (
    r"^[a-c]{1,3}$",
    r"^\d{2}-\w$",
    r"b|\$|^-",
    r"^a.b$",
    r"[^\-&~\]\\]{2}",
    r"é\/\{\}(?:ab|c)?",
    r"^[😀-😂]{1,2}$",
)
NAMES = ("a", "b-c", "b_c", "Bc", "x.y", "_z", "class", "message", "record")
WORDS = (
    "",
    "a",
    "b",
    "ab",
    "abc",
    "abcd",
    "12-a",
    "a-b",
    "a\nb",
    "b\n",
    "😀",
    "😀😁",
    "é/{}",
    "$",
    "-&~",
    "left",
    "right",
)


def case_contracts() -> list[Contract]:
    """The contracts of the conformance cases: every family, shape and rule by hand."""
    return [Contract.load(path) for path in sorted(CASES.glob("*.json"))]


def every_rule() -> Contract:
    """One contract with every keyword, and names that other languages stumble over."""
    return Contract.from_json(
        {
            "format": 1,
            "name": "every-rule.v2",
            "version": "1.2.3",
            "description": "every keyword */ once",
            "inputs": [
                {"name": "mean-radius", "dtype": "float64", "minimum": 0, "maximum": 60.5, "unit": "mm"},
                {"name": "mean_radius", "dtype": "float32", "minimum": 0.1, "maximum": 0.7, "nullable": True},
                {"name": "meanRadius", "dtype": "float16", "enum": [0.1, 2], "aliases": ["mr", "m-r"]},
                {"name": "site", "dtype": "string", "enum": ["left", "right"], "default": "left", "aliases": ["side"]},
                {"name": "grade", "dtype": "string", "enum": ["1", "two three"], "nullable": True, "null_value": ""},
                {
                    "name": "code",
                    "dtype": "string",
                    "pattern": "^[A-Z]{2}-\\d{3}$",
                    "description": 'of "A*/"\nand so on',
                },
                {
                    "name": "note",
                    "dtype": "string",
                    "minLength": 1,
                    "maxLength": 4,
                    "nullable": True,
                    "null_value": "",
                    "default": None,
                },
                {"name": "count", "dtype": "uint8", "maximum": 200, "nullable": True, "null_value": 255, "default": 7},
                {"name": "big", "dtype": "uint64", "default": 18446744073709551615},
                {"name": "id", "dtype": "int64"},
                {"name": "flag", "dtype": "bool", "default": False},
                {"name": "blob", "dtype": "bytes", "minLength": 1, "maxLength": 4, "default": "/w=="},
                {
                    "name": "class",
                    "dtype": "int32",
                    "shape": [2, 3],
                    "nullable": True,
                    "null_value": -1,
                    "aliases": ["klass"],
                    "default": None,
                },
                {"name": "image", "dtype": "float32", "shape": [3, 4], "minimum": 0, "maximum": 1, "default": [0] * 12},
                {"name": "wide", "dtype": "float64", "shape": [12], "allow_nan": True},
            ],
            "outputs": [
                {"name": "label", "dtype": "string", "enum": ["benign", "malignant"]},
                {
                    "name": "probability",
                    "dtype": "float32",
                    "shape": [2],
                    "labels": ["benign", "malignant"],
                    "minimum": 0,
                    "maximum": 1,
                },
                {
                    "name": "score",
                    "dtype": "float64",
                    "nullable": True,
                    "unit": "points",
                    "description": "the higher the better",
                },
                {"name": "raw", "dtype": "bytes"},
                {"name": "rank", "dtype": "int16", "nullable": True, "null_value": -1},
            ],
        }
    )


def good_record() -> dict[str, Any]:
    """A row that `every_rule` accepts."""
    return {
        "mean-radius": 14.25,
        "mean_radius": None,
        "mr": 2,
        "grade": "1",
        "code": "AB-123",
        "id": -5,
        "wide": [0.5] * 12,
        "class": [[1, 2, 3], [4, None, 6]],
    }


@st.composite
def contracts(draw: st.DrawFn, *, most: int = 3) -> Contract:
    """A legal contract of one to `most` input fields."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=most, unique=True))
    inputs = [draw(_fields(name)) for name in names]
    outputs = [{"name": "answer", "dtype": "float64"}]
    return Contract.from_json({"format": 1, "name": "drawn", "version": "1.0.0", "inputs": inputs, "outputs": outputs})


@st.composite
def _fields(draw: st.DrawFn, name: str) -> dict[str, Any]:
    out: dict[str, Any] = {"name": name, "dtype": draw(st.sampled_from(DTYPES))}
    bare = Field(**out)
    keep = draw(
        st.sets(st.sampled_from(["bounds", "lengths", "enum", "nullable", "shape", "pattern", "default", "aliases"]))
    )
    if "bounds" in keep and bare.numeric:
        low, high = sorted(draw(st.lists(_legal(bare), min_size=2, max_size=2)))
        out |= {"minimum": low, "maximum": high}
    if "lengths" in keep and bare.kind in ("string", "bytes"):
        low, high = sorted(draw(st.lists(st.integers(0, 7), min_size=2, max_size=2)))
        out |= {"minLength": low, "maxLength": high}
    if "pattern" in keep and bare.kind == "string":
        out["pattern"] = draw(st.sampled_from(PATTERNS))
    if "enum" in keep and bare.kind in ("int", "float", "string"):
        out["enum"] = draw(st.lists(_legal(bare), min_size=1, max_size=3, unique=True))
    if "nullable" in keep:
        out["nullable"] = True
        if bare.kind != "float":
            out["null_value"] = draw(_legal(bare))
    if "shape" in keep:
        out["shape"] = draw(st.sampled_from([[1], [2], [2, 1], [1, 2], [2, 2]]))
    if "aliases" in keep:
        out["aliases"] = draw(st.sampled_from([[f"{name}-alias"], [f"{name}_2", f"{name}.3"], [f"年 {name}"]]))
    if "default" in keep:
        whole = {"format": 1, "name": "one", "version": "1", "outputs": [{"name": "o", "dtype": "bool"}]}
        default = draw(values(Contract.from_json({**whole, "inputs": [out]}).inputs[0]))
        try:
            Contract.from_json({**whole, "inputs": [{**out, "default": default}]})
        except ContractInvalid:
            return out
        out["default"] = default
    return out


def _legal(field: Field) -> st.SearchStrategy[Any]:
    """Scalars of the field's dtype."""
    if field.kind == "bool":
        return st.booleans()
    if field.kind == "int":
        info = np.iinfo(field.dtype)
        small = st.integers(max(int(info.min), -3), 3)
        return small | st.sampled_from([int(info.min), int(info.max)])
    if field.kind == "float":
        width = int(field.dtype[5:])
        edges = st.sampled_from([0.1, 0.7, -0.3, 0, 1, float(np.finfo(field.dtype).max)])
        return edges | st.floats(-4, 4, width=width)  # type: ignore[arg-type]
    if field.kind == "string":
        return st.sampled_from(WORDS)
    return st.binary(max_size=7).map(lambda value: base64.b64encode(value).decode())


def _near(bound: float) -> st.SearchStrategy[Any]:
    """Numbers around a limit, in steps of the narrow floats and of binary64."""
    steps = [bound, bound + 1, bound - 1]
    if isinstance(bound, float) or abs(bound) < 2**53:
        wide = float(bound)
        narrow = np.float32(wide) if abs(wide) < 1e38 else np.float32(0)
        half = np.float16(wide) if abs(wide) < 6e4 else np.float16(0)
        with np.errstate(over="ignore", under="ignore"):
            steps += [np.nextafter(wide, np.inf), np.nextafter(wide, -np.inf), wide * (1 + 2**-25), wide * (1 - 2**-26)]
            steps += [narrow, half, np.nextafter(narrow, np.float32(np.inf)), np.nextafter(half, np.float16(-np.inf))]
    numbers = [step if isinstance(step, int) else float(step) for step in steps]
    return st.sampled_from([number for number in numbers if abs(number) != np.inf])


def _mostly(usual: st.SearchStrategy[Any], rare: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.sampled_from([usual] * 9 + [rare]).flatmap(lambda strategy: strategy)


def scalars(field: Field) -> st.SearchStrategy[Any]:
    """One JSON value for an element: mostly of the right family and close to a limit, sometimes anything."""
    right = _legal(field)
    if field.numeric:
        info = np.iinfo(field.dtype) if field.kind == "int" else np.finfo(field.dtype)
        ends = [info.min, info.max] if field.kind == "int" else [float(info.min), float(info.max)]
        limits = [*ends, field.minimum, field.maximum, *(field.enum or ())]
        right |= st.sampled_from([limit for limit in limits if limit is not None]).flatmap(
            lambda limit: _near(int(limit) if field.kind == "int" else limit)
        )
        right |= st.sampled_from([3.0, 3.5, -0.0, 1e38, 3.4028235677973366e38, 65519.999, 65520, 2**63, 2**64])
    if field.kind == "bytes":
        right |= st.sampled_from(["QUJD\n", "QUI", "QR==", "Q===", "!", "QQ==QQ==", "QQ= =", "-_8="])
    if field.enum:
        right |= st.sampled_from(field.enum)
    if field.nullable:
        right |= st.sampled_from([None, field.null_value])
    wrong = st.sampled_from([None, True, False, 0, 1, "", "a", "1", 0.5, {}, []])
    return _mostly(right, wrong)


def values(field: Field) -> st.SearchStrategy[Any]:
    """One JSON value for a row: nested, flat, of a wrong shape, or a scalar."""
    element = scalars(field)
    if not field.shape:
        return _mostly(element, st.lists(element, max_size=2))
    nested: st.SearchStrategy[Any] = element
    for size in reversed(field.shape):
        nested = st.lists(nested, min_size=size, max_size=size)
    flat = st.lists(element, min_size=field.size, max_size=field.size)
    loose = st.lists(element | st.lists(element, max_size=2), max_size=3)
    return _mostly(nested | flat, loose | element)


@st.composite
def records(draw: st.DrawFn, contract: Contract) -> dict[str, Any]:
    """A row as an object: mostly each field once, sometimes missing, under an alias, doubled or unknown."""
    out: dict[str, Any] = {}
    for field in contract.inputs:
        names = [field.name, *field.aliases]
        given = draw(st.sampled_from([[names[0]]] * 6 + [[names[-1]]] * 3 + [names[:2], []]))
        for name in given:
            out[name] = draw(values(field))
    if draw(st.sampled_from([False] * 19 + [True])):
        out["unheard"] = 1
    return out


@st.composite
def good_rows(draw: st.DrawFn, contract: Contract) -> dict[str, Any] | None:
    """A row that the contract accepts, under the fields' own names; None where drawing found none."""
    out: dict[str, Any] = {}
    for field in contract.inputs:
        reader = Records((Field(**{**_asdict(field), "default": ABSENT, "aliases": ()}),))
        for _ in range(4):
            value = draw(values(field))
            if not reader.read([{field.name: value}]).violations:
                out[field.name] = value
                break
        else:
            if field.required:
                return None
    return out


def _asdict(field: Field) -> dict[str, Any]:
    return {name: getattr(field, name) for name in Field.__dataclass_fields__}
