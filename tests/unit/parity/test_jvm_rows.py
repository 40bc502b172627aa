"""The JVM's scorer, asked the rows of contracts and models that are hard on numbers, on null and on text."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conformance import models
from tests.support.bundles import write_python

from fivefold.parity.parity_run import run
from fivefold.parity.runtimes import jvm_rows

MORE = ("patient", "needed", "floats", "not-a-number")


@pytest.mark.parametrize("name", ["null-or-value", *(pytest.param(each, marks=pytest.mark.full) for each in MORE)])
def test_the_jvm_answers_as_the_core(name: str, tmp_path: Path) -> None:
    """Rows whose texts it cannot pass are not asked."""
    (found,) = run(models.bundle(name, tmp_path), 60, ["jvm"]).runtimes

    assert (found.status, found.reason, found.examples) == ("agrees", "", [])
    assert found.asked > 40
    assert found.refused == found.same_refusal > 10


@pytest.mark.parametrize(
    ("name", "why"),
    [("integers", "has no values"), pytest.param("patterns", "above U+FFFF", marks=pytest.mark.full)],
)
def test_what_does_not_run_there_is_absent(name: str, why: str, tmp_path: Path) -> None:
    """With the reason, and is no failure."""
    result = run(models.bundle(name, tmp_path), 0, ["jvm"])

    assert result.runtimes[0].status == "absent"
    assert why in result.runtimes[0].reason
    assert result.broken == []


def test_a_python_model_is_absent(tmp_path: Path) -> None:
    """It runs where Python does."""
    (found,) = run(write_python(tmp_path / "sum"), 0, ["jvm"]).runtimes

    assert (found.status, found.reason) == ("absent", "bundle.json: a python model does not run here")


def test_a_jar_that_is_not_built_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that builds it."""
    monkeypatch.setattr(jvm_rows, "jar", lambda: tmp_path / "none.jar")
    (found,) = run(models.bundle("needed", tmp_path), 0, ["jvm"]).runtimes

    assert (found.status, found.help) == ("absent", "make .cache/jvm/fivefold.jar, in the repository of Fivefold")
