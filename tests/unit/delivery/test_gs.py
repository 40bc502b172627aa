"""Bundles from Google Cloud Storage, over a server that has its addresses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.delivery.conftest import Packed
from tests.unit.delivery.shelf import Shelf

from fivefold.core.errors import BundleInvalid
from fivefold.delivery.fetch import fetch
from fivefold.delivery.settings import DeliverySettings


@pytest.fixture(autouse=True)
def account(server: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service account that points at the server and needs no token."""
    server.etag = '"1"'
    account = {
        "gcs_base_url": server.url,
        "disable_oauth": True,
        "client_email": "",
        "private_key": "",
        "private_key_id": "",
    }
    (tmp_path / "account.json").write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(tmp_path / "account.json"))
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)


@pytest.fixture
def settings(settings: DeliverySettings) -> DeliverySettings:
    """The server speaks no https."""
    return replace(settings, bundle_http=True)


def test_a_bundle_from_gcs(server: Shelf, packed: Packed, settings: DeliverySettings) -> None:
    """Bucket and key are the path."""
    server.files["/models/a/sum.tar"] = packed.tar

    assert fetch(f"gs://models/a/sum.tar#sha256={packed.digest}", settings).digest == packed.digest


def test_an_object_that_is_not_there(server: Shelf, packed: Packed, settings: DeliverySettings) -> None:
    """The place is named as it was asked for."""
    with pytest.raises(BundleInvalid, match=r"gs://models/none\.tar: there is no such object"):
        fetch(f"gs://models/none.tar#sha256={packed.digest}", settings)
