"""Whether the page may run a model itself: off, asked for in vain, and where that would hand a model to the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.support.grpc_calls import gate_bundle
from tests.support.http_calls import world

from fivefold.core.settings import SettingsError
from fivefold.exports.web_runtime import DIGESTS
from fivefold.serving.http.page_runtime import page_runtime
from fivefold.serving.limits import ServingLimits


def test_without_the_setting_there_is_nothing(tmp_path: Path) -> None:
    with world([gate_bundle(tmp_path / "gate")]) as out:
        assert out.get("/page/server.json").json["runtime"] is None
        assert out.get("/v1/models/gate/bundle/bundle.json").code == "forbidden"


def test_a_directory_without_the_runtime_is_told_to_the_page(tmp_path: Path) -> None:
    """And bytes that are others are as good as none."""
    assert page_runtime(str(tmp_path)).told["missing"].startswith("the server does not have onnxruntime-web")
    for name in DIGESTS:
        (tmp_path / name).write_bytes(b"another")
    assert page_runtime(str(tmp_path)).files == {}


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        ({"http": "0.0.0.0:1", "grpc": "0.0.0.0:2", "allow_public": True}, True),
        ({"http": "0.0.0.0:1", "grpc": "0.0.0.0:2", "allow_public": True, "serve_bundles": True}, False),
        ({"http": "0.0.0.0:1", "grpc": "0.0.0.0:2", "keys": "keys.json"}, False),
        ({}, False),
    ],
)
def test_nobody_hands_a_model_to_the_network_unasked(given: dict[str, Any], refused: bool) -> None:
    """Beyond this machine and without keys, `serve_bundles` has to be said."""
    if refused:
        with pytest.raises(SettingsError, match="page_runtime: hands the bundles' files"):
            ServingLimits(**given, page_runtime="auto")
    else:
        assert ServingLimits(**given, page_runtime="auto").bundles_open
