"""Every combination of the matrix, packed and held against the model that it came from."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import fivefold
from fivefold.core.columns import Columns
from fivefold.packing import golden
from tests.matrix.models import CASES, Case, contract, data, fitted, frame_of


def _params() -> list[Any]:
    return [pytest.param(case, id=case.name, marks=() if case.sample else pytest.mark.full) for case in CASES]


@pytest.mark.parametrize("case", _params())
def test_a_packed_model_answers_like_its_original(case: Case, tmp_path: Path) -> None:
    """Within its tolerance everywhere; labels are equal; a tree's bundle gives the bits of its own ONNX session."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, inputs, target = fitted(case)
    made = contract(case, model, inputs, target)
    table = frame_of(inputs)

    report = fivefold.pack(model, made, tmp_path / "bundle", golden_from=table, tolerance=case.tolerance)

    assert report.difference <= case.tolerance
    bundle = fivefold.Bundle.open(tmp_path / "bundle")
    rows = golden.from_data(table, made).columns
    with fivefold.Scorer.open(bundle) as scorer:
        answers = scorer.score(rows)
        one_by_one = Columns.concat([scorer.score(rows.slice(row, row + 1)) for row in range(0, rows.rows, 37)])
    assert not case.exact or one_by_one.equals(answers.take(np.arange(0, rows.rows, 37)))
    _equal_labels(case, model, inputs, answers, report.ties)
    if case.exact:
        _same_bits(bundle, rows, answers)


def _equal_labels(case: Case, model: Any, inputs: Any, answers: Columns, ties: int) -> None:
    if "label" not in answers:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = model.predict(inputs["text"] if case.data == "texts" else inputs)
    assert int((answers["label"] != wanted).sum()) <= ties


def _same_bits(bundle: fivefold.Bundle, rows: Columns, answers: Columns) -> None:
    """Feed the bundle's model.onnx by hand and compare bits."""
    binding = bundle.manifest.binding
    assert binding is not None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(bundle.read("model.onnx"), options, providers=["CPUExecutionProvider"])
    feed = {}
    for item in binding.inputs:
        kind = object if item.dtype == "string" else item.dtype
        feed[item.model_input] = np.stack([rows[name].astype(kind) for name in item.fields], axis=1)
    for item in binding.outputs:
        (raw,) = session.run([item.model_output], feed)
        raw = raw if item.column is None else raw[:, item.column]
        dtype = next(field.numpy_dtype for field in bundle.contract.outputs if field.name == item.field)

        assert np.array_equal(answers[item.field], raw.astype(dtype).reshape(answers[item.field].shape))


def test_the_matrix_is_as_large_as_promised() -> None:
    """At least thirty combinations, and no name twice."""
    names = [case.name for case in CASES]

    assert len(set(names)) == len(names) >= 30
    assert {case.data for case in CASES} <= {
        "cancer",
        "cancer-array",
        "iris",
        "iris-words",
        "diabetes",
        "two-targets",
        "gaps",
        "texts",
        "messy",
        "mixed",
    }
    assert data("mixed")[0].shape == (400, 4)
