"""Addresses of hubs, as publishers and devices are given them."""

from __future__ import annotations

import pytest

from fivefold.core.settings import SettingsError
from fivefold.edge.updates.hub_publishing import HubPublisher
from fivefold.edge.updates.release_source import HubSource


@pytest.mark.parametrize("url", ["http://[x", "https://user:secret@x:port", "https://x:99999", "ftp://x", "https://"])
def test_what_is_no_url_is_refused_without_its_password(url: str) -> None:
    """In one sentence."""
    for opened in (lambda: HubPublisher(url, "key"), lambda: HubSource(url, "device", "key")):
        with pytest.raises(SettingsError, match="expected an http or https URL") as refused:
            opened()
        assert "secret" not in str(refused.value)
