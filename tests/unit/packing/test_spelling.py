"""Columns are found under the names that people and libraries give them, and never under two."""

from __future__ import annotations

from fivefold.core.fields.field import Field
from fivefold.packing.spelling import spelled


def fields(*names: str) -> list[Field]:
    return [Field(name, "float64") for name in names]


def test_exact_names_and_aliases_stand() -> None:
    """Both are what core's readers look for."""
    both = [Field("x_y", "float64", aliases=("x y",)), Field("x.y", "float64")]

    assert spelled(both, ["x y", "x.y", "z"]) == {"x y": "x y", "x.y": "x.y"}


def test_alike_names_are_found() -> None:
    """Case and signs do not count, in the field's name and in its aliases."""
    assert spelled(fields("mean_radius"), ["Mean Radius"]) == {"Mean Radius": "mean_radius"}
    assert spelled([Field("a", "float64", aliases=("mean radius (mm)",))], ["mean_radius_mm"]) == {
        "mean_radius_mm": "a"
    }


def test_a_field_that_is_found_takes_no_other_column() -> None:
    """A column that was left out of the draft stays out, however alike it is."""
    both = [Field("x_y", "float64", aliases=("x y",))]

    assert spelled(both, ["x y", "x.y", "X Y"]) == {"x y": "x y"}


def test_what_is_ambiguous_is_not_found() -> None:
    """Two columns for a field, or two fields for a column."""
    assert spelled(fields("x_y"), ["x y", "x.y"]) == {}
    assert spelled(fields("x_y", "x-y"), ["x y"]) == {}
    assert spelled(fields("x_y", "x-y"), ["x y", "x-y"]) == {"x-y": "x-y", "x y": "x_y"}


def test_names_without_latin_letters_are_like_nothing() -> None:
    """`年` and `月` both hold no letter that counts."""
    assert spelled(fields("column", "_"), ["年", "月", "…"]) == {}


def test_the_empty_header_is_the_unnamed_column() -> None:
    """As it was drafted, where no other column has that name."""
    assert spelled(fields("column"), ["", "x"]) == {"": "column"}
    assert spelled(fields("column"), ["", "column"]) == {"column": "column"}
