"""The bundles and scorers of the conformance contracts, made once a session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.runtime.scorer import Scorer
from tests.conformance import bento, cases, models
from tests.conformance.browser import Browser
from tests.conformance.serving import InProcess
from tests.support import programs

NODE = programs.node("the contract as browsers read it")

collect_ignore = [] if bento.BIN else ["test_bentoml.py"]
if NODE is None:
    collect_ignore += ["test_browser.py", "test_browser_agrees.py"]


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    """Contract name to bundle."""
    directory: Path = tmp_path_factory.mktemp("conformance")
    return {name: models.bundle(name, directory) for name in cases.contracts()}


@pytest.fixture(scope="session")
def scorers(bundles: dict[str, Bundle]) -> Iterator[Callable[[str], Scorer]]:
    """Contract name to opened scorer, opened when first asked for."""
    opened: list[Scorer] = []

    @cache
    def scorer(name: str) -> Scorer:
        opened.append(Scorer.open(bundles[name]))
        return opened[-1]

    yield scorer
    for each in opened:
        each.close()


@pytest.fixture(scope="session")
def in_process(bundles: dict[str, Bundle]) -> Iterator[InProcess]:
    """All conformance models behind HTTP and gRPC in this process."""
    servers = InProcess(bundles)
    yield servers
    servers.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The contract as browsers read it, in one process."""
    assert NODE is not None
    with Browser(NODE) as running:
        yield running
