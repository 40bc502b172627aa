"""What a model's training data held: the dtype of each column, and its way to say that a value is missing.

`seen` reads it out of the data that a user gives, `guesses` out of the fitted estimators, where there is no data.
Making the frame is left to `fivefold.core.bundle.frame`, asking the model with it to the sources.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from msgspec.structs import replace

from fivefold.core.bundle.frame import FrameColumn, default_layout
from fivefold.core.errors import BundleInvalid
from fivefold.core.fields.field import Field
from fivefold.packing.bind import normal
from fivefold.packing.libraries import require

Missing = Literal["nan", "none", "na"]


@dataclass(frozen=True)
class Seen:
    """One column as pandas holds it; the members mean what they mean in `FrameColumn`."""

    dtype: str
    null: Missing = "nan"
    categories: tuple[Any, ...] | None = None
    ordered: bool = False


def seen(*data: Any) -> dict[str, Seen]:
    """The columns of the first of `data` that is a table, by name; none where there is no table.

    Takes what packing takes: a data frame, an Arrow table, a mapping of columns, a list of records, or the path of a
    file. CSV, JSON and Parquet files are read as pandas reads them, because that is how models meet them.
    """
    for one in data:
        if one is None:
            continue
        try:
            frame = _frame(one)
        except Exception:  # noqa: S112 - whoever reads the rows says what is wrong with the data
            continue
        if frame is not None:
            return {str(name): _column(frame.iloc[:, index]) for index, name in enumerate(frame.columns)}
    return {}


def _frame(data: Any) -> Any:
    pandas = require("pandas")
    if isinstance(data, str | Path):
        path, suffix = Path(data), Path(data).suffix.lower()
        if suffix in (".parquet", ".pq"):
            return require("pyarrow.parquet").read_table(path).to_pandas()
        if suffix in (".csv", ".tsv"):
            return pandas.read_csv(path, sep="\t" if suffix == ".tsv" else ",")
        if suffix in (".jsonl", ".ndjson"):
            data = [json.loads(line) for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
        elif suffix == ".json":
            data = json.loads(path.read_text("utf-8-sig"))
        else:
            return None
    if isinstance(data, pandas.DataFrame):
        return data
    if hasattr(data, "to_pandas"):
        return data.to_pandas()
    if isinstance(data, Mapping) and isinstance(data.get("instances"), list):
        data = data["instances"]
    return pandas.DataFrame(data)


def _column(values: Any) -> Seen:
    kind = values.dtype
    if hasattr(kind, "categories"):
        categories = tuple(value.item() if isinstance(value, np.generic) else value for value in kind.categories)
        return Seen("category", categories=categories, ordered=bool(kind.ordered))
    if str(kind) != "object":
        return Seen(str(kind))
    pandas = require("pandas")
    missing = next((value for value in values if value is None or value is pandas.NA or value != value), np.nan)
    return Seen("object", "none" if missing is None else "na" if missing is pandas.NA else "nan")


def layouts(
    fields: Sequence[Field], names: Sequence[str], columns: Mapping[str, Seen], model: Iterable[Any]
) -> list[tuple[FrameColumn, ...]]:
    """The frames to try, the likeliest first: the data's own columns, then what the estimators (`model`) tell.

    `names` are the frame's columns, one for each of `fields`. Each layout serves a model of any library; which one the
    model takes is found by asking it.
    """
    loose = {normal(name): column for name, column in columns.items()}
    known = [
        columns.get(name)
        or next((columns[each] for each in (field.name, *field.aliases) if each in columns), None)
        or loose.get(normal(name))
        for name, field in zip(names, fields, strict=True)
    ]
    parts = list(model)
    categories = _categories(parts, names, columns)
    text = text_null(parts)
    own = default_layout(fields)
    out: list[tuple[FrameColumn, ...]] = []
    for number in ("own", "float64", "object"):
        for word in dict.fromkeys(("category", text, "nan", "none", "string")):
            guess = []
            for field, name, plain in zip(fields, names, own, strict=True):
                guess.append(_guess(field, replace(plain, name=name), number, word, categories.get(name), text))
            for given in (known, ()) if any(known) else ((),):
                layout = tuple(
                    column if column.dtype == "category" else _given(column, field, found)
                    for column, field, found in zip(guess, fields, given or [None] * len(guess), strict=True)
                )
                if layout not in out:
                    out.append(layout)
    # What the data shows comes before every guess.
    return sorted(out, key=lambda layout: -sum(_agrees(*pair) for pair in zip(layout, known, strict=True)))


def _guess(
    field: Field, column: FrameColumn, number: str, word: str, categories: tuple[Any, ...] | None, text: Missing
) -> FrameColumn:
    """One column of a guessed layout; `number` and `word` say how a nullable number and a text are held."""
    if field.shape:
        return column
    if categories is not None and word == "category":
        return replace(column, dtype="category", categories=categories)
    if field.kind == "string":
        if word == "string":
            return replace(column, dtype="string", null="na")
        return replace(column, dtype="object", null=text if word == "category" else _missing(word))
    if not field.nullable or field.kind == "float" or number == "own":
        return column
    return replace(column, dtype="float64" if number == "float64" and field.kind == "int" else "object", null="nan")


def _missing(word: str) -> Missing:
    return "none" if word == "none" else "nan"


def _given(column: FrameColumn, field: Field, found: Seen | None) -> FrameColumn:
    if found is None or field.shape:
        return column
    return replace(column, dtype=found.dtype, null=found.null, categories=found.categories, ordered=bool(found.ordered))


def _agrees(column: FrameColumn, found: Seen | None) -> bool:
    return found is not None and column.dtype == found.dtype and column.null == found.null


def text_null(model: Iterable[Any]) -> Missing:
    """What the estimators took for a missing text when they were fitted; NaN, as pandas reads it, where none tells."""
    for part in model:
        for known in getattr(part, "categories_", None) or ():
            values = list(known) if getattr(known, "dtype", np.dtype(float)).kind == "O" else []
            if any(value is None for value in values):
                return "none"
            if any(isinstance(value, float) for value in values):
                return "nan"
        if hasattr(part, "missing_values") and part.missing_values is None:
            return "none"
    return "nan"


def missing(null: Missing) -> Any:
    """The object that stands for a missing value."""
    return {"nan": np.nan, "none": None}[null] if null != "na" else require("pandas").NA


def _categories(model: Iterable[Any], names: Sequence[str], columns: Mapping[str, Seen]) -> dict[str, tuple[Any, ...]]:
    """Categories of the columns that a booster or a histogram forest was fitted on as pandas categories."""
    out: dict[str, tuple[Any, ...]] = {}
    for part in model:
        out |= {name: values for name, values in pandas_categories(part, columns).items() if name in names}
    return out


def pandas_categories(model: Any, columns: Mapping[str, Seen] = MappingProxyType({})) -> dict[str, tuple[Any, ...]]:
    """Feature name to its categories in the order of their codes, for a model that was fitted on `category` columns.

    `columns` are those of the user's data: they stand in for what XGBoost has lost. Raises `BundleInvalid` where they
    cannot.
    """
    if hasattr(model, "get_booster"):
        return _xgboost(model.get_booster(), columns)
    booster = getattr(model, "booster_", model)
    if hasattr(booster, "pandas_categorical"):
        return _lightgbm(booster)
    encoder = getattr(getattr(model, "_preprocessor", None), "named_transformers_", {}).get("encoder")
    flags = getattr(model, "is_categorical_", None)
    if encoder is None or flags is None:
        return {}
    names = [str(name) for name in getattr(model, "feature_names_in_", range(len(flags)))]
    own = [name for name, flag in zip(names, flags, strict=True) if flag]
    return {
        name: tuple(_plain(value) for value in values if value is not None and value == value)
        for name, values in zip(own, encoder.categories_, strict=True)
    }


def _lightgbm(booster: Any) -> dict[str, tuple[Any, ...]]:
    lists = booster.pandas_categorical or []
    infos = booster.model_to_string(num_iteration=1).split("feature_infos=", 1)[1].splitlines()[0].split(" ")
    # A numeric feature's info is its range in brackets, a categorical one's the codes that it has met.
    flagged = [
        name
        for name, info in zip(booster.feature_name(), infos, strict=True)
        if info != "none" and not info.startswith("[")
    ]
    if len(flagged) != len(lists):
        return {}
    return {name: tuple(_plain(value) for value in values) for name, values in zip(flagged, lists, strict=True)}


def _xgboost(booster: Any, columns: Mapping[str, Seen]) -> dict[str, tuple[Any, ...]]:
    kinds = booster.feature_types or []
    if "c" not in kinds:
        return {}
    names = booster.feature_names or [str(index) for index in range(len(kinds))]
    try:
        found = dict(booster.get_categories(export_to_arrow=True).to_arrow())
    except (AttributeError, TypeError, ValueError):
        return {}
    kept = {
        name: found[name]
        for name, kind in zip(names, kinds, strict=True)
        if kind == "c" and found.get(name) is not None
    }
    return {name: _uncut(name, values, columns.get(name)) for name, values in kept.items()}


def _uncut(name: str, values: Any, seen: Seen | None) -> tuple[Any, ...]:
    """The categories that XGBoost was given, or `BundleInvalid` where neither it nor the data knows them any more.

    It counts letters where it stores bytes: from the first letter outside of ASCII on, its texts are cut at the wrong
    places, and end too early.
    """
    arrow = require("pyarrow")
    if not (arrow.types.is_string(values.type) or arrow.types.is_large_string(values.type)):
        return tuple(values.to_pylist())
    wide = arrow.types.is_large_string(values.type)
    stored = values.cast(arrow.large_binary() if wide else arrow.binary()).to_pylist()
    if all(text is None or text.isascii() for text in stored):
        return tuple(values.to_pylist())
    if seen is not None and seen.categories is not None and _cut(seen.categories) == stored:
        return seen.categories
    raise BundleInvalid(
        f"XGBoost has not kept the categories of {name!r} that the model was trained with: it cuts texts with letters "
        "outside of ASCII",
        help="pack it with --as python and --golden DATA, a Parquet file or data frame whose columns are categories "
        "as in training; or train it with categories in ASCII",
    )


def _cut(categories: Sequence[Any]) -> list[bytes] | None:
    """What XGBoost makes of categories; None for those that are no texts."""
    if not all(isinstance(one, str) for one in categories):
        return None
    data = "".join(categories).encode()
    ends = np.cumsum([len(one) for one in categories]).tolist()
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
