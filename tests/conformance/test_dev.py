"""The cases asked of `fivefold serve --dev`: one process without Ray, over real sockets, REST and gRPC."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fivefold.core.bundle.bundle import Bundle
from tests.conformance.asking import check
from tests.conformance.cases import Case, Limits, load, mostly_rare
from tests.conformance.remote import Remote
from tests.support import serve_process

CASES = [case for case in load() if case.limits == Limits()]


@pytest.fixture(scope="module")
def remote(bundles: dict[str, Bundle], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    """One server with every conformance model."""
    paths = [bundle.path for bundle in bundles.values()]
    with serve_process.running(paths, tmp_path_factory.mktemp("dev"), dev={}, log_sample=0.0) as running:
        drivers = Remote(running)
        yield drivers
        drivers.close()


@pytest.mark.parametrize("case", mostly_rare(CASES))
def test_it_answers_over_http(case: Case, remote: Remote, bundles: dict[str, Bundle]) -> None:
    """The same outputs, metadata, codes and paths as everywhere; HTTP has every spelling."""
    assert list(remote.http.asks(case)) == list(case.spellings())
    check(remote.http, case, bundles[case.contract])


@pytest.mark.parametrize(
    "case", mostly_rare(case for case in CASES if case.binary is not None or case.tensors is not None)
)
def test_it_answers_over_grpc(case: Case, remote: Remote, bundles: dict[str, Bundle]) -> None:
    """Likewise over gRPC."""
    check(remote.grpc, case, bundles[case.contract])
