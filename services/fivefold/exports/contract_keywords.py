"""What each keyword of contract.json means, for people and for editors: the one text of the page and of the schema.

The examples are run where the page is written (`contract_page`); what a keyword may be is `contract_file_schema`'s, and
the law is `fivefold.core.contract.parse`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class ContractKeyword:
    """A keyword with an example.

    `field` is a field that has it and `rows` what a caller sends for it, one row after another; `wrong` is a field that
    is refused. `side` is where the fields stand. A keyword of the contract itself has `wrong` alone: members of a
    contract that is refused.
    """

    name: str
    says: str
    field: dict[str, Any] | None = None
    rows: tuple[Any, ...] = ()
    wrong: dict[str, Any] | None = None
    side: str = "inputs"


ABSENT: Final = object()
"""Among rows: one that does not give the field."""

OF_A_CONTRACT: Final = (
    ContractKeyword("format", "The format of the file: 1.", wrong={"format": 2}),
    ContractKeyword(
        "name",
        "The contract's name, which is the model's name where none is given: a letter or `_`, then letters, digits, "
        "`_`, `.` and `-`, 128 at most.",
        wrong={"name": "breast cancer"},
    ),
    ContractKeyword(
        "version",
        "The contract's version, such as 1.0.0: letters, digits, `.`, `+` and `-`, 64 at most. Callers may name it.",
        wrong={"version": "first version"},
    ),
    ContractKeyword("description", "What the model is for, for people. Optional.", wrong={"description": ""}),
    ContractKeyword(
        "inputs",
        "The fields of a row that a caller sends, one at least. Their order is meaningful: of positional rows, of "
        "tensors, of numbers in a `.proto`.",
        wrong={"inputs": []},
    ),
    ContractKeyword("outputs", "The fields of an answer, one at least.", wrong={"outputs": None}),
)

_AGE = {"name": "age", "dtype": "int16"}
_SITE = {"name": "site", "dtype": "string"}

OF_A_FIELD: Final = (
    ContractKeyword(
        "name",
        "What the field is called in records, tensors and columns: a letter or `_`, then letters, digits, `_`, `.` and "
        "`-`, 128 at most.",
        {"name": "mean-radius", "dtype": "float64"},
        (14.5,),
        {"name": "mean radius", "dtype": "float64"},
    ),
    ContractKeyword(
        "dtype",
        "What its values are: `bool`, `int8` to `int64`, `uint8` to `uint64`, `float16` to `float64`, `string` (UTF-8) "
        "or `bytes` (base64 text in JSON). Values decide, not how they are written: an integer may come as `3.0`. "
        "Booleans, numbers and text never become one another.",
        _AGE,
        (3, 3.0, 3.5, True, "3", 40_000),
        {"name": "age", "dtype": "int"},
    ),
    ContractKeyword(
        "shape",
        "Sizes of the array that every row holds; absent: a single value. In JSON an array is nested by its shape, or "
        "flat. 8 dimensions and 16,777,216 elements at most.",
        {"name": "image", "dtype": "float32", "shape": [2, 2]},
        ([[1, 2], [3, 4]], [1, 2, 3, 4], [1, 2, 3], 7),
        {"name": "image", "dtype": "float32", "shape": [-1, 28]},
    ),
    ContractKeyword(
        "minimum",
        "The least number, which is allowed itself; in a float rounded to the dtype, as the data is.",
        _AGE | {"minimum": 18},
        (18, 17),
        {"name": "site", "dtype": "string", "minimum": 1},
    ),
    ContractKeyword(
        "maximum",
        "The greatest number, which is allowed itself.",
        _AGE | {"maximum": 120, "unit": "years"},
        (120, 121),
        _AGE | {"minimum": 120, "maximum": 18},
    ),
    ContractKeyword(
        "enum",
        "All values that are allowed, for strings and numbers.",
        _SITE | {"enum": ["left", "right"]},
        ("left", "rihgt"),
        {"name": "old", "dtype": "bool", "enum": [True]},
    ),
    ContractKeyword(
        "nullable",
        "Whether null is allowed; by default it is not. Null skips the other limits and never means the default. In a "
        "float NaN is null too; a field of another dtype says by `null_value` what the model gets.",
        {"name": "x", "dtype": "float64", "minimum": 0, "nullable": True},
        (None, -1),
        _AGE | {"nullable": True},
    ),
    ContractKeyword(
        "null_value",
        "What stands for null where an array has none, and what the model gets for it: for a nullable field that is no "
        "float. Outside of the legal values it is null itself; inside of them binary tensors and gRPC cannot say null.",
        _AGE | {"minimum": 0, "nullable": True, "null_value": -1},
        (None, -1, -2),
        _AGE | {"null_value": -1},
    ),
    ContractKeyword(
        "default",
        "What a row has that does not give the field. A field without one is required; null needs `nullable`.",
        _SITE | {"enum": ["left", "right"], "default": "left"},
        (ABSENT, "right", None),
        _SITE | {"enum": ["left", "right"], "default": "up"},
    ),
    ContractKeyword(
        "allow_nan",
        "Whether NaN and the infinities are values of a float input. JSON has no spelling for them, tensors do.",
        {"name": "x", "dtype": "float64", "allow_nan": True},
        (0.5, float("nan"), float("inf"), None),
        _AGE | {"allow_nan": True},
    ),
    ContractKeyword(
        "minLength",
        "The least length: of a string in code points, of bytes in bytes.",
        _SITE | {"minLength": 2},
        ("öä", "ö"),
        _AGE | {"minLength": 2},
    ),
    ContractKeyword(
        "maxLength",
        "The greatest length.",
        {"name": "raw", "dtype": "bytes", "maxLength": 2},
        ("AQI=", "AQID", "no base64"),
        _SITE | {"minLength": 2, "maxLength": 1},
    ),
    ContractKeyword(
        "pattern",
        "A regular expression that a part of the string has to match: literals, classes, groups, `|`, bounded repeats, "
        "`^ $ . \\d \\w`, which mean the same everywhere.",
        {"name": "code", "dtype": "string", "pattern": "^[A-Z]{2}-\\d{3}$"},
        ("AB-123", "AB-12", "AB-12३"),
        {"name": "code", "dtype": "string", "pattern": "^(?=A)"},
    ),
    ContractKeyword(
        "unit",
        "What numbers are in, for people; refusals and forms name it.",
        {"name": "mass", "dtype": "float32", "maximum": 500, "unit": "kg"},
        (500.5,),
        {"name": "mass", "dtype": "float32", "unit": ""},
    ),
    ContractKeyword(
        "description",
        "What the field is, for people.",
        _AGE | {"description": "at admission"},
        (44,),
        _AGE | {"description": 1},
    ),
    ContractKeyword(
        "aliases",
        "Other names that rows may give the field under, any text: the headers of a table, or a former name.",
        _SITE | {"aliases": ["side", "Seite (l/r)"]},
        ({"side": "left"}, {"Seite (l/r)": "left"}, {"side": "left", "site": "left"}, {"sight": "left"}),
        _SITE | {"aliases": ["site"]},
    ),
    ContractKeyword(
        "labels",
        "Names of the elements along the last dimension, such as the classes of probabilities.",
        {"name": "probability", "dtype": "float32", "shape": [2], "labels": ["benign", "malignant"]},
        (),
        {"name": "probability", "dtype": "float32", "shape": [2], "labels": ["benign"]},
        "outputs",
    ),
    ContractKeyword(
        "unknown",
        "The member of an output's `enum`, or of its `labels`, that callers of this version get for a class which a "
        "later version adds.",
        {"name": "label", "dtype": "string", "enum": ["benign", "malignant", "other"], "unknown": "other"},
        (),
        {"name": "label", "dtype": "string", "enum": ["benign", "malignant"], "unknown": "other"},
        "outputs",
    ),
)
