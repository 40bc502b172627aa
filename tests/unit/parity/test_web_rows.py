"""The browser's scorer in Node, asked the rows of contracts and models that are hard on numbers and on null."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conformance import models
from tests.support.bundles import write_sum

from fivefold.parity.parity_run import run
from fivefold.parity.question_rows import Question
from fivefold.parity.row_answers import RowRefused
from fivefold.parity.runtimes import AskedBundle
from fivefold.parity.runtimes.wasm_node import WasmNode


@pytest.mark.full
@pytest.mark.usefixtures("web_cache")
@pytest.mark.parametrize("name", ["needed", "null-or-value", pytest.param("patient", marks=pytest.mark.full)])
def test_webassembly_answers_as_the_core(name: str, tmp_path: Path) -> None:
    """Null in a golden answer too."""
    (found,) = run(models.bundle(name, tmp_path), 60, ["wasm-node"]).runtimes

    assert (found.status, found.reason, found.examples) == ("agrees", "", [])
    assert found.asked > 40
    assert found.refused == found.same_refusal > 10


def test_an_empty_cache_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that fills it; nothing is fetched."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    (found,) = run(write_sum(tmp_path / "sum"), 0, ["wasm-node"]).runtimes

    assert (found.status, found.help) == ("absent", "fivefold export --model BUNDLE --to browser DIR fetches it")
    assert not (tmp_path / "empty").exists()


NUL = '{"instances":[{"b":true,"i":1,"r":1,"e":1,"a":[1,2],"w":"a\\u0000b"}]}'


@pytest.mark.usefixtures("web_cache")
def test_a_text_that_the_runtime_would_cut_is_refused(tmp_path: Path) -> None:
    """ONNX Runtime Web ends a text at U+0000; an answer to the rest of it would be a wrong one."""
    bundle = models.bundle("null-or-value", tmp_path)
    (tmp_path / "run").mkdir()
    runtime = WasmNode(AskedBundle(bundle, bundle.path, tmp_path / "run"))
    assert runtime.available() is None
    question = Question(0, "valid", NUL.removeprefix('{"instances":[').removesuffix("]}"))

    assert not runtime.can_say(question)
    assert runtime.ask([question]) == [RowRefused((("model_failed", "inputs.w[0]"),))]
