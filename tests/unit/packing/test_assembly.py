"""Packing, from a model in its author's hands to a bundle that a server opens."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

import fivefold
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import BundleInvalid, ContractInvalid


def test_a_fitted_model_becomes_a_bundle_that_answers_like_it(
    tree: Any, iris: Any, contract_of: Any, tmp_path: Path
) -> None:
    """Label and probabilities of every flower; the report and the manifest hold the same facts."""
    report = fivefold.pack(tree, contract_of(), tmp_path / "b")

    with fivefold.open(tmp_path / "b") as scorer:
        manifest = scorer.bundle.manifest
        from fivefold.packing.golden import from_data

        answers = scorer.score(from_data(pd.DataFrame(iris[0], columns=list("abcd")), contract_of()).columns)
    assert np.array_equal(answers["label"], tree.predict(iris[0]))
    assert np.abs(answers["probability"] - tree.predict_proba(iris[0])).max() < 1e-6
    assert manifest.created_from["difference"] == report.difference <= 1e-6
    assert manifest.created_from["libraries"]["sklearn"]
    assert (manifest.name, manifest.version, manifest.tolerance) == ("iris", "1", 1e-5)
    assert report.golden_rows == 64
    assert "largest difference" in "\n".join(report.lines())
    assert json.loads(json.dumps(report.to_json()))["digest"] == report.digest


def test_the_same_model_and_contract_give_the_same_bytes(tree: Any, contract_of: Any, tmp_path: Path) -> None:
    """No time, no path and no random name gets into a bundle."""
    first = fivefold.pack(tree, contract_of(), tmp_path / "one")
    second = fivefold.pack(tree, contract_of(), tmp_path / "two")

    assert first.digest == second.digest


@pytest.mark.full
def test_float64_is_taken_only_where_it_agrees_better(
    logistic: Any, tree: Any, contract_of: Any, tmp_path: Path
) -> None:
    """A tree compares float32 thresholds and stays float32; huge numbers in a linear model need float64."""
    from sklearn.linear_model import LinearRegression

    random = np.random.default_rng(0)
    inputs = random.normal(1e6, 1, size=(200, 4))
    linear = LinearRegression().fit(inputs, inputs @ [1.0, -1.0, 1.0, -1.0])
    fields = [{"name": name, "dtype": "float64", "minimum": 999_990, "maximum": 1_000_010} for name in "abcd"]
    wide = contract_of(inputs=fields, outputs=[{"name": "y", "dtype": "float64"}])

    assert fivefold.pack(tree, contract_of(), tmp_path / "tree").floats == "float32"
    report = fivefold.pack(linear, wide, tmp_path / "linear")
    assert (report.floats, report.difference < 1e-9) == ("float64", True)


def test_a_converter_that_is_wrong_is_caught(iris: Any, contract_of: Any, rows: Any, tmp_path: Path) -> None:
    """Equal distances are broken by another order in ONNX: real, and refused with the place. Nothing is written."""
    model = KNeighborsClassifier(5).fit(*iris)

    with pytest.raises(BundleInvalid, match="disagrees with the original") as caught:
        fivefold.pack(model, contract_of(), tmp_path / "b", golden_from=rows)

    assert "probability[" in str(caught.value)
    assert "--tolerance" in (caught.value.help or "")
    assert not (tmp_path / "b").exists()


def test_a_tolerance_is_printed_and_recorded(logistic: Any, contract_of: Any, tmp_path: Path) -> None:
    """Two numbers stand in the report and in the bundle: what was allowed and what was seen."""
    report = fivefold.pack(logistic, contract_of(), tmp_path / "b", tolerance=1e-3)

    assert "tolerance 0.001" in "\n".join(report.lines())
    assert f"{report.difference:.3g}" in "\n".join(report.lines())
    assert fivefold.Bundle.open(tmp_path / "b").manifest.tolerance == 1e-3


@pytest.mark.full
def test_columns_of_text_and_numbers_get_an_input_each(tmp_path: Path) -> None:
    """A pipeline over a data frame takes strings, integers and floats; a text outside the enum never reaches it."""
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import OneHotEncoder

    frame = pd.DataFrame({"site": ["left", "right"] * 20, "age": range(20, 60), "dose": np.linspace(0.1, 2, 40)})
    columns = make_column_transformer((OneHotEncoder(), ["site"]), (StandardScaler(), ["age", "dose"]))
    model = make_pipeline(columns, LogisticRegression()).fit(frame, np.where(frame.age > 40, "old", "young"))

    report = fivefold.pack(model, output=tmp_path / "b", draft_from=frame)

    assert len(report.inputs) == 3
    assert report.drafted == tmp_path / "b.contract.json"
    drafted = Contract.load(report.drafted)
    assert [field.dtype for field in drafted.inputs] == ["string", "int64", "float64"]
    assert drafted.outputs[0].enum == ("old", "young")
    assert "pack again with --contract" in "\n".join(report.lines())


def test_draft_needs_only_the_columns_that_the_model_knows(iris: Any, tmp_path: Path) -> None:
    """A training table with its target still in it drafts the features alone."""
    frame = pd.DataFrame(
        iris[0], columns=["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"]
    )
    model = DecisionTreeClassifier(max_depth=2, random_state=0).fit(frame, iris[1])
    frame.assign(kind=iris[1]).to_parquet(tmp_path / "train.parquet")

    report = fivefold.pack(model, output=tmp_path / "b", draft_from=tmp_path / "train.parquet")

    assert len(Contract.load(report.drafted or "").inputs) == 4
    assert report.golden_source == "train.parquet"


def test_pickles_load_and_say_what_they_need(tree: Any, contract_of: Any, tmp_path: Path) -> None:
    """A pickle of a model packs; one that cannot be loaded is a plain error."""
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(tree))
    (tmp_path / "bad.pkl").write_bytes(b"cnosuchmodule_x\nThing\n.")
    (tmp_path / "junk.joblib").write_bytes(b"junk")
    (tmp_path / "list.pkl").write_bytes(pickle.dumps([1]))

    assert fivefold.pack(tmp_path / "m.pkl", contract_of(), tmp_path / "b").kind == "scikit-learn"
    for name, message in (
        ("bad.pkl", "needs the module"),
        ("junk.joblib", "cannot be loaded"),
        ("list.pkl", "not a model"),
    ):
        with pytest.raises(BundleInvalid, match=message):
            fivefold.pack(tmp_path / name, contract_of(), tmp_path / "c")


def test_an_unfitted_model_is_refused(contract_of: Any, tmp_path: Path) -> None:
    """Before anything is converted."""
    with pytest.raises(BundleInvalid, match="is not fitted"):
        fivefold.pack(DecisionTreeClassifier(), contract_of(), tmp_path / "b")


def test_what_cannot_be_converted_points_to_a_python_class(iris: Any, contract_of: Any, tmp_path: Path) -> None:
    """An estimator that the converters do not know has another way in."""
    from sklearn.neighbors import NearestCentroid

    with pytest.raises(BundleInvalid, match="cannot be converted to ONNX") as caught:
        fivefold.pack(NearestCentroid().fit(*iris), contract_of(), tmp_path / "b")

    assert 'as_="python"' in (caught.value.help or "")


def test_onnx_files_keep_their_answers_and_lose_their_zipmap(
    tree: Any, iris: Any, contract_of: Any, tmp_path: Path
) -> None:
    """A model as other tools export it, ZipMap and all."""
    made = to_onnx(tree, iris[0][:1].astype(np.float32), target_opset=18)
    (tmp_path / "m.onnx").write_bytes(made.SerializeToString())

    report = fivefold.pack(tmp_path / "m.onnx", contract_of(), tmp_path / "b")

    assert report.difference == 0
    assert "ZipMap taken off" in report.notes[0]
    packed = onnx.load_model_from_string(fivefold.Bundle.open(tmp_path / "b").read("model.onnx"))
    assert "ZipMap" not in {node.op_type for node in packed.graph.node}


def test_onnx_with_one_row_only_is_refused_with_the_way_out(contract_of: Any, tmp_path: Path) -> None:
    """A fixed batch cannot be served."""
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in "xy"]
    body = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [value[0]], [value[1]])
    made = helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)

    with pytest.raises(ContractInvalid, match="exactly 1 rows") as caught:
        fivefold.pack(made, contract_of(), tmp_path / "b")

    assert caught.value.help == "export it with a dynamic first axis"


@pytest.mark.full
def test_xgboost_packs_from_objects_boosters_and_files(iris: Any, contract_of: Any, tmp_path: Path) -> None:
    """One model, four ways to hold it, one bundle's worth of answers; names of columns are no obstacle."""
    import xgboost

    frame = pd.DataFrame(iris[0], columns=list("abcd"))
    model = xgboost.XGBClassifier(n_estimators=5, n_jobs=1).fit(frame, iris[1])
    for suffix in ("json", "ubj"):
        model.save_model(tmp_path / f"m.{suffix}")

    held = [model, model.get_booster(), tmp_path / "m.json", tmp_path / "m.ubj"]
    models = {fivefold.pack(one, contract_of(), tmp_path / f"b{i}").path for i, one in enumerate(held)}

    assert len({fivefold.Bundle.open(path).read("model.onnx") for path in models}) == 1
    assert model.get_booster().feature_names == list("abcd")


@pytest.mark.full
def test_lightgbm_packs_from_boosters_and_files(iris: Any, contract_of: Any, tmp_path: Path) -> None:
    """The text file of a booster knows its classes by number."""
    import lightgbm

    model = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, n_jobs=1).fit(iris[0], iris[1])
    model.booster_.save_model(tmp_path / "m.txt")

    for index, held in enumerate((model, model.booster_, tmp_path / "m.txt")):
        report = fivefold.pack(held, contract_of(), tmp_path / f"b{index}")
        assert report.difference <= 1e-6


@pytest.mark.parametrize("name", ["m.json", "m.ubj", "m.txt", "m.onnx"])
def test_files_of_another_kind_are_refused_by_name(contract_of: Any, tmp_path: Path, name: str) -> None:
    """No stack of a foreign library reaches the user."""
    (tmp_path / name).write_text("nonsense")

    with pytest.raises(BundleInvalid, match=name):
        fivefold.pack(tmp_path / name, contract_of(), tmp_path / "b")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere.onnx", "no file nowhere.onnx"),
        ("no.module_at_all:Thing", "no module 'no'"),
        (".", "is a folder"),
        (3, "not a model"),
    ],
)
def test_a_source_that_is_nothing_is_refused(contract_of: Any, tmp_path: Path, source: Any, message: str) -> None:
    """With what could be given instead."""
    with pytest.raises(BundleInvalid, match=message) as caught:
        fivefold.pack(source, contract_of(), tmp_path / "b")

    assert caught.value.help


def test_a_contract_that_does_not_fit_says_what_to_write(tree: Any, contract_of: Any, tmp_path: Path) -> None:
    """Counts, shapes and outputs, each with its own way out."""
    three = contract_of(inputs=[{"name": name, "dtype": "float64"} for name in "abc"])
    scalar = contract_of(outputs=[{"name": "score", "dtype": "float32"}])

    with pytest.raises(ContractInvalid, match="takes 4 features, and the contract has 3"):
        fivefold.pack(tree, three, tmp_path / "b")
    with pytest.raises(ContractInvalid, match=r"probabilities: float32 \[\?, 3\]") as caught:
        fivefold.pack(tree, scalar, tmp_path / "b")
    assert "--bind score=probabilities[COLUMN]" in (caught.value.help or "")

    report = fivefold.pack(tree, scalar, tmp_path / "b", bind=["score=probabilities[2]"])
    assert report.outputs == ("probabilities[2] -> score",)


def test_one_field_may_hold_all_features(tree: Any, contract_of: Any, tmp_path: Path) -> None:
    """The classic [rows, 4] tensor."""
    block = contract_of(inputs=[{"name": "X", "dtype": "float32", "shape": [4], "minimum": 0, "maximum": 8}])

    assert fivefold.pack(tree, block, tmp_path / "b").inputs == ("X -> X (float32)",)


def test_answers_outside_the_contract_refuse_the_pack(tree: Any, contract_of: Any, tmp_path: Path) -> None:
    """A contract whose outputs the model leaves is found here and not in production."""
    narrow = contract_of(outputs=[{"name": "label", "dtype": "int64", "enum": [0, 1]}])

    with pytest.raises(BundleInvalid, match="cannot answer rows that the contract allows"):
        fivefold.pack(tree, narrow, tmp_path / "b")


def test_few_rows_of_data_are_filled_up_from_the_contract(
    tree: Any, contract_of: Any, rows: Any, tmp_path: Path
) -> None:
    """At least 32 golden rows, and the report says where they come from."""
    report = fivefold.pack(tree, contract_of(), tmp_path / "b", golden_from=rows[:5])

    assert report.golden_rows == 32
    assert "has 5 legal rows" in report.notes[0]


def test_contract_warnings_reach_the_report(tree: Any, contract_of: Any, tmp_path: Path) -> None:
    """An int64 without bounds is legal and bites in a browser."""
    open_label = contract_of(outputs=[{"name": "label", "dtype": "int64"}])

    report = fivefold.pack(tree, open_label, tmp_path / "b")

    assert any("browser" in text for text in report.warnings)


def test_a_bundle_is_signed_on_the_way_out(tree: Any, contract_of: Any, tmp_path: Path) -> None:
    """The signature holds under the public key."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())

    report = fivefold.pack(tree, contract_of(), tmp_path / "b", sign_key=pem)

    assert report.signed
    assert fivefold.Bundle.open(tmp_path / "b", public_keys=[key.public_key()]).signer


def test_packing_without_a_contract_or_data_says_so(tree: Any, tmp_path: Path) -> None:
    """There is nothing to guess from."""
    with pytest.raises(ContractInvalid, match="needs a contract") as caught:
        fivefold.pack(tree, output=tmp_path / "b")

    assert "--draft-from" in (caught.value.help or "")
