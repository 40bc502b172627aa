"""`fivefold serve` with a model from elsewhere."""

from __future__ import annotations

import signal
from pathlib import Path

import httpx
import pytest
from tests.support.bundle_server import Shelf
from tests.support.serve_process import launch, running
from tests.unit.delivery.conftest import Packed


@pytest.mark.full
@pytest.mark.host
def test_a_model_by_url_is_downloaded_once_and_served(
    server: Shelf, reference: str, packed: Packed, tmp_path: Path
) -> None:
    """The check before the start fetches it, the replica finds it in the cache."""
    with running([reference], tmp_path, environment={"XDG_CACHE_HOME": str(tmp_path / "cache")}) as host:
        answer = httpx.post(f"{host.url}/v1/models/demo:predict", json={"instances": [{"a": 1, "b": 2}]}).json()

    assert answer["predictions"] == [{"total": 3, "label": 1}]
    assert answer["metadata"]["bundle"] == packed.digest
    assert server.asked == ["/sum.tar"]
    assert [path.name for path in (tmp_path / "cache" / "fivefold" / "bundles").iterdir()] == [f"{packed.digest}.tar"]


@pytest.mark.full
def test_a_wrong_digest_is_refused_before_ray_starts(server: Shelf, packed: Packed, tmp_path: Path) -> None:
    """With the place and both digests."""
    reference = server.put("/sum.tar", packed.tar, "0" * 64)
    host = launch([reference], tmp_path, environment={"XDG_CACHE_HOME": str(tmp_path / "cache")})

    assert host.wait() != 0
    assert f"bundle_invalid: {server.url}/sum.tar: expected the bundle {'0' * 64}" in host.printed()
    assert "starting" not in host.printed()


@pytest.mark.full
def test_ctrl_c_ends_a_download(server: Shelf, reference: str, tmp_path: Path) -> None:
    """The user need not wait for a server that sends."""
    server.troubles[:] = ["stall"]
    host = launch([reference], tmp_path, environment={"XDG_CACHE_HOME": str(tmp_path / "cache")})
    assert server.stalled.wait(60)
    host.process.terminate()
    server.go_on.set()

    assert host.wait() == 128 + signal.SIGTERM
    assert "starting" not in host.printed()
