"""The cases through a real Ray Serve host: HTTP by way of HAProxy, gRPC on the replica's own server, real sockets.

The first of every contract and set of codes; all of them are asked in one process over both transports, and of hosts in
a cluster by `make e2e RARE=1`.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator

import pytest

from fivefold.core.bundle.bundle import Bundle
from tests.conformance.asking import check
from tests.conformance.cases import Case, Limits, load, representatives
from tests.conformance.remote import Remote
from tests.support import serve_process

pytestmark = pytest.mark.host

CASES = [case for case in load() if case.limits == Limits()]
NAMED = operator.attrgetter("id")


@pytest.fixture(scope="module")
def remote(bundles: dict[str, Bundle], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    """One host with every conformance model."""
    paths = [bundle.path for bundle in bundles.values()]
    with serve_process.running(paths, tmp_path_factory.mktemp("host"), log_sample=0.0) as running:
        drivers = Remote(running)
        yield drivers
        drivers.close()


@pytest.mark.parametrize("case", representatives(CASES), ids=NAMED)
def test_the_host_answers_over_http(case: Case, remote: Remote, bundles: dict[str, Bundle]) -> None:
    """What the process alone answers, its host answers too."""
    assert list(remote.http.asks(case)) == list(case.spellings())
    check(remote.http, case, bundles[case.contract])


@pytest.mark.parametrize(
    "case",
    representatives(case for case in CASES if case.binary is not None or case.tensors is not None),
    ids=NAMED,
)
def test_the_host_answers_over_grpc(case: Case, remote: Remote, bundles: dict[str, Bundle]) -> None:
    """Likewise over gRPC."""
    check(remote.grpc, case, bundles[case.contract])
