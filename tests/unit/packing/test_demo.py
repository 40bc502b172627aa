"""The demo model: honest, complete, quick the second time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from tests.support.bundles import write_sum

import fivefold
from fivefold.core.errors import BundleInvalid
from fivefold.packing import golden
from fivefold.packing.demo import contract, demo


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The demo bundle and what it said."""
    said: list[str] = []
    return demo(tmp_path_factory.mktemp("demo") / "bundle", say=said.append), said


def test_the_contract_names_the_data_sets_thirty_columns_in_order() -> None:
    """Every field has a unit, a description and a range that holds all the data and no slipped decimal point."""
    data = load_breast_cancer()
    made = contract()

    assert [field.name for field in made.inputs] == [name.replace(" ", "_") for name in data.feature_names]
    for index, field in enumerate(made.inputs):
        assert field.unit
        assert field.description
        assert field.minimum == 0
        assert 1.9 < (field.maximum or 0) / data.data[:, index].max() < 4.5
    assert made.warnings() == []


def test_it_tells_its_accuracy_on_patients_that_it_has_not_seen(made: tuple[Path, list[str]]) -> None:
    """114 held-out cases, more than nine in ten right, and the same figure in the bundle."""
    path, said = made
    facts = fivefold.Bundle.open(path).manifest.created_from

    assert facts["holdout_rows"] == 114
    assert 0.9 < facts["holdout_accuracy"] < 1
    assert f"accuracy {facts['holdout_accuracy']:.1%} on 114 held-out cases" in said[0]


def test_it_answers_the_whole_data_set_inside_its_contract(made: tuple[Path, list[str]]) -> None:
    """Every patient is legal input; the label is the more probable class."""
    rows = golden.from_data(load_breast_cancer(as_frame=True).data, contract())
    with fivefold.open(made[0]) as scorer:
        answers = scorer.score(rows.columns)

    assert rows.refused == 0
    labels = np.array(["benign", "malignant"], object)[answers["probability"].argmax(axis=1)]
    assert np.array_equal(labels, answers["label"])


def test_the_second_time_nothing_is_trained(made: tuple[Path, list[str]]) -> None:
    """A whole demo bundle stays as it is."""
    said: list[str] = []
    before = (made[0] / "bundle.json").stat().st_mtime_ns

    demo(made[0], say=said.append)

    assert "already" in said[0]
    assert (made[0] / "bundle.json").stat().st_mtime_ns == before


@pytest.mark.full
def test_a_foreign_directory_is_left_alone(tmp_path: Path) -> None:
    """Only a bundle is ever replaced."""
    (tmp_path / "mine.txt").write_text("mine")

    with pytest.raises(BundleInvalid):
        demo(tmp_path)

    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_another_bundle_is_not_overwritten(tmp_path: Path) -> None:
    """Whoever gives the wrong directory keeps what is in it."""
    standing = write_sum(tmp_path / "mine")

    with pytest.raises(BundleInvalid, match="holds another bundle: demo@1"):
        demo(tmp_path / "mine")
    assert fivefold.Bundle.open(tmp_path / "mine").digest == standing.digest
