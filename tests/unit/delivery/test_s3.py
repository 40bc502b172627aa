"""Bundles from S3, over a real S3 server (versitygw) that checks signatures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.support import s3_server
from tests.unit.delivery.conftest import Packed

from fivefold.core.errors import BundleInvalid
from fivefold.delivery.fetch import fetch
from fivefold.delivery.settings import DeliverySettings


@pytest.fixture(scope="module")
def variables(packed: Packed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """How to find a server whose bucket `models` has the bundle at `a b/sum.tar`."""
    home = tmp_path_factory.mktemp("s3")
    with s3_server.s3(home) as variables:
        (home / "objects" / "models" / "a b").mkdir(parents=True)
        (home / "objects" / "models" / "a b" / "sum.tar").write_bytes(packed.tar)
        yield variables


@pytest.fixture(autouse=True)
def account(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual variables, and none of the machine's own."""
    s3_server.chosen(monkeypatch, variables)


@pytest.fixture
def settings(settings: DeliverySettings) -> DeliverySettings:
    """The server speaks no https."""
    return replace(settings, bundle_http=True)


def test_a_bundle_from_s3(packed: Packed, settings: DeliverySettings) -> None:
    """Endpoint and credentials come from the environment, and the key stands in the reference as it is."""
    assert fetch(f"s3://models/a b/sum.tar#sha256={packed.digest}", settings).digest == packed.digest


def test_a_wrong_secret_is_told(packed: Packed, settings: DeliverySettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not repeated."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    with pytest.raises(BundleInvalid, match=r"s3://models/a b/sum\.tar: access is denied") as refused:
        fetch(f"s3://models/a b/sum.tar#sha256={packed.digest}", settings)

    assert "AWS_" in str(refused.value.help)
    assert "wrong-secret" not in str(refused.value)


@pytest.mark.parametrize("place", ["models/none.tar", "nowhere/sum.tar"])
def test_an_object_that_is_not_there(packed: Packed, settings: DeliverySettings, place: str) -> None:
    """Nor the bucket."""
    with pytest.raises(BundleInvalid, match="no such object"):
        fetch(f"s3://{place}#sha256={packed.digest}", settings)


def test_an_endpoint_without_https_has_to_be_allowed(packed: Packed, settings: DeliverySettings) -> None:
    """The digest proves the bytes, but the model would be read on the way."""
    with pytest.raises(BundleInvalid, match="endpoint is not https"):
        fetch(f"s3://models/a b/sum.tar#sha256={packed.digest}", replace(settings, bundle_http=False))
