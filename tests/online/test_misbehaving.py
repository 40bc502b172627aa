"""A model that misbehaves is one request's failure; the model beside it, and the next request, are answered."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Iterator

import pytest

from fivefold.core.errors import ModelFailed
from tests.online.test_serve import RestLine, Steady, ask, sleep, until
from tests.support import rogue, slow_model
from tests.support.replica_processes import replicas
from tests.support.serve_process import Host, running

pytestmark = [pytest.mark.host, pytest.mark.full]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Two replicas behind HAProxy, each with both models."""
    directory = tmp_path_factory.mktemp("rogue")
    settings = {"min_replicas": 2, "max_replicas": 2, "drain_seconds": 2.0, "log_sample": 0.0}
    with running(
        [rogue.bundle(directory), slow_model.bundle(directory)], directory / "host", **settings
    ) as running_host:
        yield running_host


def told(host: Host, act: int, timeout: float = 60) -> tuple[int, str]:
    """Status, and code or answer, of a request that tells the model what to do."""
    status, _, said = ask(host, f"/v1/models/{rogue.NAME}:predict", {"instances": [{"act": act}]}, timeout)
    return status, said.get("code") or said["predictions"][0]["act"]


def test_what_can_be_caught_is_that_request_s_failure(host: Host) -> None:
    """On each replica; nobody is restarted, and whoever asks the other model meanwhile notices nothing."""
    before, over = replicas(host), threading.Event()
    beside = Steady(RestLine(host), over)
    beside.start()
    try:
        for act in rogue.CAUGHT:
            for _ in range(4):
                assert (act, *told(host, act)) == (act, 500, *ModelFailed.codes)
            assert told(host, 0) == (200, 0)
        until(lambda: beside.answered > 5 or bool(beside.failed))
    finally:
        over.set()
        beside.join()

    assert beside.failed == []
    assert replicas(host) == before


def test_a_request_that_ends_its_replica_does_not_end_all_of_them_for_ever(host: Host) -> None:
    """It is asked again by HAProxy and by its client; after two replicas it is refused, and everybody else answered."""
    killed: set[int] = set()
    before = set(replicas(host))

    answers = []
    for _ in range(3):
        # While both replicas are gone, Ray's fallback proxy may answer, in words of its own.
        with contextlib.suppress(OSError, http.client.HTTPException, AssertionError):
            answers.append(told(host, rogue.ENDS))
        until(lambda: answered(host), 60)
    killed = before - set(replicas(host))

    assert answers[-1] == (500, "model_failed"), answers
    assert len(killed) <= 2
    assert told(host, 0) == (200, 0)


def answered(host: Host) -> bool:
    """Whether both replicas are there again, and the other model answers."""
    with contextlib.suppress(OSError, http.client.HTTPException, AssertionError):
        return len(replicas(host)) == 2 and sleep(host, 0.001)[0] == 200
    return False
