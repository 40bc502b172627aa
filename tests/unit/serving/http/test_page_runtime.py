"""What the page may load to run a model itself: named by its content, compressed already, and nothing of a model."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterator

import pytest
from tests.support.grpc_calls import gate_bundle
from tests.support.http_calls import World, world
from tests.unit.serving.http.conftest import RUNTIME

from fivefold.exports.web_runtime import DIGESTS, SCRIPT, VERSION, WASM
from fivefold.serving.http.page_runtime import CONTENT_SECURITY_POLICY
from fivefold.serving.page import CONTENT_SECURITY_POLICY as OF_THE_PAGE


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world([gate_bundle(tmp_path_factory.mktemp("runtime") / "gate")], page_runtime=str(RUNTIME)) as out:
        yield out


def told(served: World) -> dict[str, str]:
    """What the page is told of the runtime."""
    runtime: dict[str, str] = served.get("/page/server.json").json["runtime"]
    return runtime


@pytest.mark.parametrize("name", ["worker", "script", "wasm"])
def test_each_file_is_named_by_its_content_and_kept_for_good(served: World, name: str) -> None:
    """Plain, gzip and, with Node, Brotli are the same bytes; the worker alone may compile WebAssembly."""
    path = f"/{told(served)[name]}"
    plain, packed = (served.ask("GET", path, headers={"accept-encoding": coding}) for coding in ("identity", "gzip"))
    digest = hashlib.sha256(plain.body).hexdigest()

    assert plain.status == packed.status == 200
    assert f"-{digest[:16]}." in path
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert served.ask("HEAD", path).headers["content-length"] == str(len(plain.body))
    for reply in (plain, packed):
        assert reply.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert reply.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        assert reply.headers["vary"] == "accept-encoding"
        assert reply.headers["x-content-type-options"] == "nosniff"
    if name != "worker":
        assert digest == DIGESTS[{"script": SCRIPT, "wasm": WASM}[name]]
    assert "unsafe" not in OF_THE_PAGE


def test_the_page_is_told_where_they_are(served: World) -> None:
    """Relative to the page, so a prefix in front does no harm; another address has nothing."""
    runtime = told(served)

    assert (runtime["version"], runtime["wasmSha256"]) == (VERSION, DIGESTS[WASM])
    assert all(not runtime[name].startswith("/") for name in ("worker", "script", "wasm"))
    assert served.get(re.sub(r"-[0-9a-f]{16}", f"-{'0' * 16}", f"/{runtime['wasm']}")).code == "not_found"


def test_loopback_gives_the_files_out_where_nobody_is_asked(served: World) -> None:
    """The page runs what it can fetch: this setting stands for `serve_bundles` there."""
    assert served.get("/page/server.json").json["bundles"] is True
    assert served.get("/v1/models/gate/bundle/bundle.json").status == 200
