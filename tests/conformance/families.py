"""The mechanical families of cases, made from exact fractions: integer bounds and the rounding of decimals into floats.

The oracle here is rational arithmetic on the decimal itself, so what is expected depends on no float of any library.
Run as a program it writes the files; a test proves that they are what it writes. Everything else in `cases/` is written
by hand.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

CASES = Path(__file__).parent / "cases"

INTEGERS = {f"{sign}int{bits}": (bits, sign == "") for sign in ("", "u") for bits in (8, 16, 32, 64)}
# Precision in bits and the exponent of the smallest normal number (IEEE 754-2019, table 3.5).
FLOATS = {"float16": (11, -14), "float32": (24, -126), "float64": (53, -1022)}
WIRE = {"float16": "FP64", "float32": "FP32", "float64": "FP64"}
SAFE = 2**53 - 1


def rounded(value: Fraction, dtype: str) -> Fraction | None:
    """The number of `dtype` nearest to `value`, ties to even; None where that is an infinity."""
    precision, smallest = FLOATS[dtype]
    if value == 0:
        return value
    magnitude = abs(value)
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    while Fraction(2) ** exponent > magnitude:
        exponent -= 1
    while Fraction(2) ** (exponent + 1) <= magnitude:
        exponent += 1
    step = Fraction(2) ** (max(exponent, smallest) - precision + 1)
    out = round(magnitude / step) * step  # Fraction's round is half to even
    if out >= Fraction(2) ** (2 - smallest):
        return None
    return out if value > 0 else -out


def through_binary64(literal: str, dtype: str) -> Fraction | None:
    """What the rules make of a JSON number: binary64 first, then the dtype."""
    wide = rounded(Fraction(Decimal(literal)), "float64")
    return None if wide is None else rounded(wide, dtype)


def decimal(value: Fraction) -> str:
    """The exact decimal of a dyadic fraction."""
    shift = max(value.denominator.bit_length() - 1, 0)
    digits = str(abs(value.numerator) * 5**shift).rjust(shift + 1, "0")
    text = f"{digits[:-shift]}.{digits[-shift:]}" if shift else digits
    return ("-" if value < 0 else "") + text


def number(value: Fraction) -> float | int:
    """The JSON value of a float that binary64 holds exactly."""
    out = float(value)
    assert Fraction(out) == value
    return int(out) if out.is_integer() and abs(out) <= SAFE else out


def case(
    name: str,
    why: str,
    contract: str,
    field: str,
    literals: Sequence[str],
    datatype: str,
    binary: tuple[str, list[Any]],
) -> dict[str, Any]:
    """A case of one field, one row a literal, in all three spellings; `expect` is left to the caller."""
    dtype, values = binary
    raw = np.array(values, np.dtype(dtype).newbyteorder("<")).tobytes()
    out: dict[str, Any] = {
        "id": name,
        "why": why,
        "contract": contract,
        "records": '{"instances": [' + ", ".join(f'{{"{field}": {text}}}' for text in literals) + "]}",
        "tensors": f'{{"inputs": [{{"name": "{field}", "shape": [{len(literals)}], "datatype": "{datatype}", '
        f'"data": [{", ".join(literals)}]}}]}}',
    }
    if values:
        out["binary"] = [
            {"name": field, "dtype": dtype, "shape": [len(values)], "base64": base64.b64encode(raw).decode()}
        ]
    return out


def integer_bounds() -> dict[str, Any]:
    """Every integer dtype: both ends, and one beyond each."""
    cases = []
    for dtype, (bits, signed) in INTEGERS.items():
        low = -(2 ** (bits - 1)) if signed else 0
        high = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
        literals = [str(low), str(high), f"{high}.0", f"{high}e0"]
        values = [low, high, high, high]
        good = case(
            f"integer-bounds/{dtype}-inside",
            f"Both ends of {dtype}, and the upper one with a fraction and an exponent.",
            "integers",
            dtype,
            literals,
            dtype.upper(),
            (dtype, values),
        )
        shown = [value if abs(value) <= SAFE else str(value) for value in values]
        good["expect"] = {"accepted": {"rows": 4, "columns": {dtype: shown}}}
        literals = [str(low - 1), str(high + 1), f"{high + 1}.0"]
        # No integer dtype is wider than 64 bits: beyond it only the doubles can say so, 2^63 and 2^64 exactly.
        wide = [low - 1, high + 1, high + 1]
        beyond = case(
            f"integer-bounds/{dtype}-outside",
            f"One beyond either end of {dtype}.",
            "integers",
            dtype,
            literals,
            dtype.upper(),
            ("int64", wide) if bits < 64 else ("float64", []),
        )
        beyond["expect"] = {"refused": [["out_of_range", f"inputs.{dtype}[{row}]"] for row in range(3)]}
        cases += [good, beyond]
    about = "Generated by families.py: the bounds of every integer dtype."
    return {"family": "integer-bounds", "about": about, "cases": cases}


def float_rounding() -> dict[str, Any]:
    """Every float dtype: ties, the largest and the smallest values, and decimals on which one rounding is not two."""
    cases = []
    for dtype in FLOATS:
        for name, why, literals in [*_values(dtype), *_double_roundings(dtype)]:
            expected = [through_binary64(literal, dtype) for literal in literals]
            if name.startswith("twice"):
                direct = [rounded(Fraction(Decimal(literal)), dtype) for literal in literals]
                assert all(a != b for a, b in zip(direct, expected, strict=True)), (dtype, name)
            shown = [number(value) for value in expected if value is not None]
            assert len(shown) == len(literals)
            # binary64 is the source that goes through the same second rounding.
            source = ("float64", [float(rounded(Fraction(Decimal(literal)), "float64") or 0) for literal in literals])
            item = case(f"float-rounding/{dtype}-{name}", why, "floats", dtype, literals, WIRE[dtype], source)
            item["expect"] = {"accepted": {"rows": len(literals), "columns": {dtype: shown}}}
            cases.append(item)
        cases.append(_becomes_infinite(dtype))
    about = "Generated by families.py: decimals rounded to binary64, then to the dtype, by exact fractions."
    return {"family": "float-rounding", "about": about, "cases": cases}


def _values(dtype: str) -> list[tuple[str, str, list[str]]]:
    """The ordinary edges of a dtype: name, why, literals."""
    precision, smallest = FLOATS[dtype]
    ulp = Fraction(2) ** (1 - precision)
    top = (2 - ulp) * Fraction(2) ** (1 - smallest)
    least = Fraction(2) ** (smallest - precision + 1)
    normal = Fraction(2) ** smallest
    if dtype == "float64":
        # The exact decimals have 750 digits; these are a hair beside them.
        small = ["4.9406564584124654e-324", "2.4703282292062327e-324", "2.4703282292062328e-324"]
        small += ["2.2250738585072011e-308", "2.2250738585072014e-308"]
    else:
        small = [decimal(value) for value in (least, -least, least / 2, least * 3 / 4, normal, normal - least)]
    exact = (Fraction(0), Fraction(1), -1 - ulp, 2 - ulp, top, -top)
    ties = (1 + ulp / 2, 1 + 3 * ulp / 2, -1 - ulp / 2, 2 - ulp / 2)
    below = _over(dtype) * (1 - Fraction(1, 2**52))
    return [
        ("exact", "Values that the dtype holds stay what they are.", [decimal(value) for value in exact]),
        ("ties-to-even", "Half-way values go to the even neighbour.", [decimal(value) for value in ties]),
        ("below-the-largest", "What rounds to the largest value is that value.", [decimal(below)]),
        ("smallest", "Subnormals exist; half of the smallest is a tie and goes to zero, more does not.", small),
    ]


def _double_roundings(dtype: str) -> list[tuple[str, str, list[str]]]:
    """Decimals that round differently through binary64 than directly; binary64 itself has none."""
    ulp = Fraction(2) ** (1 - FLOATS[dtype][0])
    nudge = Fraction(1, 10**40)
    out = []
    if dtype != "float64":
        up = "Just above a tie in decimal, on it in binary64: the second rounding goes to even, not up."
        down = "The same from below: a direct rounding would go down."
        above = [(1 + ulp / 2, nudge), (-1 - ulp / 2, -nudge), (1 + 5 * ulp / 2, nudge)]
        below = [(1 + 3 * ulp / 2, -nudge), (1 + 7 * ulp / 2, -nudge)]
        out.append(("twice-not-once", up, [decimal_sum(*pair) for pair in above]))
        out.append(("twice-not-once-down", down, [decimal_sum(*pair) for pair in below]))
    if dtype == "float16":
        value = 1 + ulp / 2 + Fraction(1, 2**40)
        why = "binary64 goes to float16 directly: float32 between them would round onto a tie."
        out.append(("not-through-float32", why, [decimal(value), decimal(-value)]))
    return out


def _becomes_infinite(dtype: str) -> dict[str, Any]:
    over = _over(dtype)
    values = [over, -over] if dtype == "float64" else [over, -over, over * 2]
    literals = [decimal(value) for value in values]
    assert all(through_binary64(literal, dtype) is None for literal in literals)
    item = case(
        f"float-rounding/{dtype}-becomes-infinite",
        "The tie above the largest value rounds to infinity, which a finite value may not become.",
        "floats",
        dtype,
        literals,
        WIRE[dtype],
        ("float64", [] if dtype == "float64" else [float(value) for value in values]),
    )
    item["expect"] = {"refused": [["out_of_range", f"inputs.{dtype}[{row}]"] for row in range(len(literals))]}
    return item


def _over(dtype: str) -> Fraction:
    """The tie between the largest value and the power of two above it."""
    precision, smallest = FLOATS[dtype]
    return Fraction(2) ** (2 - smallest) - Fraction(2) ** (1 - smallest - precision)


def decimal_sum(value: Fraction, nudge: Fraction) -> str:
    """The exact decimal of a dyadic fraction moved by a power of ten."""
    total = value + nudge
    scaled = total * 10**60
    assert scaled.denominator == 1
    digits = str(abs(scaled.numerator)).rjust(61, "0")
    return ("-" if total < 0 else "") + f"{digits[:-60]}.{digits[-60:]}".rstrip("0")


def text(document: dict[str, Any]) -> str:
    """A case file: one key a line, so that a difference shows what changed."""
    lines = [
        "{",
        f'  "family": {_json(document["family"])},',
        f'  "about": {_json(document["about"])},',
        '  "cases": [',
    ]
    for position, item in enumerate(document["cases"]):
        lines.append("    {")
        for at, (key, value) in enumerate(item.items()):
            comma = "," if at + 1 < len(item) else ""
            if key == "binary":
                lines.append(f'      "{key}": [')
                lines.append(",\n".join(f"        {_json(tensor)}" for tensor in value))
                lines.append(f"      ]{comma}")
            else:
                lines.append(f'      "{key}": {_json(value)}{comma}')
        lines.append("    }" + ("," if position + 1 < len(document["cases"]) else ""))
    return "\n".join([*lines, "  ]", "}"]) + "\n"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


GENERATED = {"integer-bounds": integer_bounds, "float-rounding": float_rounding}

if __name__ == "__main__":
    for family, make in GENERATED.items():
        (CASES / f"{family}.json").write_text(text(make()), "utf-8")
