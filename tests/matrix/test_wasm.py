"""Every combination of the matrix on the browser's runtime, under Node: trees give the very bits of the server."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

import fivefold
from fivefold.edge.export.browser_support import prove, refuse_unsupported
from fivefold.exports.web_runtime import WebRuntime, web_runtime
from fivefold.parity.agreement_limit import limit_of
from tests.matrix.conftest import RUNTIME
from tests.matrix.models import CASES, Case, contract, fitted, frame_of

QUICK = ("boosting",)
"""What the quick run packs."""


@pytest.fixture(scope="module")
def runtime() -> WebRuntime:
    return web_runtime(RUNTIME)


def _params() -> list[Any]:
    return [pytest.param(case, id=case.name, marks=() if case.name in QUICK else pytest.mark.full) for case in CASES]


@pytest.mark.parametrize("case", _params())
def test_a_packed_model_answers_in_a_browser_as_on_the_server(case: Case, runtime: WebRuntime, tmp_path: Path) -> None:
    """Its golden answers were given by the server: the same bits for trees, within the tolerance for others."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, inputs, target = fitted(case)
    made = contract(case, model, inputs, target)
    fivefold.pack(model, made, tmp_path / "bundle", golden_from=frame_of(inputs), tolerance=case.tolerance)
    bundle = fivefold.Bundle.open(tmp_path / "bundle")
    refuse_unsupported(bundle)
    apart = prove(bundle, runtime)

    assert apart is not None
    # What is further apart than the tolerance allows, at the size of the answers, has been refused before this.
    assert apart == 0 or limit_of(bundle) > 0
