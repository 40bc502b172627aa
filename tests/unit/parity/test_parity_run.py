"""Whole runs over real runtimes; a runtime that answers or refuses otherwise is found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from tests.support.bundles import write_python, write_sum

from fivefold.core.columns import Columns
from fivefold.parity import parity_picture, parity_table, runtimes
from fivefold.parity.parity_run import run
from fivefold.parity.question_rows import Question
from fivefold.parity.row_answers import RowAnswer, RowRefused
from fivefold.parity.runtimes.asked_runtime import NotHere
from fivefold.parity.runtimes.core_runtime import CoreRuntime


class OneBitOff(CoreRuntime):
    """The core, but for the lowest bit of one float of one row."""

    def ask(self, asked: Sequence[Question]) -> list[RowAnswer]:
        answers = super().ask(asked)
        first = answers[3]
        assert isinstance(first, Columns)
        first["total"][0] = np.nextafter(first["total"][0], np.float32(np.inf))
        return answers


class OtherPath(CoreRuntime):
    """The core, but for the row in the path of its first refusal."""

    def ask(self, asked: Sequence[Question]) -> list[RowAnswer]:
        answers = super().ask(asked)
        at = next(at for at, answer in enumerate(answers) if isinstance(answer, RowRefused) and "[0]" in str(answer))
        refused = answers[at]
        assert isinstance(refused, RowRefused)
        answers[at] = RowRefused(tuple((code, path.replace("[0]", "[1]")) for code, path in refused.violations))
        return answers


class Breaking(CoreRuntime):
    """Breaks while it is asked."""

    def ask(self, asked: Sequence[Question]) -> list[RowAnswer]:
        raise OSError(f"no way to ask {len(asked) and 'rows'}")


class Elsewhere(CoreRuntime):
    """On other machines."""

    def available(self) -> NotHere | None:
        return NotHere("no such program here", "install it")


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runtimes of the tests' own beside the product's."""
    for name, kind in (("bit", OneBitOff), ("path", OtherPath), ("breaking", Breaking), ("elsewhere", Elsewhere)):
        monkeypatch.setitem(runtimes.REGISTERED, name, (f"core_runtime:{kind.__name__}", ""))
        monkeypatch.setattr(f"fivefold.parity.runtimes.core_runtime.{kind.__name__}", kind, raising=False)


@pytest.mark.usefixtures("others")
def test_a_wrong_bit_a_wrong_path_and_a_broken_runtime_are_found(tmp_path: Path) -> None:
    """Each by its name, and the core beside them agrees."""
    bundle = write_sum(tmp_path / "sum")
    found = run(bundle, 60, ["core", "bit", "path", "breaking", "elsewhere"])
    core, bit, path, breaking, elsewhere = found.runtimes

    assert (core.status, core.largest) == ("agrees", 0.0)
    assert (bit.status, bit.differing) == ("differs", 1)
    assert bit.examples[0].startswith("row 3 (golden): outputs.total: expected ")
    assert (path.status, path.differing, path.refused - path.same_refusal) == ("differs", 1, 1)
    assert (breaking.status, breaking.reason) == ("failed", "OSError: no way to ask rows")
    assert elsewhere.status == "absent"
    assert [each.split()[0] for each in found.broken] == ["bit", "path", "breaking"]
    lines = list(parity_table.lines(found))
    assert lines[-1].startswith("2 of 4 runtimes agree" if core.status == path.status else "1 of 4 runtimes agree")
    assert "elsewhere: install it" in lines
    assert parity_picture.draw(found).count("<circle") == 5


@pytest.mark.usefixtures("others")
def test_one_that_is_required_and_not_here_breaks(tmp_path: Path) -> None:
    """And one that is not required does not."""
    bundle = write_sum(tmp_path / "sum")

    assert run(bundle, 0, ["core", "elsewhere"]).broken == []
    broken = run(bundle, 0, ["core", "elsewhere"], required=["elsewhere"]).broken
    assert broken == ["elsewhere is required and not here: no such program here"]


def test_servers_files_and_events_agree_about_a_python_model(tmp_path: Path) -> None:
    """REST, gRPC, batch and stream, each by what a user has."""
    bundle = write_python(tmp_path / "sum")
    names = ["core", "http-v1", "http-v2", "grpc", "batch-jsonl", "batch-parquet", "stream"]
    found = run(bundle, 60, names)

    assert [(each.name, each.status, each.examples, each.reason) for each in found.runtimes] == [
        (name, "agrees", [], "") for name in names
    ]
    assert found.refused > 20
    assert all(each.asked + each.unsaid == sum(found.rows.values()) for each in found.runtimes)


def test_a_python_model_is_not_for_browsers(tmp_path: Path) -> None:
    """Which is said, and no failure."""
    found = run(write_python(tmp_path / "sum"), 0, ["wasm-node"]).runtimes[0]

    assert found.status == "absent"
    assert found.reason
