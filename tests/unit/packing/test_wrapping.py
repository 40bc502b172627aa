"""Models as they are: the bundle gives the model's own answers, to the rows that training would have shown it."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KernelDensity, KNeighborsClassifier, NearestCentroid, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder
from sklearn.svm import LinearSVC

import fivefold
from fivefold.core.columns import Columns
from fivefold.core.errors import BundleInvalid, ContractInvalid
from fivefold.core.readers.records import Records
from fivefold.packing import golden


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Everything lies in a folder of its own, and modules of the author's are found there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0].endswith("_own")]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def flowers(iris: tuple[Any, Any]) -> tuple[pd.DataFrame, Any]:
    """The flowers under names that are no contract's."""
    return pd.DataFrame(iris[0], columns=["sepal length (cm)", "b", "c", "d"])[::3], iris[1][::3]


def wrapped(source: Any, data: Any, where: str = "b", **options: Any) -> fivefold.Scorer:
    """The bundle of a source as it is, opened as a server opens it."""
    fivefold.pack(source, output=where, draft_from=data, as_="python", **options)
    return fivefold.open(where)


def rows_of(scorer: fivefold.Scorer, data: Any) -> Columns:
    """The data as the contract reads it."""
    return golden.from_data(data, scorer.contract).columns


def saved(model: Any, name: str = "model.joblib") -> Path:
    """The model's file."""
    joblib.dump(model, name)
    return Path(name)


# What a server does


def test_a_model_that_no_converter_knows_is_served_from_its_very_file(
    folder: Path, flowers: tuple[pd.DataFrame, Any]
) -> None:
    """Another process, which has never heard of packing, gives the model's answers."""
    data, target = flowers
    model = NearestCentroid().fit(data, target)
    source = saved(model, "my model.joblib.gz")

    report = fivefold.pack(source, output="b", draft_from=data, as_="python")

    bundle = fivefold.Bundle.open("b")
    code = """
import json, sys
import fivefold
from fivefold.core.readers.records import Records
scorer = fivefold.open(sys.argv[1])
answers = scorer.score(Records(scorer.contract.inputs).read(json.load(sys.stdin)).accept()).to_records()
assert not any(name.startswith("fivefold.packing") for name in sys.modules), "a server has no converters"
print(json.dumps(answers))
"""
    records = [dict(zip(bundle.contract.inputs, row, strict=True)) for row in data.to_numpy()[:7].tolist()]
    asked = json.dumps([{field.name: value for field, value in record.items()} for record in records])
    ran = subprocess.run(
        [sys.executable, "-c", code, str(folder / "b")],
        input=asked,
        capture_output=True,
        text=True,
        cwd="/",
        check=True,
    )
    answers = json.loads(ran.stdout)

    assert bundle.read("model/model.joblib.gz") == source.read_bytes()
    assert bundle.manifest.runtime == "python"
    assert report.difference == 0
    assert [answer["label"] for answer in answers] == model.predict(data[:7]).tolist()
    assert [answer["probability"] for answer in answers] == model.predict_proba(data[:7]).tolist()
    assert {"scikit-learn", "joblib", "numpy", "pandas"} <= set(bundle.manifest.packages)
    assert bundle.manifest.frame is not None
    assert [column.name for column in bundle.manifest.frame] == list(data.columns)


def test_the_same_model_gives_the_same_bundle(flowers: tuple[pd.DataFrame, Any]) -> None:
    """Nothing in a wrapped bundle depends on when or where it was made."""
    source = saved(NearestCentroid().fit(*flowers))
    digests = {
        fivefold.pack(source, output="b", draft_from=flowers[0], as_="python", name="m", force=True).digest
        for _ in range(2)
    }

    assert len(digests) == 1


# Null


@pytest.fixture(scope="module")
def gaps() -> tuple[pd.DataFrame, Any]:
    """A frame of every dtype that knows missing values."""
    choose = np.random.default_rng(3)
    data = pd.DataFrame(
        {
            "number": choose.normal(size=60),
            "count": pd.array(choose.integers(0, 9, 60), dtype="Int64"),
            "flag": pd.array(choose.random(60) < 0.5, dtype="boolean"),
            "text": choose.choice(["x", "y", ""], 60).astype(object),
            "kind": pd.Categorical(choose.choice(["p", "q", "r"], 60)),
        }
    )
    for row, name in enumerate(data, 3):
        data.loc[row, name] = None if name == "text" else pd.NA if name in ("count", "flag") else np.nan
    return data, choose.choice(["no", "yes"], 60)


def test_null_is_what_training_held(gaps: tuple[pd.DataFrame, Any]) -> None:
    """NaN, pd.NA, None and a missing category reach the model as such; an empty text stays an empty text."""
    data, target = gaps
    model = make_pipeline(
        make_column_transformer(
            (SimpleImputer(add_indicator=True), ["number", "count"]),
            (SimpleImputer(strategy="most_frequent"), ["flag"]),
            (OneHotEncoder(), ["text", "kind"]),
        ),
        LogisticRegression(),
    ).fit(data.astype({"flag": object, "count": "float64"}).replace({"flag": {pd.NA: np.nan}}), target)

    data = data.astype({"flag": object}).replace({"flag": {pd.NA: np.nan}})
    scorer = wrapped(saved(model), data)
    answers = scorer.score(rows_of(scorer, data))

    assert answers["label"].tolist() == model.predict(data).tolist()
    assert np.array_equal(answers["probability"], model.predict_proba(data))


@pytest.mark.full
def test_an_integer_with_missing_values_reaches_an_imputer(gaps: tuple[pd.DataFrame, Any]) -> None:
    """Neither the null_value nor zero: the model says the same for null as for pd.NA, also with no data at hand."""
    data = gaps[0][["count"]]
    model = make_pipeline(SimpleImputer(strategy="constant", fill_value=40), LinearRegression())
    model.fit(data, np.arange(60) % 7)
    want = float(model.predict(pd.DataFrame({"count": pd.array([None], dtype="Int64")}))[0])

    known = wrapped(saved(model), data)
    fivefold.pack("model.joblib", json.loads(Path("b.contract.json").read_text()), "unknown", as_="python")
    unknown = fivefold.open("unknown")

    for scorer in (known, unknown):
        answer = scorer.score(Records(scorer.contract.inputs).read([{"count": None}]).accept())
        assert answer["prediction"].tolist() == [want]


@pytest.mark.full
def test_arrays_with_nan_stay_arrays(iris: tuple[Any, Any]) -> None:
    """A model that was fitted without names is asked without."""
    rows = iris[0].copy()
    rows[::7, 1] = np.nan
    model = make_pipeline(SimpleImputer(add_indicator=True), LinearRegression()).fit(rows, iris[1])
    data = pd.DataFrame(rows, columns=list("wxyz"))

    scorer = wrapped(saved(model), data)

    assert scorer.bundle.manifest.frame is None
    assert "pandas" not in scorer.bundle.manifest.packages
    assert scorer.score(rows_of(scorer, data))["prediction"] == pytest.approx(model.predict(rows), rel=1e-12)


@pytest.mark.full
def test_an_output_that_may_be_nan_is_drafted_nullable(gaps: tuple[pd.DataFrame, Any]) -> None:
    """What the model answers to a null it may answer to any null."""
    data = gaps[0][["text", "kind"]]
    model = OrdinalEncoder().fit(data)

    scorer = wrapped(model, data)

    assert scorer.contract.outputs[0].nullable
    assert np.array_equal(scorer.score(rows_of(scorer, data))["transformed"], model.transform(data), equal_nan=True)


@pytest.mark.full
def test_categories_are_those_of_training(gaps: tuple[pd.DataFrame, Any]) -> None:
    """A booster on pandas categories is asked with categories, whether they come from data or from the enum."""
    data, target = gaps[0][["number", "kind"]], gaps[1]
    model = lightgbm.LGBMClassifier(n_estimators=3, min_child_samples=2, verbose=-1).fit(data, target)

    scorer = wrapped(saved(model, "model.pkl"), data)
    fivefold.pack("model.pkl", json.loads(Path("b.contract.json").read_text()), "unknown", as_="python")
    again = fivefold.open("unknown")

    want = model.predict_proba(data)
    assert np.array_equal(scorer.score(rows_of(scorer, data))["probability"], want)
    assert np.array_equal(again.score(rows_of(again, data))["probability"], want)


# Kinds of models and their answers


@pytest.mark.full
@pytest.mark.parametrize(
    ("model", "methods"),
    [
        (KMeans(2, n_init=1, random_state=0), {"label": "predict"}),
        (PCA(2), {"transformed": "transform"}),
        (IsolationForest(n_estimators=4, random_state=0), {"label": "predict", "score": "decision_function"}),
        (KernelDensity(), {"log_density": "score_samples"}),
        (LinearSVC(random_state=0), {"label": "predict"}),
    ],
    ids=lambda given: type(given).__name__,
)
def test_outputs_are_what_the_model_answers(
    flowers: tuple[pd.DataFrame, Any], model: Any, methods: dict[str, str]
) -> None:
    """Clusters, components, outliers, densities: drafted from one question, right on every row."""
    data, target = flowers
    model.fit(data, target)

    scorer = wrapped(model, data)
    answers = scorer.score(rows_of(scorer, data))

    for field, method in methods.items():
        assert np.allclose(answers[field], getattr(model, method)(data), rtol=1e-12)


@pytest.mark.full
def test_neighbours_and_several_targets(flowers: tuple[pd.DataFrame, Any]) -> None:
    """Methods that give several arrays have a field for each."""
    data, target = flowers
    near = NearestNeighbors(n_neighbors=3).fit(data)
    several = MultiOutputClassifier(KNeighborsClassifier()).fit(data, np.stack([target, target % 2], axis=1))

    scorer = wrapped(near, data, "near")
    distances = scorer.score(rows_of(scorer, data))
    scorer = wrapped(several, data, "several")
    answers = scorer.score(rows_of(scorer, data))

    assert np.array_equal(distances["indices"], near.kneighbors(data)[1])
    assert np.array_equal(answers["label"], several.predict(data))
    assert np.array_equal(answers["probability_1"], several.predict_proba(data)[1])
    assert scorer.contract.outputs[1].labels == ("0", "1", "2")


@pytest.mark.full
def test_texts_reach_a_vectoriser_as_they_are() -> None:
    """Runs of blanks and upper case are part of the text."""
    data = pd.DataFrame({"text": ["good  day", "Bad Day", "nice", "awful thing"] * 6})
    model = make_pipeline(TfidfVectorizer(analyzer="char"), LogisticRegression()).fit(data["text"], [True, False] * 12)

    scorer = wrapped(saved(model), data)
    answer = scorer.score(Records(scorer.contract.inputs).read([{"text": "good  day"}, {"text": "Bad Day"}]).accept())

    assert answer["label"].dtype == bool
    assert np.array_equal(answer["probability"], model.predict_proba(["good  day", "Bad Day"]))


@pytest.mark.full
def test_any_object_with_predict_will_do(contract_of: Any) -> None:
    """A class of a notebook, asked with an image a row."""

    class Brightness:
        def predict(self, images: Any) -> Any:
            return images.reshape(len(images), -1).mean(axis=1)

    image = {"name": "image", "dtype": "float32", "shape": [2, 3, 3], "minimum": 0, "maximum": 1}
    contract = contract_of(inputs=[image], outputs=[{"name": "brightness", "dtype": "float64"}])

    fivefold.pack(Brightness(), contract, "b", as_="python")

    picture = np.full((2, 3, 3), 0.5)
    scorer = fivefold.open("b")
    answer = scorer.score(Records(scorer.contract.inputs).read([{"image": picture.tolist()}]).accept())
    assert answer["brightness"].tolist() == [0.5]


# Boosters


@pytest.mark.full
def test_files_of_xgboost_are_what_wrote_them(flowers: tuple[pd.DataFrame, Any]) -> None:
    """An estimator's file answers as the estimator, with its choice of trees; a booster's file with all of them."""
    data, target = flowers
    stopped = xgboost.XGBRegressor(n_estimators=60, early_stopping_rounds=2, learning_rate=0.9)
    stopped.fit(data[:30], target[:30], eval_set=[(data[30:], target[30:])], verbose=False)
    stopped.save_model("stopped.json")
    Path("bare.txt").write_bytes(stopped.get_booster().save_raw("ubj"))
    ranker = xgboost.XGBRanker(n_estimators=2).fit(data, target, qid=np.arange(len(data)) // 10)
    ranker.save_model("ranker.ubj")

    for file, want in (
        ("stopped.json", stopped.predict(data)),
        ("bare.txt", stopped.get_booster().predict(xgboost.DMatrix(data))),
        ("ranker.ubj", ranker.predict(data)),
    ):
        scorer = wrapped(file, data, f"{file}.b")
        assert np.array_equal(scorer.score(rows_of(scorer, data))["prediction"], want), file


@pytest.mark.full
def test_a_booster_of_classes_says_label_and_probabilities(iris: tuple[Any, Any]) -> None:
    """From LightGBM's text, and from a booster in memory; the contract is one that a conversion would have had."""
    rows, target = iris
    data = pd.DataFrame(rows, columns=list("wxyz"))
    three = lightgbm.train(
        {"objective": "multiclass", "num_class": 3, "verbose": -1}, lightgbm.Dataset(rows, target), 2
    )
    two = xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(rows, target == 1), 2)
    three.save_model("three.txt")

    scorer = wrapped("three.txt", data, "three")
    answers = scorer.score(rows_of(scorer, data))
    other = wrapped(two, data, "two")
    second = other.score(rows_of(other, data))["probability"][:, 1]

    assert np.array_equal(answers["probability"], three.predict(rows))
    assert np.array_equal(answers["label"], three.predict(rows).argmax(axis=1))
    assert np.array_equal(second, two.predict(xgboost.DMatrix(rows)))


CATBOOST = """
import pickle
from pathlib import Path

class CatBoost:
    classes_ = ()

    def load_model(self, path, format="cbm"):
        self.inner = pickle.loads(Path(path).read_bytes()[4:])
        self.classes_ = getattr(self.inner, "classes_", ())
        self.feature_names_ = list(self.inner.feature_names_in_)

    def predict(self, rows):
        return self.inner.predict(rows)[:, None]

class CatBoostClassifier(CatBoost):
    def predict_proba(self, rows):
        return self.inner.predict_proba(rows)
"""


@pytest.mark.full
def test_catboost_is_loaded_by_its_own_library(
    folder: Path, flowers: tuple[pd.DataFrame, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A classifier's file as a classifier, whose labels come as a column; a library that is absent is named."""
    data, target = flowers
    model = NearestCentroid().fit(data, target)
    Path("model.cbm").write_bytes(b"CBM1" + pickle.dumps(model))
    with pytest.raises(BundleInvalid, match="needs catboost, which is not installed"):
        wrapped("model.cbm", data)
    (folder / "installed").mkdir()
    (folder / "installed" / "catboost.py").write_text(CATBOOST)
    monkeypatch.syspath_prepend(folder / "installed")

    scorer = wrapped("model.cbm", data)
    answers = scorer.score(rows_of(scorer, data))
    sys.modules.pop("catboost", None)

    assert answers["label"].tolist() == model.predict(data).tolist()
    assert np.array_equal(answers["probability"], model.predict_proba(data))


# Contracts and bindings


@pytest.mark.full
def test_a_given_contract_is_answered_by_name_and_shape(flowers: tuple[pd.DataFrame, Any], contract_of: Any) -> None:
    """A label, all probabilities, or one of them by --bind, under the contract's own names and types."""
    data, target = flowers
    model = NearestCentroid().fit(data.to_numpy(), target)
    outputs = [
        {"name": "species", "dtype": "int32", "enum": [0, 1, 2]},
        {"name": "chance", "dtype": "float32"},
        {"name": "margins", "dtype": "float64", "shape": [3]},
    ]

    fivefold.pack(
        saved(model),
        contract_of(outputs=outputs),
        "b",
        as_="python",
        bind=["chance=probabilities[1]", "margins=decision_function"],
    )

    scorer = fivefold.open("b")
    rows = data.to_numpy()
    given = [dict(zip("abcd", row, strict=True)) for row in rows.tolist()]
    answers = scorer.score(Records(scorer.contract.inputs).read(given).accept())
    assert answers["species"].tolist() == model.predict(rows).tolist()
    assert np.array_equal(answers["chance"], model.predict_proba(rows)[:, 1].astype(np.float32))
    assert np.allclose(answers["margins"], model.decision_function(rows), rtol=1e-12)


@pytest.mark.parametrize(
    ("outputs", "bind", "message", "help"),
    [
        ([{"name": "label", "dtype": "string"}], [], "no output of the model is a string", "outputs that the model"),
        ([{"name": "label", "dtype": "int64"}], ["label=labels"], "the model has no output 'labels'", "label"),
        ([{"name": "label", "dtype": "int64"}], ["Y=a,b"], "neither 'X', the rows of the model", "--bind X="),
    ],
)
def test_a_contract_that_the_model_cannot_answer_is_refused(
    flowers: tuple[pd.DataFrame, Any], contract_of: Any, outputs: Any, bind: list[str], message: str, help: str
) -> None:
    """With what it does answer."""
    model = NearestCentroid().fit(flowers[0].to_numpy(), flowers[1])

    with pytest.raises(ContractInvalid, match=message) as caught:
        fivefold.pack(model, contract_of(outputs=outputs), "b", as_="python", bind=bind)

    assert help in (caught.value.help or "")
    assert not Path("b").exists()


def test_a_model_that_fails_on_a_legal_row_is_refused(contract_of: Any) -> None:
    """What the contract allows and the model does not know has to be said before it is served."""
    data = pd.DataFrame({"text": ["x", "y"] * 20})
    model = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(data, [0, 1] * 20)
    contract = contract_of(
        inputs=[{"name": "text", "dtype": "string"}], outputs=[{"name": "label", "dtype": "int64", "enum": [0, 1]}]
    )

    with pytest.raises(BundleInvalid, match=r"fails on a row that the contract allows: .*unknown categories") as caught:
        fivefold.pack(saved(model), contract, "b", as_="python")

    assert "enum" in (caught.value.help or "")


# The author's own code

OWN = """
from const_own import FACTOR
from sklearn.base import BaseEstimator, TransformerMixin

class Scale(TransformerMixin, BaseEstimator):
    def fit(self, rows, target=None):
        return self

    def transform(self, rows):
        {inside}
        return rows * FACTOR
"""


def own_pipeline(folder: Path, inside: str = "") -> Path:
    """A pipeline with a step from a module beside the training script, and that module's own neighbour."""
    (folder / "steps_own.py").write_text(OWN.format(inside=inside))
    (folder / "const_own.py").write_text("FACTOR = 3.0\n")
    code = """
import joblib, numpy as np
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from steps_own import Scale
rows = np.arange(40.0).reshape(20, 2) % 7
joblib.dump(make_pipeline(Scale(), LinearRegression()).fit(rows, rows[:, 0]), "own.joblib")
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=folder)
    return folder / "own.joblib"


@pytest.fixture
def two(contract_of: Any) -> Any:
    """A contract of two numbers."""
    inputs = [{"name": name, "dtype": "float64", "minimum": 0, "maximum": 9} for name in "ab"]
    return contract_of(inputs=inputs, outputs=[{"name": "prediction", "dtype": "float64"}])


@pytest.mark.full
def test_modules_of_the_author_come_along(folder: Path, two: Any) -> None:
    """The bundle is whole without them, and leaves no trace of their names in the process."""
    source = own_pipeline(folder)

    report = fivefold.pack(source, two, "b", as_="python")
    (folder / "steps_own.py").unlink()
    (folder / "const_own.py").unlink()
    scorer = fivefold.open("b")
    answer = scorer.score(Records(scorer.contract.inputs).read([{"a": 5, "b": 1}]).accept())

    assert answer["prediction"] == pytest.approx([5])
    assert "model/steps_own.py" in scorer.bundle.names()
    assert any("const_own, steps_own" in note for note in report.notes)
    assert "steps_own" not in sys.modules


@pytest.mark.full
def test_a_module_that_would_be_missed_on_a_server_is_missed_here(folder: Path, two: Any) -> None:
    """What is imported only when rows come cannot be found there, although it can where the model was trained."""
    (folder / "late_own.py").write_text("")
    source = own_pipeline(folder, "__import__('late' + '_own')")

    with pytest.raises(BundleInvalid, match="No module named 'late_own'"):
        fivefold.pack(source, two, "b", as_="python")


def test_a_class_of_the_training_script_is_named(folder: Path, two: Any) -> None:
    """With the two ways on."""
    code = "import pickle\nclass Mine:\n    def predict(self, rows):\n        return rows\n"
    subprocess.run([sys.executable, "-c", f"{code}pickle.dump(Mine(), open('mine.pkl', 'wb'))"], check=True, cwd=folder)

    with pytest.raises(BundleInvalid, match="needs 'Mine', which stood in the training script itself") as caught:
        fivefold.pack("mine.pkl", two, "b", as_="python")

    assert "module of its own" in (caught.value.help or "")
    assert "cloudpickle" in (caught.value.help or "")


# The way in


@pytest.mark.parametrize(
    ("source", "command"),
    [("file", "fivefold pack model.joblib --as python --contract FILE --output b"), ("object", 'as_="python"')],
)
def test_a_refused_conversion_offers_it(
    flowers: tuple[pd.DataFrame, Any], contract_of: Any, source: str, command: str
) -> None:
    """The help line is the very command, or the call."""
    model = NearestCentroid().fit(flowers[0].to_numpy(), flowers[1])
    given = saved(model) if source == "file" else model

    with pytest.raises(BundleInvalid, match="cannot be converted") as caught:
        fivefold.pack(given, contract_of(outputs=[{"name": "label", "dtype": "int64", "enum": [0, 1, 2]}]), "b")

    assert command in (caught.value.help or "")


def test_an_onnx_model_is_not_wrapped(tree: Any, contract_of: Any) -> None:
    """It runs everywhere as it is."""
    fivefold.pack(tree, contract_of(), "b")
    Path("model.onnx").write_bytes(fivefold.Bundle.open("b").read("model.onnx"))

    with pytest.raises(BundleInvalid, match="an ONNX file is not wrapped") as caught:
        fivefold.pack("model.onnx", contract_of(), "c", as_="python")

    assert "leave --as python out" in (caught.value.help or "")
