"""The cases over HTTP, in this process: V1 records, V2 JSON, binary tensors; ours, and in another's application."""

from __future__ import annotations

import pytest

from fivefold.core.bundle.bundle import Bundle
from tests.conformance.asking import check
from tests.conformance.cases import Case, load
from tests.conformance.serving import InProcess
from tests.conformance.transports import Http


@pytest.mark.parametrize("case", load(), ids=lambda case: case.id)
def test_http_answers_as_the_core_does(case: Case, in_process: InProcess, bundles: dict[str, Bundle]) -> None:
    """The same outputs, metadata, codes and paths as everywhere; HTTP has every spelling."""
    driver = Http(in_process.client, in_process.run)

    assert list(driver.asks(case)) == list(case.spellings())
    check(driver, case, bundles[case.contract])


@pytest.mark.parametrize("case", load(), ids=lambda case: case.id)
def test_a_mounted_router_answers_alike(case: Case, in_process: InProcess, bundles: dict[str, Bundle]) -> None:
    """`fivefold.router` below a prefix of somebody's own FastAPI application."""
    check(Http(in_process.mounted, in_process.run), case, bundles[case.contract])
