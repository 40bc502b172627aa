"""What training held, read out of data and out of models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fivefold.core.errors import BundleInvalid
from fivefold.core.fields.field import Field
from fivefold.packing import frames
from fivefold.packing.frames import Seen


def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "a": pd.array([1, None], "Int64"),
            "b": pd.array([True, None], "boolean"),
            "c": pd.Categorical(["x", None], categories=["y", "x"], ordered=True),
            "n": [1.0, np.nan],
            "o": pd.Series(["x", None], dtype=object),
        }
    )


def test_a_frame_and_its_parquet_file_show_the_same(tmp_path: Path) -> None:
    """Nullable dtypes and categories in their order; an object stays one in the frame alone."""
    table().to_parquet(tmp_path / "t.parquet")

    seen = frames.seen(table())

    assert {**seen, "o": None} == {**frames.seen(None, tmp_path / "t.parquet"), "o": None}
    assert seen["a"] == Seen("Int64")
    assert seen["b"] == Seen("boolean")
    assert seen["c"] == Seen("category", categories=("y", "x"), ordered=True)
    assert seen["o"] == Seen("object", "none")


def test_a_csv_file_is_seen_as_pandas_reads_it(tmp_path: Path) -> None:
    """An integer with a missing cell is a float there."""
    (tmp_path / "t.csv").write_text("a,t\n1,x\n,\n")

    seen = frames.seen(tmp_path / "t.csv")

    assert (seen["a"].dtype, seen["t"].dtype) == ("float64", str(pd.Series(["x"]).dtype))


@pytest.mark.parametrize("data", [None, "nowhere.parquet", "notes.txt", 3])
def test_what_is_no_table_shows_nothing(data: Any) -> None:
    """Whoever reads the rows says what is wrong with it."""
    assert frames.seen(data) == {}


def test_the_data_s_own_columns_are_tried_first() -> None:
    """Then a nullable integer as pandas' own, then as float64; a column is found by its alias and its spelling."""
    fields = [
        Field("my_age", "int32", nullable=True, null_value=-1),
        Field("t", "string", nullable=True, null_value="", aliases=("text",)),
    ]
    seen = {"my age": Seen("float32"), "text": Seen("object", "none")}

    first, *others = frames.layouts(fields, ["my_age", "t"], seen, [])

    assert [column.dtype for column in first] == ["float32", "object"]
    assert first[1].null == "none"
    kinds = [column.dtype for layout in frames.layouts(fields, ["my_age", "t"], {}, []) for column in layout[:1]]
    assert kinds[0] == "Int32"
    assert "float64" in kinds
    assert others


def test_boosters_tell_the_categories_that_they_were_fitted_on() -> None:
    """Each library in its own way, in the order of the codes."""
    import lightgbm
    import xgboost
    from sklearn.ensemble import HistGradientBoostingClassifier

    data = pd.DataFrame({"n": np.arange(90.0), "c": pd.Categorical(["x", "y", "z"] * 30, categories=["z", "y", "x"])})
    target = np.arange(90) % 2
    models = [
        lightgbm.LGBMClassifier(n_estimators=2, verbose=-1, min_child_samples=2, n_jobs=1),
        xgboost.XGBClassifier(n_estimators=2, enable_categorical=True, n_jobs=1),
        HistGradientBoostingClassifier(max_iter=2),
    ]

    found = [frames.pandas_categories(model.fit(data, target)) for model in models]

    assert [sorted(one["c"]) for one in found] == [["x", "y", "z"]] * 3
    assert [tuple(one) for one in found] == [("c",)] * 3
    assert found[0]["c"] == found[1]["c"] == ("z", "y", "x")


def cities(*categories: str) -> dict[str, Seen]:
    return {"city": Seen("category", categories=categories)}


@pytest.mark.parametrize("names", [("Bern", "東京"), ("Zürich", "Bern", "Aarau")])
def test_categories_that_xgboost_has_cut_are_those_of_the_data_or_refused(names: tuple[str, ...]) -> None:
    """It stores bytes and counts letters: what it gives back is other text, whether or not that is UTF-8 still."""
    xgboost = pytest.importorskip("xgboost")
    frame = pd.DataFrame(
        {"city": pd.Categorical([*names] * 20, categories=[*names]), "kind": ["a", "b"] * (10 * len(names))}
    )
    frame["kind"] = frame["kind"].astype("category")
    model = xgboost.XGBRegressor(n_estimators=1, enable_categorical=True)
    model.fit(frame, np.arange(len(frame)))

    assert frames.pandas_categories(model, cities(*names)) == {"city": names, "kind": ("a", "b")}
    for other in ({}, cities(*reversed(names)), cities("Zurich", *names[1:]), {"city": Seen("object")}):
        with pytest.raises(BundleInvalid, match=r"categories of 'city' .* cuts texts with letters") as refused:
            frames.pandas_categories(model, other)
        assert "--as python and --golden DATA" in str(refused.value.help)
