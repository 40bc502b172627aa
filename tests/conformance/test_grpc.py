"""The cases over gRPC, against a real server in this process: raw, typed, and what V2 JSON can be written as."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from fivefold.core.bundle.bundle import Bundle
from tests.conformance.asking import check
from tests.conformance.cases import Case, Limits, load, representatives
from tests.conformance.serving import InProcess
from tests.conformance.transports import Grpc

HAS_TENSORS = [case for case in load() if case.binary is not None or case.tensors is not None]
FIRST = list(representatives(HAS_TENSORS))


@pytest.mark.parametrize("case", HAS_TENSORS, ids=lambda case: case.id)
def test_grpc_answers_as_the_core_does(case: Case, in_process: InProcess, bundles: dict[str, Bundle]) -> None:
    """The same outputs, metadata, codes and paths as everywhere."""
    check(Grpc(in_process.channel, in_process.run), case, bundles[case.contract])


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the HAProxies, one for each set of limits."""
    return tmp_path_factory.mktemp("proxies")


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=() if case in FIRST else pytest.mark.full) for case in HAS_TENSORS],
    ids=lambda case: case.id,
)
def test_and_so_it_does_behind_haproxy(
    case: Case, in_process: InProcess, bundles: dict[str, Bundle], behind: Path
) -> None:
    """Which ends HTTP/2 and asks by HTTP/1.1, as wherever Ray serves."""
    check(Grpc(partial(in_process.channel, behind=behind), in_process.run), case, bundles[case.contract])


def test_most_cases_have_a_spelling_in_grpc(in_process: InProcess) -> None:
    """What gRPC cannot express stays the exception: a driver that asked nothing would pass everything."""
    driver = Grpc(in_process.channel, in_process.run)

    asked = [case for case in HAS_TENSORS if list(driver.asks(case))]

    assert len(asked) >= 220
    assert sum(case.refused is None for case in asked) >= 100
    assert in_process.channel(Limits()) is in_process.channel(Limits())
