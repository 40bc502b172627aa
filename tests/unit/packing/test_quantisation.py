from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from onnxruntime.quantization import QuantType, quantize_dynamic
from tests.support.bundles import write_python, write_sum
from tests.support.nets import CONTRACT, answers, net, some_rows, write_net, write_numbers

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import BundleInvalid, ContractError, NotFound
from fivefold.core.runtime.scorer import Scorer
from fivefold.packing import quantised_runs
from fivefold.packing.holdout import read_holdout
from fivefold.packing.quantisation import (
    QuantisationRecipe,
    kernels,
    nothing_to_quantise,
    quantised_model,
    write_quantised,
)
from fivefold.packing.quantisation_gate import GateBounds, judge_quantised, judgeable

DEFAULT = QuantisationRecipe()


def batchwise(model: bytes) -> bytes:
    """The model as ONNX Runtime itself quantises it: one scale for all rows that are asked together."""
    with tempfile.TemporaryDirectory() as directory:
        given, made = Path(directory) / "given.onnx", Path(directory) / "made.onnx"
        given.write_bytes(model)
        quantize_dynamic(given, made, weight_type=QuantType.QUInt8)
        return made.read_bytes()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_net(tmp_path_factory.mktemp("net") / "bundle")


@pytest.mark.parametrize("gemm", [False, True], ids=["MatMul", "Gemm"])
@pytest.mark.parametrize(
    "recipe",
    [DEFAULT, QuantisationRecipe(per_channel=True), QuantisationRecipe("QInt8", reduce_range=True)],
    ids=["default", "per channel", "seven bits"],
)
def test_it_answers_nearly_as_the_original(gemm: bool, recipe: QuantisationRecipe) -> None:
    model, rows = net(gemm=gemm), some_rows(500)
    quantised = quantised_model(model, recipe)

    (before,), (after,) = answers(model, rows, "score"), answers(quantised, rows, "score")

    # Each row has a scale of its own, so a small row is no worse than a large one.
    apart = np.abs(before - after).max(axis=1) / np.abs(before).max(axis=1)
    assert np.median(apart) < 0.03
    assert apart.max() < 0.15
    assert len(kernels(quantised)) == 2


@pytest.mark.full
def test_a_row_is_answered_alone_as_it_is_among_others() -> None:
    rows = some_rows(200)
    quantised = quantised_model(net(), DEFAULT)

    (together,) = answers(quantised, rows, "score")
    alone = np.concatenate([answers(quantised, rows[at : at + 1], "score")[0] for at in range(len(rows))])

    assert np.array_equal(together, alone)


def test_no_number_is_made_of_what_is_none() -> None:
    rows = some_rows(4)
    rows[1, 2], rows[2, 0], rows[3] = np.nan, np.inf, 0

    (score,) = answers(quantised_model(net(), DEFAULT), rows, "score")

    assert np.isnan(score[1]).all()
    assert np.isnan(score[2]).all()
    assert np.isfinite(score[[0, 3]]).all()


def test_what_is_fused_answers_as_what_is_not() -> None:
    rows = some_rows(300)
    model = quantised_model(net(), DEFAULT)

    (fused,) = quantised_runs.native(model, {"X": rows}, ["score"])
    (plain,) = quantised_runs.native(model, {"X": rows}, ["score"], exact=True)

    assert np.abs(fused - plain).max() < 1e-3


def test_trees_and_code_have_nothing_to_quantise(tmp_path: Path) -> None:
    assert "a Python class" in str(nothing_to_quantise(write_python(tmp_path / "python")))
    assert "no matrix of weights (Cast, Greater, ReduceSum)" in str(nothing_to_quantise(write_sum(tmp_path / "sum")))


def test_saturating_weights_are_not_made() -> None:
    with pytest.raises(BundleInvalid, match="saturate"):
        QuantisationRecipe("QInt8")


def test_a_good_model_passes_and_becomes_a_bundle(tmp_path: Path, bundle: Bundle) -> None:
    model = quantised_model(bundle.read("model.onnx"), DEFAULT)
    report = judge_quantised(bundle, model, None, GateBounds(agreement=0.9))

    assert not report.refused, report.to_json()
    made = write_quantised(
        bundle, model, report.answers, tmp_path / "int8", version="1+int8", facts={"of": bundle.digest}
    )
    assert made.version == "1+int8"
    assert made.contract == bundle.contract
    assert made.manifest.created_from["quantised"] == {"of": bundle.digest}
    # Its golden answers hold, together and alone.
    Scorer.open(Bundle.open(tmp_path / "int8")).close()


def test_a_model_whose_rows_depend_on_each_other_is_refused(bundle: Bundle) -> None:
    report = judge_quantised(bundle, batchwise(bundle.read("model.onnx")), None)

    assert "int8 alone and together" in [each.what for each in report.refused]


def test_another_model_is_refused_by_its_answers(bundle: Bundle) -> None:
    report = judge_quantised(bundle, net(scale=-1), None)

    assert {"agreement, label", "agreement, probability"} <= {each.what for each in report.refused}


def test_a_loss_on_labelled_rows_is_refused(tmp_path: Path, bundle: Bundle) -> None:
    rows = some_rows(300, seed=5)
    (label,) = answers(bundle.read("model.onnx"), rows, "label")
    path = tmp_path / "labelled.jsonl"
    lines = [{"in": {"x": row.tolist()}, "out": {"label": int(one)}} for row, one in zip(rows, label, strict=True)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    holdout = read_holdout(path, CONTRACT)

    same = judge_quantised(bundle, bundle.read("model.onnx"), holdout)
    assert not same.refused
    assert same.labelled == 300
    worse = {each.what: each for each in judge_quantised(bundle, net(scale=0.9), holdout).refused}
    assert worse["loss of accuracy, label"].value is not None
    assert worse["loss of accuracy, label"].value > 0.005


def test_numbers_alone_need_labels(tmp_path: Path, bundle: Bundle) -> None:
    assert judgeable(bundle)
    assert not judgeable(write_numbers(tmp_path / "numbers"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no labelled rows"),
        ("{}\n", "line 1"),
        ("nonsense\n", "line 1"),
        ('{"in": {"x": [0, 0, 0, 0]}, "out": {}}\n', "expected the true outputs"),
        ('{"in": {"x": [0, 0, 0, 0]}, "out": {"other": 1}}\n', "no output 'other'"),
        ('{"in": {"x": [0, 0, 0, 0]}, "out": {"label": 7}}\n', "7"),
        ('{"in": {"x": [0, 0, 0]}, "out": {"label": 1}}\n', "4"),
        (
            '{"in": {"x": [0, 0, 0, 0]}, "out": {"label": 1}}\n'
            '{"in": {"x": [0, 0, 0, 0]}, "out": {"probability": [0, 0, 1]}}\n',
            "line 2: expected the true label",
        ),
    ],
)
def test_labelled_rows_that_are_none(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "labelled.jsonl"
    path.write_text(text)

    with pytest.raises(ContractError, match=says):
        read_holdout(path, CONTRACT)
    with pytest.raises(NotFound):
        read_holdout(tmp_path / "none", CONTRACT)
