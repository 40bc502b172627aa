"""Bundles from Google Cloud Storage, over a server of its calls (fake-gcs-server)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.support import s3_server
from tests.unit.delivery.conftest import Packed

from fivefold.batch.storage.output_storage import BucketStorage
from fivefold.core.errors import BundleInvalid
from fivefold.delivery.fetch import fetch
from fivefold.delivery.settings import DeliverySettings


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """How to find a server with an empty bucket `data`."""
    with s3_server.gcs(tmp_path_factory.mktemp("gs")) as variables:
        yield variables


@pytest.fixture(autouse=True)
def account(variables: dict[str, str], packed: Packed, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service account that points at the server and needs no token; the bundle is at `a b/sum.tar`."""
    s3_server.chosen(monkeypatch, variables)
    BucketStorage("gs://data", allow_http=True).create("a b/sum.tar", packed.tar)


@pytest.fixture
def settings(settings: DeliverySettings) -> DeliverySettings:
    """The server speaks no https."""
    return replace(settings, bundle_http=True)


def test_a_bundle_from_gcs(packed: Packed, settings: DeliverySettings) -> None:
    """Bucket and key are the path."""
    assert fetch(f"gs://data/a b/sum.tar#sha256={packed.digest}", settings).digest == packed.digest


def test_an_object_that_is_not_there(packed: Packed, settings: DeliverySettings) -> None:
    """The place is named as it was asked for."""
    with pytest.raises(BundleInvalid, match=r"gs://data/none\.tar: there is no such object"):
        fetch(f"gs://data/none.tar#sha256={packed.digest}", settings)
