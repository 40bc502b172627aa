"""The bundles and scorers of the conformance contracts, made once a session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.runtime.scorer import Scorer
from tests.conformance import bento, cases, models
from tests.conformance.contract_readers import JAR, ContractReader, browser_reader, jvm_reader
from tests.conformance.serving import InProcess
from tests.support import programs

NODE = programs.node("the contract as browsers read it")
JAVA = programs.jar(JAR, "the contract as apps on a JVM read it")
READERS = [name for name, program in (("browser", NODE), ("jvm", JAVA)) if program]
"""The readers of contracts in other languages that this machine can start."""

collect_ignore = [] if bento.BIN else ["test_bentoml.py"]
if not READERS:
    collect_ignore += ["test_contract_readers.py", "test_contract_readers_agree.py"]


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


@pytest.fixture(scope="session", params=READERS)
def reader(request: pytest.FixtureRequest) -> Iterator[ContractReader]:
    """The contract as another language reads it, in one process."""
    program = NODE if request.param == "browser" else JAVA
    assert program is not None
    with (browser_reader if request.param == "browser" else jvm_reader)(program) as running:
        yield running
