"""Transformers that large numbers need in float64, alone and before a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, PowerTransformer, StandardScaler

import fivefold
from fivefold.core.errors import BundleInvalid
from fivefold.packing import golden

RANDOM = np.random.default_rng(0)
FRAME = pd.DataFrame(RANDOM.gamma(2, 40, size=(150, 3)).round(3) + 1, columns=list("abc"))


@pytest.mark.parametrize(
    "transform",
    [
        PolynomialFeatures(3),
        PolynomialFeatures((2, 3), interaction_only=True, include_bias=False),
        PowerTransformer(),
        PowerTransformer(method="box-cox", standardize=False),
        FunctionTransformer(np.log1p),
        FunctionTransformer(np.square),
    ],
    ids=str,
)
def test_a_transformer_before_a_model_answers_as_it_did(transform: Any, tmp_path: Path) -> None:
    """On rows of the data, whatever form was chosen."""
    model = make_pipeline(transform, StandardScaler(), Ridge()).fit(FRAME, FRAME.a * FRAME.b - FRAME.c)

    report = fivefold.pack(model, output=tmp_path / "b", draft_from=FRAME)

    with fivefold.open(tmp_path / "b") as scorer:
        got = scorer.score(golden.from_data(FRAME, scorer.bundle.contract).columns)["prediction"]
    assert report.difference <= 1e-5
    assert got == pytest.approx(model.predict(FRAME), rel=1e-5, abs=1e-4)


def test_a_yeo_johnson_below_zero_has_its_other_branch(tmp_path: Path) -> None:
    """Numbers on both sides of zero, and zero."""
    data = (FRAME - 80).round()
    model = make_pipeline(PowerTransformer(), Ridge()).fit(data, data.a)

    fivefold.pack(model, output=tmp_path / "b", draft_from=data)

    with fivefold.open(tmp_path / "b") as scorer:
        asked = pd.DataFrame({"a": [-70.0, 0, 50], "b": [0.0, -1, 1], "c": [10.0, 0, -10]})
        got = scorer.score(golden.from_data(asked, scorer.bundle.contract).columns)["prediction"]
    assert got == pytest.approx(model.predict(asked), rel=1e-5)


def test_a_function_without_an_operator_is_refused_by_name(tmp_path: Path) -> None:
    """With those that have one."""
    model = make_pipeline(FunctionTransformer(np.arctan), Ridge()).fit(FRAME, FRAME.a)

    with pytest.raises(BundleInvalid, match="function 'arctan'") as caught:
        fivefold.pack(model, output=tmp_path / "b", draft_from=FRAME)

    assert "log1p" in (caught.value.help or "")
    assert "--as python" in (caught.value.help or "")
