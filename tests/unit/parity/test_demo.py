"""The demo's bundle, asked of every runtime that this machine has."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.unit.parity.conftest import JAVA, RUNTIME

from fivefold.core.bundle.bundle import Bundle
from fivefold.packing.demo import demo
from fivefold.parity.parity_run import chosen, run
from fivefold.parity.runtimes.chromium_page import NAMES


@pytest.mark.full
@pytest.mark.usefixtures("web_cache")
def test_every_runtime_answers_the_demo_alike(tmp_path: Path) -> None:
    """Bit for bit, for it is made of trees, and with the same refusals."""
    bundle = Bundle.open(demo(tmp_path / "demo"))
    found = run(bundle, 400, chosen([], []))

    assert found.limit == 0.0
    assert found.broken == []
    assert {each.largest for each in found.asked} == {0.0}
    here = {each.name for each in found.asked}
    assert here >= {"core", "http-v1", "http-v2", "grpc", "batch-jsonl", "batch-parquet", "stream", "gateway"}
    assert ("wasm-node" in here) == bool(RUNTIME and shutil.which("node"))
    assert ("wasm-chromium" in here) == bool(RUNTIME and any(map(shutil.which, NAMES)))
    assert ("jvm" in here) == bool(JAVA)
