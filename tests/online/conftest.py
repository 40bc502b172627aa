"""What the tests of a running server share: the models that mixed traffic asks, and a host with two replicas."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fivefold.core.bundle.bundle import Bundle
from tests.support import questions, slow_model
from tests.support.grpc_calls import gate_bundle
from tests.support.replica_processes import replicas
from tests.support.serve_process import Host, running

NAMES = ("here", "[::1]:8000")
"""Whom the corpus of `desync_corpus` asks for; a server without a guard answers to its own names alone."""


@pytest.fixture(scope="session")
def served(demo_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    return questions.bundles(demo_bundle, tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="package")
def pair(served: list[Bundle], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Host]]:
    """Two replicas behind HAProxy, with the models of mixed traffic, a slow one and a gate.

    Started when it is first asked for, and anew where what a test has done to it has not been mended within a minute.
    Requests of more than a few rows leave the event loop for a thread. Many clients may be more than a busy machine can
    do at a time: here they wait, and when one is refused instead is tested elsewhere.
    """
    directory = tmp_path_factory.mktemp("pair")
    models = [*(bundle.path for bundle in served), slow_model.bundle(directory)]
    models.append(gate_bundle(directory / "gate").path)
    settings = {"min_replicas": 2, "max_replicas": 2, "drain_seconds": 2.0, "log_sample": 0.0}
    settings |= {"inline_bytes": 2048, "burst_seconds": 60.0, "hosts": NAMES}
    host: Host | None = None
    with contextlib.ExitStack() as started:

        def whole() -> Host:
            nonlocal host
            if host is None or not _mended(host):
                started.close()
                host = started.enter_context(running(models, tmp_path_factory.mktemp("host"), **settings))
            return host

        yield whole


def _mended(host: Host) -> bool:
    deadline = time.monotonic() + 60
    while len(replicas(host)) != 2:
        if host.process.poll() is not None or time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@pytest.fixture
def host(pair: Callable[[], Host]) -> Host:
    """The host that the tests share, with both replicas."""
    return pair()
