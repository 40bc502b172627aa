"""docs/packing.md: its commands run as they stand, and its table of files is the code's."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.tree import DecisionTreeClassifier

import fivefold
from fivefold.cli import main
from fivefold.core.readers.records import Records
from fivefold.packing.loading import CATBOOST, METHODS, PICKLES, TORCH

PAGE = Path(__file__).parents[3] / "docs" / "packing.md"


def blocks(language: str) -> list[str]:
    """The page's blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that the page speaks of."""
    monkeypatch.chdir(tmp_path)
    rows, target = load_iris(return_X_y=True)
    joblib.dump(DecisionTreeClassifier(max_depth=2, random_state=0).fit(rows, target), "model.joblib")
    names = ("sepal_length", "sepal_width", "petal_length", "petal_width")
    pd.DataFrame(rows, columns=names).assign(species=target).to_csv("train.csv", index=False)
    inputs = [{"name": name, "dtype": "float64", "minimum": 0, "maximum": 10} for name in names]
    chance = {"name": "chance", "dtype": "float64", "minimum": 0, "maximum": 1}
    contract = {"format": 1, "name": "iris", "version": "1.0.0", "inputs": inputs, "outputs": [chance]}
    Path("one-chance.json").write_text(json.dumps(contract))
    return tmp_path


@pytest.mark.full
def test_the_commands_run_as_they_stand(capsys: pytest.CaptureFixture[str]) -> None:
    """Every one makes a bundle that is served."""
    commands = [shlex.split(line) for block in blocks("sh") for line in block.splitlines()]

    for command in commands:
        assert main(command[1:]) == 0, capsys.readouterr().err

    places = [command[command.index("--output") + 1] for command in commands]
    runtimes = [fivefold.open(place).bundle.manifest.runtime for place in places]
    assert runtimes == ["onnx", "python", "python"]


def test_the_class_runs_as_it_stands(folder: Path) -> None:
    """Null is told from an empty text."""
    (folder / "fraud_page.py").write_text(blocks("python")[0])
    contract = {
        "format": 1,
        "name": "fraud",
        "version": "1.0.0",
        "inputs": [
            {"name": "amount", "dtype": "float64", "minimum": 0},
            {"name": "country", "dtype": "string", "maxLength": 2, "nullable": True, "null_value": ""},
        ],
        "outputs": [{"name": "risk", "dtype": "bool"}],
    }

    fivefold.pack("fraud_page:Fraud", contract, "b")

    scorer = fivefold.open("b")
    rows = [{"amount": 1, "country": ""}, {"amount": 1, "country": None}, {"amount": 2000, "country": "fr"}]
    answer = scorer.score(Records(scorer.contract.inputs).read(rows).accept())
    assert np.array_equal(answer["risk"], [False, True, True])


def test_the_table_of_files_is_the_codes() -> None:
    """A suffix or a method that packing knows stands on the page."""
    text = PAGE.read_text("utf-8")

    for word in (*PICKLES[:4], CATBOOST[0], *TORCH, *METHODS):
        assert word in text, word
