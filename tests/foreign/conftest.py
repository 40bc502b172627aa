"""One real host for the clients of others, and their programs run in environments of their own.

A client whose environment is not there is left out when tests are collected; `make test-full` makes them first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

import pytest

from fivefold.core.bundle.bundle import Bundle
from tests.conformance import models
from tests.foreign.asking import Facts, run
from tests.support import programs, serve_process

NEEDS: dict[str, Callable[[], object]] = {
    "test_triton.py": partial(programs.environment, "triton", "Triton's client"),
    "test_kserve.py": partial(programs.environment, "kserve", "KServe's client"),
    "test_grpc_java.py": partial(programs.jars, "grpc-java", "grpc-java against the gRPC services"),
    "test_grpcurl.py": partial(programs.needed, "grpcurl", "grpcurl against the gRPC services"),
}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what cannot run here; say so only where it was asked for."""
    need = NEEDS.get(collection_path.name)
    if need is None:
        return None
    wanted = collection_path.name == "test_grpcurl.py" or "not full" not in config.getoption("markexpr")
    return True if wanted and need() is None else None


@pytest.fixture(scope="session")
def served(demo_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    """The demo model, and echoes of every datatype and of shapes."""
    directory = tmp_path_factory.mktemp("foreign")
    bundles = {name: models.bundle(name, directory) for name in ("kinds", "integers", "floats", "shapes")}
    bundles["breast-cancer"] = Bundle.open(demo_bundle)
    return bundles


@pytest.fixture(scope="session")
def running(served: dict[str, Bundle], tmp_path_factory: pytest.TempPathFactory) -> Iterator[serve_process.Host]:
    """Those models behind Ray Serve."""
    paths = [bundle.path for bundle in served.values()]
    with serve_process.running(paths, tmp_path_factory.mktemp("host"), log_sample=0.0) as out:
        yield out


@pytest.fixture(scope="session")
def reports(running: serve_process.Host, served: dict[str, Bundle]) -> Callable[[str], Facts]:
    """Environment name to the facts of its program, which runs once."""
    return cache(lambda name: run(name, running, served))
