"""The product's client and NVIDIA's ask the demo through the gateway, as their users would."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fivefold
from fivefold.core.errors import AccessError
from tests.e2e import bundles, cluster
from tests.support import programs

pytestmark = pytest.mark.e2e

ROWS = 3


def _golden() -> tuple[dict[str, list[float]], list[str], np.ndarray[Any, Any]]:
    given, answers = (columns.slice(0, ROWS) for columns in bundles.build(1).golden())
    inputs = {field.name: given[field.name].tolist() for field in given.fields}
    return inputs, answers["label"].tolist(), answers["probability"]


def _near(got: Any, expected: Any) -> None:
    np.testing.assert_allclose(got, expected, rtol=0, atol=bundles.build(1).manifest.tolerance)


@pytest.mark.parametrize("scheme", ["https", "grpcs"])
def test_the_products_client(scheme: str) -> None:
    """Records, arrays and the contract, by the URL alone; a wrong key is the error that it is everywhere."""
    inputs, labels, probabilities = _golden()
    rows = [{name: values[row] for name, values in inputs.items()} for row in range(ROWS)]

    with fivefold.Client(f"{scheme}://{cluster.ADDRESS}", key=cluster.key(), ca=cluster.AUTHORITY) as client:
        told = client.predict(rows, model=bundles.DEMO)
        arrays = client.infer(inputs, model=bundles.DEMO)
        contract = client.contract(bundles.DEMO)

    assert [row["label"] for row in told.predictions] == labels
    _near([row["probability"] for row in told.predictions], probabilities)
    _near(arrays.outputs["probability"], probabilities)
    assert told.metadata["bundle"] == bundles.build(1).digest
    assert contract == bundles.build(1).contract
    with (
        fivefold.Client(f"{scheme}://{cluster.ADDRESS}", key="wrong", ca=cluster.AUTHORITY) as stranger,
        pytest.raises(AccessError) as refused,
    ):
        stranger.predict(rows, model=bundles.DEMO)
    assert refused.value.code == "unauthenticated"


@cache
def _triton() -> dict[str, Any]:
    home = programs.environment("triton", "Triton's client through the gateway")
    assert home is not None, "make .cache/envs/triton/.done"
    given = {
        "address": cluster.ADDRESS,
        "authority": str(cluster.AUTHORITY),
        "key": cluster.key(),
        "model": bundles.DEMO,
        "inputs": _golden()[0],
    }
    said = cluster.command(
        home / "python", Path(__file__).with_name("triton_program.py"), given=json.dumps(given), PYTHONWARNINGS="ignore"
    )
    report: dict[str, Any] = json.loads(said.splitlines()[-1])
    return report


@pytest.mark.parametrize(("transport", "refused"), [("http", "401"), ("grpc", "StatusCode.UNAUTHENTICATED")])
def test_tritons_client(transport: str, refused: str) -> None:
    """Unmodified, with TLS and a key in a header."""
    _, labels, probabilities = _golden()
    said = _triton()[transport]

    assert said["ready"] is True
    assert said["label"] == labels
    _near(said["probability"], probabilities)
    assert said["wrong key"] == refused
