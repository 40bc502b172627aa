"""Contracts that are wrong in one thing each, with the JSON path of that thing."""

from __future__ import annotations

import json
from typing import Any

GOOD: dict[str, Any] = {
    "format": 1,
    "name": "good",
    "version": "1.0.0",
    "inputs": [{"name": "x", "dtype": "float64"}],
    "outputs": [{"name": "y", "dtype": "float64"}],
}


def given(**keywords: Any) -> dict[str, Any]:
    """The good contract with keywords of its only input added or replaced."""
    return GOOD | {"inputs": [GOOD["inputs"][0] | keywords]}


def answered(**keywords: Any) -> dict[str, Any]:
    """The good contract with keywords of its only output added or replaced."""
    return GOOD | {"outputs": [GOOD["outputs"][0] | keywords]}


def without(name: str) -> dict[str, Any]:
    """The good contract without one of its members."""
    return {key: value for key, value in GOOD.items() if key != name}


X = "inputs[0]"
TEXT = {"dtype": "string"}
CONTRACTS: dict[str, tuple[dict[str, Any] | str | bytes, str]] = {
    "not-json": ("{", ""),
    "nan-token": ('{"format": NaN}', ""),
    "not-utf-8": (b'{"format": 1, "name": "\xff"}', ""),
    "byte-order-mark": (b"\xef\xbb\xbf" + json.dumps(GOOD).encode(), ""),
    "array": ("[]", ""),
    "deep": ("[" * 100_000, ""),
    "no-format": (without("format"), "format"),
    "other-format": (GOOD | {"format": 2}, "format"),
    "format-true": (GOOD | {"format": True}, "format"),
    "no-name": (without("name"), "name"),
    "empty-name": (GOOD | {"name": ""}, "name"),
    "name-with-slash": (GOOD | {"name": "a/b"}, "name"),
    "name-with-newline": (GOOD | {"name": "a\n"}, "name"),
    "name-not-text": (GOOD | {"name": 5}, "name"),
    "no-version": (without("version"), "version"),
    "version-with-space": (GOOD | {"version": "1 0"}, "version"),
    "unknown-member": (GOOD | {"input": []}, "input"),
    "description-not-utf-8": (GOOD | {"description": "\ud800"}, "description"),
    "no-inputs": (without("inputs"), "inputs"),
    "inputs-empty": (GOOD | {"inputs": []}, "inputs"),
    "inputs-object": (GOOD | {"inputs": {}}, "inputs"),
    "field-not-object": (GOOD | {"inputs": ["x"]}, X),
    "no-outputs": (without("outputs"), "outputs"),
    "same-name-twice": (GOOD | {"inputs": [GOOD["inputs"][0]] * 2}, "inputs[1]"),
    "alias-is-a-name": (
        GOOD | {"inputs": [GOOD["inputs"][0], {"name": "z", "dtype": "bool", "aliases": ["x"]}]},
        "inputs[1]",
    ),
    "field-no-name": (GOOD | {"inputs": [{"dtype": "bool"}]}, f"{X}.name"),
    "field-name-digit": (given(name="1x"), f"{X}.name"),
    "field-name-not-ascii": (given(name="größe"), f"{X}.name"),
    "field-name-bracket": (given(name="x[0]"), f"{X}.name"),
    "field-no-dtype": (GOOD | {"inputs": [{"name": "x"}]}, f"{X}.dtype"),
    "field-dtype-wire-name": (given(dtype="FP32"), f"{X}.dtype"),
    "field-dtype-misspelt": (given(dtype="flaot64"), f"{X}.dtype"),
    "field-unknown-keyword": (given(max=1), f"{X}.max"),
    "field-unit-not-text": (given(unit=5), f"{X}.unit"),
    "field-unit-not-utf-8": (given(unit="\udc00"), f"{X}.unit"),
    "nullable-not-boolean": (given(nullable="yes"), f"{X}.nullable"),
    "shape-not-array": (given(shape=3), f"{X}.shape"),
    "shape-minus-one": (given(shape=[2, -1]), f"{X}.shape[1]"),
    "shape-zero": (given(shape=[0]), f"{X}.shape[0]"),
    "shape-fraction": (given(shape=[1.5]), f"{X}.shape[0]"),
    "shape-boolean": (given(shape=[True]), f"{X}.shape[0]"),
    "shape-too-large": (given(shape=[4096, 4096, 2]), f"{X}.shape"),
    "shape-too-deep": (given(shape=[1] * 9), f"{X}.shape"),
    "aliases-text": (given(aliases="z"), f"{X}.aliases"),
    "alias-empty": (given(aliases=["a b", ""]), f"{X}.aliases[1]"),
    "alias-not-utf-8": (given(aliases=["\ud800"]), f"{X}.aliases[0]"),
    "alias-twice": (given(aliases=["a", "a"]), f"{X}.aliases"),
    "labels-without-shape": (given(labels=["a"]), f"{X}.labels"),
    "labels-not-utf-8": (given(shape=[1], labels=["\ud800"]), f"{X}.labels[0]"),
    "labels-count": (given(shape=[3], labels=["a", "b"]), f"{X}.labels"),
    "minimum-text": (given(minimum="0"), f"{X}.minimum"),
    "minimum-boolean": (given(minimum=False), f"{X}.minimum"),
    "minimum-of-string": (given(**TEXT, minimum=0), f"{X}.minimum"),
    "minimum-above-maximum": (given(minimum=2, maximum=1), f"{X}.minimum"),
    "minimum-fraction-of-integer": (given(dtype="int8", minimum=0.5), f"{X}.minimum"),
    "maximum-outside-dtype": (given(dtype="int8", maximum=128), f"{X}.maximum"),
    "maximum-beyond-float16": (given(dtype="float16", maximum=65520), f"{X}.maximum"),
    "maximum-beyond-binary64": (
        json.dumps(given(maximum=0)).replace('"maximum": 0', '"maximum": 1e400'),
        f"{X}.maximum",
    ),
    "length-of-number": (given(minLength=1), f"{X}.minLength"),
    "length-negative": (given(**TEXT, minLength=-1), f"{X}.minLength"),
    "length-fraction": (given(**TEXT, maxLength=1.5), f"{X}.maxLength"),
    "lengths-crossed": (given(**TEXT, minLength=3, maxLength=2), f"{X}.minLength"),
    "pattern-of-number": (given(pattern="a"), f"{X}.pattern"),
    "pattern-not-text": (given(**TEXT, pattern=5), f"{X}.pattern"),
    "pattern-star": (given(**TEXT, pattern="a*"), f"{X}.pattern"),
    "pattern-plus": (given(**TEXT, pattern="a+"), f"{X}.pattern"),
    "pattern-open-repeat": (given(**TEXT, pattern="a{2,}"), f"{X}.pattern"),
    "pattern-huge-repeat": (given(**TEXT, pattern="a{1001}"), f"{X}.pattern"),
    "pattern-nested-repeat": (given(**TEXT, pattern="(a{100}){100}"), f"{X}.pattern"),
    "pattern-look-ahead": (given(**TEXT, pattern="(?=a)"), f"{X}.pattern"),
    "pattern-flag": (given(**TEXT, pattern="(?i)a"), f"{X}.pattern"),
    "pattern-back-reference": (given(**TEXT, pattern=r"(a)\1"), f"{X}.pattern"),
    "pattern-word-boundary": (given(**TEXT, pattern=r"\ba"), f"{X}.pattern"),
    "pattern-unicode-class": (given(**TEXT, pattern=r"\p{L}"), f"{X}.pattern"),
    "pattern-open-group": (given(**TEXT, pattern="(a"), f"{X}.pattern"),
    "pattern-open-class": (given(**TEXT, pattern="[a"), f"{X}.pattern"),
    "pattern-reversed-range": (given(**TEXT, pattern="[z-a]"), f"{X}.pattern"),
    "pattern-lone-surrogate": (given(**TEXT, pattern="\ud800"), f"{X}.pattern"),
    "enum-of-boolean": (given(dtype="bool", enum=[True]), f"{X}.enum"),
    "enum-of-bytes": (given(dtype="bytes", enum=["AA=="]), f"{X}.enum"),
    "enum-empty": (given(enum=[]), f"{X}.enum"),
    "enum-twice": (given(enum=[1, 1.0]), f"{X}.enum"),
    "enum-mixed": (given(**TEXT, enum=["a", 1]), f"{X}.enum[1]"),
    "enum-outside-dtype": (given(dtype="uint8", enum=[1, 256]), f"{X}.enum[1]"),
    "enum-lone-surrogate": (given(**TEXT, enum=["\ud800"]), f"{X}.enum[0]"),
    "nullable-integer-alone": (given(dtype="int32", nullable=True), f"{X}.null_value"),
    "null-value-alone": (given(dtype="int32", null_value=0), f"{X}.null_value"),
    "null-value-of-float": (given(nullable=True, null_value=0), f"{X}.null_value"),
    "null-value-outside-dtype": (given(dtype="uint8", nullable=True, null_value=-1), f"{X}.null_value"),
    "null-value-no-base64": (given(dtype="bytes", nullable=True, null_value="é"), f"{X}.null_value"),
    "allow-nan-of-integer": (given(dtype="int8", allow_nan=True), f"{X}.allow_nan"),
    "allow-nan-of-output": (answered(allow_nan=True), "outputs[0].allow_nan"),
    "default-null": (given(default=None), f"{X}.default"),
    "default-wrong-type": (given(default="0"), f"{X}.default"),
    "default-out-of-range": (given(maximum=1, default=2), f"{X}.default"),
    "default-not-in-enum": (given(**TEXT, enum=["a"], default="b"), f"{X}.default"),
    "default-wrong-shape": (given(shape=[2], default=[1]), f"{X}.default"),
    "default-of-output": (answered(default=0), "outputs[0].default"),
}
