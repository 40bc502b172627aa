"""Model files: told apart by their content, read without what wrote them where that can be, refused in words."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import pickle
import shutil
import subprocess
import sys
import types
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import lightgbm
import numpy as np
import pytest
import xgboost
from sklearn.cluster import DBSCAN
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import NearestCentroid
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from fivefold.core.errors import BundleInvalid
from fivefold.packing.loading import find, read


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files lie in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def model(iris: tuple[Any, Any]) -> Any:
    """A fitted model."""
    return NearestCentroid().fit(*iris)


def loaded(path: str | Path, key: str | None = None, trust: tuple[str, ...] = ()) -> Any:
    """The model in a file."""
    return read(find(Path(path)), key, trust).model


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("m.pkl", lambda raw: raw),
        ("m.pkl.gz", gzip.compress),
        ("m.joblib.bz2", bz2.compress),
        ("m.sav.xz", lzma.compress),
        ("m.pickle.z", zlib.compress),
        ("model", lambda raw: raw),
        ("model.bin", gzip.compress),
    ],
)
def test_pickles_are_known_however_they_are_packed(model: Any, name: str, write: Callable[[bytes], bytes]) -> None:
    """Compression and suffix aside."""
    Path(name).write_bytes(write(pickle.dumps(model)))

    assert type(loaded(name)) is NearestCentroid


@pytest.mark.parametrize("name", ["m.joblib.gz", "m.joblib.xz", "m.joblib.lzma", "m.z"])
def test_joblib_writes_what_is_read(model: Any, name: str) -> None:
    """Its own compressed files."""
    joblib.dump(model, name)

    assert type(loaded(name)) is NearestCentroid


def test_boosters_are_told_by_their_content(iris: tuple[Any, Any]) -> None:
    """A suffix may be anybody's."""
    rows, target = iris
    xgboost.XGBClassifier(n_estimators=1).fit(rows, target).save_model("x.json")
    lightgbm.train({"objective": "regression", "verbose": -1}, lightgbm.Dataset(rows, target), 1).save_model("l.txt")
    shutil.copy("x.json", "x.txt")
    shutil.copy("l.txt", "l.model")
    Path("c.bin").write_bytes(b"CBM1....")

    assert [find(Path(name)).way for name in ("x.txt", "l.model", "c.bin")] == ["xgboost", "lightgbm", "catboost"]


# One model in a container


@pytest.mark.parametrize(
    ("hold", "key"),
    [
        (lambda model: {"model": model, "features": ["a"]}, "['model']"),
        (lambda model: [model, 3], "[0]"),
        (lambda model: ("a", {"deep": {"in": model}}), "[1]['deep']['in']"),
        (lambda model: types.SimpleNamespace(best=model), ".best"),
    ],
    ids=["dict", "list", "nested", "holder"],
)
@pytest.mark.filterwarnings("ignore:.*holds more than the model")
def test_one_model_in_a_container_is_the_model(model: Any, hold: Callable[[Any], Any], key: str) -> None:
    """And the bundle knows the way to it."""
    joblib.dump(hold(model), "m.joblib")

    found = read(find(Path("m.joblib")))

    assert type(found.model) is NearestCentroid
    assert found.key == key


def test_what_lies_beside_the_model_is_said(model: Any) -> None:
    """A threshold that nobody applies is not passed over in silence."""
    joblib.dump({"model": model, "threshold": 0.3}, "m.joblib")

    with pytest.warns(UserWarning, match="holds more than the model, which is not used: threshold"):
        loaded("m.joblib")


@pytest.mark.filterwarnings("ignore:.*holds more than the model")
def test_several_models_have_to_be_named(model: Any, iris: tuple[Any, Any]) -> None:
    """A scaler beside the model is one as well: the model alone would answer something else."""
    joblib.dump({"scaler": StandardScaler().fit(iris[0]), "model": model}, "m.joblib")

    with pytest.raises(BundleInvalid, match=r"several models: scaler .*, model") as caught:
        loaded("m.joblib")

    assert "Pipeline" in (caught.value.help or "")
    assert "--key scaler" in (caught.value.help or "")
    assert type(loaded("m.joblib", key="model")) is NearestCentroid
    with pytest.raises(BundleInvalid, match="no model under --key modle") as caught:
        loaded("m.joblib", key="modle")
    assert "scaler, model" in (caught.value.help or "")


def test_a_search_is_a_model_and_a_clustering_without_predict_is_none(iris: tuple[Any, Any]) -> None:
    """GridSearchCV answers by its best; DBSCAN has no answer to a new row."""
    search = GridSearchCV(DecisionTreeClassifier(random_state=0), {"max_depth": [1, 2]}, cv=2).fit(*iris)
    joblib.dump(search, "search.pkl")
    joblib.dump(DBSCAN().fit(iris[0]), "dbscan.pkl")

    assert type(loaded("search.pkl")) is GridSearchCV
    with pytest.raises(BundleInvalid, match="DBSCAN answers no new rows"):
        loaded("dbscan.pkl")


# What cannot be loaded


def named(module: str, name: str) -> bytes:
    """A pickle that names something."""
    return b"\x80\x04" + b"c" + module.encode() + b"\n" + name.encode() + b"\n."


@pytest.mark.parametrize(
    ("data", "message", "help"),
    [
        (named("absent_x.model", "Model"), "needs the module 'absent_x'", "where the model was trained"),
        (named("sklearn.ensemble.gone_x", "Model"), "another version of sklearn: sklearn 1", "trained with"),
        (named("numpy._core.gone_x", "array"), "saved under numpy 2", "numpy>=2"),
        (named("__main__", "Mine"), "needs 'Mine', which stood in the training script", "module of its own"),
        (named("collections", "Mine"), "needs 'Mine', which the module 'collections'", "where the model was trained"),
        (b"\x80\x09.", "saved by a newer Python", "the Python that saved it"),
        (pickle.dumps([1.5] * 300)[:90], "is cut off", "again"),
        (b"\x80\x04nonsense", "cannot be loaded", "other versions"),
    ],
    ids=["module", "sklearn", "numpy", "script", "name", "protocol", "cut", "garbage"],
)
def test_why_a_pickle_cannot_be_loaded_is_said(data: bytes, message: str, help: str) -> None:
    """With what to do."""
    Path("m.pkl").write_bytes(data)

    with pytest.raises(BundleInvalid, match=message) as caught:
        loaded("m.pkl")

    assert help in (caught.value.help or "")


def test_a_file_of_no_known_kind_is_refused() -> None:
    """With the kinds that there are."""
    Path("m.h5").write_bytes(b"\x89HDF")

    with pytest.raises(BundleInvalid, match=r"cannot tell what m\.h5 is") as caught:
        find(Path("m.h5"))

    assert ".joblib" in (caught.value.help or "")


# MLflow


def mlflow(folder: Path, flavors: dict[str, Any]) -> Path:
    """A model's folder as MLflow writes it; JSON is YAML."""
    place = folder / "mlmodel"
    place.mkdir()
    (place / "MLmodel").write_text(json.dumps({"artifact_path": "model", "flavors": flavors}))
    return place


def test_an_mlflow_folder_is_the_file_in_it(folder: Path, model: Any) -> None:
    """Without MLflow, and with the code that came along."""
    place = mlflow(
        folder,
        {
            "python_function": {"loader_module": "mlflow.sklearn", "model_path": "model.pkl"},
            "sklearn": {"pickled_model": "model.pkl", "serialization_format": "cloudpickle", "code": "code"},
        },
    )
    (place / "code").mkdir()
    (place / "code" / "flow_own.py").write_text("class Own:\n    def predict(self, rows):\n        return rows\n")
    dump = "import pickle, flow_own; pickle.dump(flow_own.Own(), open('../model.pkl', 'wb'))"
    subprocess.run([sys.executable, "-c", dump], check=True, cwd=place / "code")
    path = list(sys.path)

    try:
        assert type(loaded(place)).__name__ == "Own"
    finally:
        sys.modules.pop("flow_own", None)
    assert sys.path == path


def test_flavors_are_known_by_their_files(folder: Path, iris: tuple[Any, Any]) -> None:
    """A booster's file is one in such a folder, too."""
    place = mlflow(folder, {"xgboost": {"data": "model.xgb", "model_format": "xgb"}})
    model = xgboost.XGBClassifier(n_estimators=1).fit(*iris)
    (place / "model.xgb").write_bytes(model.get_booster().save_raw("json"))

    assert find(place).way == "xgboost"


@pytest.mark.parametrize(
    ("flavors", "message", "help"),
    [
        ({"python_function": {"loader_module": "mlflow.pyfunc.model"}}, "flavor python_function", "module:Class"),
        ({"sklearn": {"pickled_model": "../../secret.pkl"}}, "not in the folder", "whole"),
        ({"sklearn": {"pickled_model": "gone.pkl"}}, "not in the folder", "whole"),
        ([], "cannot be read", ""),
    ],
)
def test_an_mlflow_folder_that_has_no_file_is_refused(folder: Path, flavors: Any, message: str, help: str) -> None:
    """With what would do."""
    with pytest.raises(BundleInvalid, match=message) as caught:
        find(mlflow(folder, flavors))

    assert help in (caught.value.help or "")


def test_any_other_folder_is_refused(folder: Path) -> None:
    """A folder is a model where it says so."""
    with pytest.raises(BundleInvalid, match="no MLflow model"):
        find(folder)


# skops


FAKE = """
import pickle

def get_untrusted_types(*, file):
    return ["mine.Step"]

def load(path, trusted=()):
    assert list(trusted) == ["mine.Step"]
    return pickle.loads(path.read_bytes()[4:])
"""


def test_skops_makes_only_types_that_are_known_or_named(
    folder: Path, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The types that it asks about stand in the refusal, ready to be typed."""
    (folder / "skops").mkdir()
    (folder / "skops" / "__init__.py").write_text("")
    (folder / "skops" / "io.py").write_text(FAKE)
    Path("m.skops").write_bytes(b"PK\x03\x04" + pickle.dumps(model))
    with pytest.raises(BundleInvalid, match="skops, which is not installed"):
        loaded("m.skops")
    monkeypatch.syspath_prepend(folder)

    try:
        with pytest.raises(BundleInvalid, match=r"types that skops does not know: mine\.Step") as caught:
            loaded("m.skops")
        assert caught.value.help == "if you know them, say so: --trust mine.Step"
        assert np.array_equal(loaded("m.skops", trust=("mine.Step",)).classes_, [0, 1, 2])
    finally:
        for name in ("skops.io", "skops"):
            sys.modules.pop(name, None)
