"""Python classes: their files travel, their answers are proven inside the bundle."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fivefold
from fivefold.core.errors import BundleInvalid, ContractInvalid
from fivefold.core.readers.records import Records

GOOD = """
from .weights import FACTOR

class Model:
    def predict(self, columns):
        total = sum(columns[name] for name in "abcd")
        return {"score": (total * FACTOR).astype("float32")}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Commands look for modules where they run."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert not [name for name in sys.modules if name.partition(".")[0] in ("scoring_x", "single_x")]


@pytest.fixture
def score(contract_of: Any) -> Any:
    return contract_of(outputs=[{"name": "score", "dtype": "float32"}])


def package(folder: Path, **files: str) -> None:
    (folder / "scoring_x").mkdir()
    for name, text in {"__init__": "", **files}.items():
        (folder / "scoring_x" / f"{name}.py").write_text(text)


def test_a_package_is_copied_whole_and_runs_from_the_bundle(folder: Path, score: Any) -> None:
    """Data files beside the code come along, caches do not; the original may go."""
    package(folder, model=GOOD, weights="FACTOR = 0.5")
    (folder / "scoring_x" / "table.json").write_text("{}")
    (folder / "scoring_x" / "__pycache__").mkdir()
    (folder / "scoring_x" / "__pycache__" / "x.pyc").write_bytes(b"")

    report = fivefold.pack("scoring_x.model:Model", score, folder / "b")

    bundle = fivefold.Bundle.open(folder / "b")
    assert report.runtime == "python"
    assert {"model/scoring_x/model.py", "model/scoring_x/table.json"} < set(bundle.names())
    assert not any("pycache" in name for name in bundle.names())
    assert "browser" not in bundle.manifest.targets
    assert bundle.manifest.entry == "scoring_x.model:Model"


def test_a_single_module_is_enough(folder: Path, score: Any) -> None:
    """A class without neighbours needs no package."""
    (folder / "single_x.py").write_text(GOOD.replace("from .weights import FACTOR", "FACTOR = 2"))

    report = fivefold.pack("single_x:Model", score, folder / "b")

    assert report.difference == 0


@pytest.mark.parametrize(
    ("files", "entry", "message", "help"),
    [
        (
            {"model": GOOD.replace(".weights", "scoring_x.weights"), "weights": "FACTOR = 1"},
            "model:Model",
            "by its full name",
            "relatively",
        ),
        ({"model": GOOD}, "model:Model", "cannot be made: ModuleNotFoundError", ""),
        ({"model": "class Other: pass"}, "model:Model", "has no class 'Model'", ""),
        ({"model": "class Model:"}, "model:Model", "is not Python", ""),
        ({}, "model:Model", "no module 'scoring_x.model'", ""),
        ({"model": "class Model: pass"}, "model:Model", "has no method predict", ""),
        (
            {
                "model": GOOD.replace("return", "import random\n        return").replace(
                    "* FACTOR", "+ random.random()"
                ),
                "weights": "FACTOR = 1",
            },
            "model:Model",
            "two instances of the class disagree",
            "fix every seed",
        ),
        (
            {"model": GOOD.replace("return {", "return 1 / 0, {"), "weights": "FACTOR = 1"},
            "model:Model",
            "ZeroDivisionError",
            "--golden",
        ),
    ],
)
def test_what_would_fail_in_a_server_fails_here(
    folder: Path, score: Any, files: dict[str, str], entry: str, message: str, help: str
) -> None:
    """Missing neighbours, changing answers, exceptions: each has its sentence."""
    package(folder, **files)

    with pytest.raises(BundleInvalid, match=message) as caught:
        fivefold.pack(f"scoring_x.{entry}", score, folder / "b")

    assert help in (caught.value.help or "")
    assert not (folder / "b").exists()


def test_a_class_of_the_running_script_has_no_file_to_copy(folder: Path, score: Any) -> None:
    """It has to move into a module."""

    class Local:
        def predict(self, columns: Any) -> Any:
            return columns

    with pytest.raises(BundleInvalid, match="top of an importable module"):
        fivefold.pack(Local, score, folder / "b")


def test_no_contract_is_drafted_for_a_class(folder: Path) -> None:
    """Code does not say what it answers."""
    package(folder, model=GOOD, weights="FACTOR = 1")
    (folder / "d.jsonl").write_text('{"a": 1}\n')

    with pytest.raises(ContractInvalid, match="no contract can be drafted"):
        fivefold.pack("scoring_x.model:Model", output=folder / "b", draft_from="d.jsonl")


FAULTS = {
    "import": ("{fault}\n" + GOOD, "cannot be made: SystemExit"),
    "constructor": (GOOD + "\n    def __init__(self):\n        {fault}\n", "cannot be made: SystemExit"),
    "predict": (GOOD.replace("total =", "{fault}\n        total ="), "SystemExit: 7"),
}
ENDS = {
    "os._exit": ("__import__('os')._exit(0)", r"the model called os\._exit"),
    "abort": ("__import__('os').abort()", r"the model called os\.abort"),
    "signal": ("__import__('os').kill(__import__('os').getpid(), 9)", r"the model called os\.kill"),
    # What is called in C asks nobody.
    "exit in C": ("__import__('ctypes').CDLL(None)._exit(0)", "ended itself with exit status 0"),
    "abort in C": ("__import__('ctypes').CDLL(None).abort()", "was ended by SIGABRT"),
}


@pytest.mark.parametrize("place", FAULTS)
def test_sys_exit_is_a_refusal_wherever_it_is_called(folder: Path, score: Any, place: str) -> None:
    """The class that ends the program ends nothing but its own packing."""
    text, message = FAULTS[place]
    package(folder, model=text.replace("{fault}", "raise SystemExit(7)"), weights="FACTOR = 1")

    with pytest.raises(BundleInvalid, match=message):
        fivefold.pack("scoring_x.model:Model", score, folder / "b")

    assert not (folder / "b").exists()


@pytest.mark.parametrize("place", FAULTS)
@pytest.mark.parametrize("end", ENDS)
def test_a_process_that_ends_is_a_refusal_too(folder: Path, score: Any, place: str, end: str) -> None:
    """Whatever ends it, also with exit status 0."""
    fault, message = ENDS[end]
    package(folder, model=FAULTS[place][0].replace("{fault}", fault), weights="FACTOR = 1")

    with pytest.raises(BundleInvalid, match=message):
        fivefold.pack("scoring_x.model:Model", score, folder / "b")

    assert not (folder / "b").exists()


def test_a_class_that_moves_about_is_packed_where_it_was_asked_for(folder: Path, score: Any) -> None:
    """Changing directory, starting threads and printing at import disturb nobody."""
    noise = """
import os, threading, time
os.chdir("/")
print("noise")
threading.Thread(target=time.sleep, args=(60,)).start()
"""
    package(folder, model=noise + GOOD, weights="FACTOR = 0.5")

    fivefold.pack("scoring_x.model:Model", score, "b")

    assert (folder / "b" / "bundle.json").is_file()


def test_predict_is_given_the_nulls_and_the_frame(folder: Path, contract_of: Any) -> None:
    """An empty text is not null, and a nullable integer is what pandas has for it."""
    (folder / "single_x.py").write_text("""
class Model:
    def predict(self, columns):
        frame = columns.frame()
        assert frame["a"].isna().tolist() == columns.nulls["a"].tolist()
        assert str(frame["b"].dtype) == "Int64"
        return {"score": columns.nulls["a"] * 1.0 + frame["b"].fillna(7).astype("float64").to_numpy()}
""")
    inputs = [
        {"name": "a", "dtype": "string", "nullable": True, "null_value": "", "maxLength": 2},
        {"name": "b", "dtype": "int64", "nullable": True, "null_value": -1, "minimum": -1, "maximum": 5},
    ]

    fivefold.pack("single_x:Model", contract_of(inputs=inputs, outputs=[{"name": "score", "dtype": "float64"}]), "b")

    scorer = fivefold.open("b")
    given = [{"a": None, "b": None}, {"a": "", "b": -1}]
    assert scorer.score(Records(scorer.contract.inputs).read(given).accept())["score"].tolist() == [8, -1]
