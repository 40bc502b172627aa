"""The cases asked of a gateway: what is stored changes no answer, and every row that is answered is stored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fivefold.core.bundle.bundle import Bundle
from tests.conformance.asking import check
from tests.conformance.cases import Case, load
from tests.conformance.serving import StoringInProcess
from tests.conformance.transports import Http


@pytest.fixture(scope="module")
def gateways(bundles: dict[str, Bundle], tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoringInProcess]:
    """All conformance models behind gateways in this process."""
    directory: Path = tmp_path_factory.mktemp("gateway")
    servers = StoringInProcess(bundles, directory / "outbox.db")
    yield servers
    servers.close()


@pytest.mark.parametrize("case", load(), ids=lambda case: case.id)
def test_a_gateway_answers_as_the_core_does(case: Case, gateways: StoringInProcess, bundles: dict[str, Bundle]) -> None:
    """V1 and V2 have every spelling; each row is an event, each refusal one."""
    driver = Http(gateways.client, gateways.run)
    before = gateways.stored()

    assert list(driver.asks(case)) == list(case.spellings())
    check(driver, case, bundles[case.contract])
    each = case.rows if case.refused is None else 1
    assert gateways.stored() - before == each * len(list(case.spellings()))
