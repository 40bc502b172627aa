"""Everything beside inference: health, metadata, files, the page, and what is refused."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator

import pytest
from tests.conformance import models
from tests.support.grpc_calls import gate_bundle
from tests.support.http_calls import World, dumps, log_lines, world


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    place = tmp_path_factory.mktemp("routes")
    bundles = [models.bundle("linear", place), *(gate_bundle(place / f"gate-{v}", v) for v in ("1", "2"))]
    with world(bundles, serve_bundles=True) as out:
        yield out


def test_health_says_yes(served: World) -> None:
    """The process and the models, by both of their names."""
    for path in ("/livez", "/v2/health/live"):
        assert (served.get(path).status, served.get(path).json) == (200, {"live": True})
    for path in ("/readyz", "/v2/health/ready", "/v2/models/gate/ready", "/v2/models/gate/versions/2/ready"):
        assert (served.get(path).status, served.get(path).json) == (200, {"ready": True})


def test_a_drain_is_told_but_what_arrives_is_answered(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Readiness turns to 503 with Retry-After, liveness and inference stay."""
    with world([gate_bundle(tmp_path_factory.mktemp("drain") / "gate")]) as out:
        out.serving.drain()

        for path in ("/readyz", "/v2/health/ready", "/v2/models/gate/ready"):
            reply = out.get(path)
            assert (reply.status, reply.json, reply.headers["retry-after"]) == (503, {"ready": False}, "1")
        assert out.get("/livez").status == 200
        assert out.ask("POST", "/v2/repository/index").json[0]["state"] == "UNAVAILABLE"
        assert out.post("/v1/models/gate:predict", {"instances": [{"x": 1}]}).status == 200


def test_the_models_are_listed(served: World) -> None:
    """Names, and one model's versions and default."""
    assert served.get("/v1/models").json == served.get("/v2/models").json == {"models": ["linear", "gate"]}
    about = served.get("/v1/models/gate").json
    assert about["versions"] == ["1", "2"]
    assert (about["version"], about["default_version"], about["ready"]) == ("2", "2", True)
    assert served.get("/v1/models/gate/versions/1").json["version"] == "1"


def test_the_protocol_describes_server_and_models(served: World) -> None:
    """Server metadata with and without the slash, model metadata, configuration, index."""
    assert served.get("/v2").json == served.get("/v2/").json
    assert served.get("/v2").json["name"] == "fivefold"
    assert "binary_tensor_data" in served.get("/v2").json["extensions"]
    assert served.get("/v2/models/gate").json == {
        "name": "gate",
        "versions": ["1", "2"],
        "platform": "fivefold_python",
        "inputs": [{"name": "x", "datatype": "FP64", "shape": [-1]}],
        "outputs": [{"name": "y", "datatype": "FP64", "shape": [-1]}],
    }
    assert served.get("/v2/models/linear").json["platform"] == "onnx_onnxv1"
    config = served.get("/v2/models/gate/config").json
    assert (config["name"], config["input"][0]["data_type"], config["max_batch_size"]) == ("gate", "TYPE_FP64", 100_000)
    assert served.ask("POST", "/v2/repository/index").json == [
        {"name": name, "version": version, "state": "READY", "reason": ""}
        for name, version in (("linear", "1"), ("gate", "1"), ("gate", "2"))
    ]


def test_statistics_count_what_was_done(served: World) -> None:
    """Rows, executions and failures; one version, all of a model, all of the server."""
    before = served.get("/v2/models/gate/versions/1/stats").json["model_stats"][0]
    for instances in ([{"x": 1}, {"x": 2}], [{"x": "1"}]):
        served.post("/v1/models/gate/versions/1:predict", {"instances": instances})

    [after] = served.get("/v2/models/gate/versions/1/stats").json["model_stats"]

    assert after["inference_count"] == before["inference_count"] + 2
    assert after["execution_count"] == before["execution_count"] + 1
    for outcome in ("success", "fail"):
        now, then = after["inference_stats"][outcome], before["inference_stats"][outcome]
        assert now["count"] == then["count"] + 1
        assert now["ns"] > then["ns"]
    assert after["last_inference"] > 1_700_000_000_000
    everything = served.get("/v2/models/stats").json
    assert [(item["name"], item["version"]) for item in everything["model_stats"]] == [
        ("linear", "1"),
        ("gate", "1"),
        ("gate", "2"),
    ]
    assert everything["parameters"]["replica"] == served.serving.replica
    assert len(served.get("/v2/models/gate/stats").json["model_stats"]) == 2


def test_metrics_speak_prometheus(served: World) -> None:
    """Text, or OpenMetrics where it is asked for; the replica that spoke is in a header."""
    served.post("/v1/models/gate:predict", {"instances": [{"x": 1}]})

    plain = served.get("/metrics")
    modern = served.get("/metrics", accept="application/openmetrics-text; version=1.0.0")

    assert plain.headers["content-type"].startswith("text/plain")
    assert modern.headers["content-type"].startswith("application/openmetrics-text")
    assert modern.body.endswith(b"# EOF\n")
    assert plain.headers["x-fivefold-replica"] == served.serving.replica
    text = plain.body.decode()
    labels = 'code="ok",model="gate",pattern="online",transport="http",version="2"'
    assert re.search(rf"^fivefold_requests_total{{{labels}}} [1-9]", text, re.MULTILINE)
    assert "fivefold_bundle_info{" in text
    assert 'fivefold_inflight{pattern="online"} 0.0' in text


def test_a_bundles_files_are_served_by_digest(served: World) -> None:
    """Every file of the bundle, with its sha256 as ETag; a device that has it gets 304."""
    bundle = served.serving.models.find("gate", "1").bundle
    for name in bundle.names():
        path = f"/v1/models/gate/versions/1/bundle/{name}"
        reply = served.get(path)

        assert reply.body == bundle.read(name)
        assert reply.headers["etag"] == f'"{hashlib.sha256(reply.body).hexdigest()}"'
        for tag in (reply.headers["etag"], f'W/{reply.headers["etag"]}, "x"', "*"):
            again = served.get(path, if_none_match=tag)
            assert (again.status, again.body, again.headers["etag"]) == (304, b"", reply.headers["etag"])
        assert served.get(path, if_none_match='"x"').status == 200
    assert served.get("/v1/models/gate/versions/1/bundle").json == json.loads(bundle.read("bundle.json"))
    assert served.get("/v1/models/gate/contract").json == bundle.contract.to_json()
    assert served.get("/v1/models/gate/bundle/../secret").code == "not_found"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/gat",
        "/v1/models/gat/contract",
        "/v1/models/gat/bundle/x",
        "/v2/models/gat",
        "/v2/models/gat/ready",
        "/v2/models/gat/stats",
        "/v2/models/gat/config",
    ],
)
def test_a_model_that_is_not_there_is_not_found(served: World, path: str) -> None:
    """On every route of a model."""
    reply = served.get(path)

    assert (reply.status, reply.code, reply.json["help"]) == (404, "model_not_found", "did you mean 'gate'?")


def test_a_version_that_is_not_there_is_not_found(served: World) -> None:
    """With the versions that are."""
    reply = served.get("/v2/models/gate/versions/3")

    assert (reply.status, reply.code, reply.json["help"]) == (404, "version_not_found", "versions: 1, 2")


@pytest.mark.parametrize(
    "path", ["/nothing", "/v1", "/v3", "/v1/models/", "/v1/models/gate/", "/v2/models/gate/infer/x", "//v2"]
)
def test_no_such_route(served: World, path: str) -> None:
    """404 in our words, counted and logged."""
    before = served.count("not_found")
    with log_lines() as lines:
        reply = served.get(path, x_request_id="lost")

    assert (reply.status, reply.code) == (404, "not_found")
    assert served.count("not_found") == before + 1
    assert (lines[-1]["code"], lines[-1]["request_id"]) == ("not_found", "lost")


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/v2/models/gate/infer/", "/v2/models/gate/infer"),
        ("//v2/models/gate/infer", "/v2/models/gate/infer"),
        ("/v1//models/gate:predict/", "/v1/models/gate:predict"),
        ("/v2/health/ready//", "/v2/health/ready"),
    ],
)
def test_slashes_that_no_route_has_are_not_found_with_the_path_that_was_meant(
    served: World, path: str, meant: str
) -> None:
    """Never a redirect, which clients follow without the body, or with a key."""
    reply = served.post(path, {"instances": []})

    assert (reply.status, reply.code) == (404, "not_found")
    assert f"did you mean {meant}?" in reply.json["help"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/livez", "GET, HEAD, OPTIONS"),
        ("DELETE", "/v1/models/gate", "GET, HEAD, OPTIONS"),
        ("GET", "/v2/models/gate/infer", "OPTIONS, POST"),
        ("PUT", "/v2/models/gate/versions/1/infer", "OPTIONS, POST"),
        ("GET", "/v2/repository/index", "OPTIONS, POST"),
        ("TRACE", "/", "GET, HEAD, OPTIONS"),
        ("PUT", "/v1/models/gate:predict", "OPTIONS, POST"),
        ("GET", "/v1/models/gate:predict", "OPTIONS, POST"),
        ("HEAD", "/v1/models/gate/versions/1:predict", "OPTIONS, POST"),
    ],
)
def test_another_method_is_told_which_ones_there_are(served: World, method: str, path: str, allowed: str) -> None:
    """405 with Allow, in our words."""
    reply = served.ask(method, path)

    assert (reply.status, reply.headers["allow"]) == (405, allowed)
    if method == "HEAD":
        assert reply.body == b""
    else:
        assert reply.code == "method_not_allowed"


def test_options_and_head(served: World) -> None:
    """OPTIONS names the methods; HEAD is GET without the body."""
    for path, allowed in (("/v1/models/gate:predict", "OPTIONS, POST"), ("/v2", "GET, HEAD, OPTIONS")):
        reply = served.ask("OPTIONS", path)
        assert (reply.status, reply.headers["allow"], reply.body) == (204, allowed, b"")
    got, head = served.get("/v2"), served.ask("HEAD", "/v2")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", got.headers["content-length"])


def test_what_is_not_implemented_says_so(served: World) -> None:
    """501 for loading, unloading and explanations."""
    for path in ("load", "unload"):
        reply = served.ask("POST", f"/v2/repository/models/gate/{path}", dumps({}))
        assert (reply.status, reply.code) == (501, "not_implemented")
    for path in ("/v1/models/gate:explain", "/v1/models/gate/versions/1:explain"):
        assert served.post(path, {"instances": []}).code == "not_implemented"
    assert served.post("/v1/models/gate:classify", {}).code == "not_found"


def test_json_routes_honour_accept(served: World) -> None:
    """A client that wants only HTML gets 406 from them, and the page from `/`."""
    assert served.get("/v2", accept="text/html").code == "not_acceptable"
    page = served.get("/", accept="text/html")
    assert page.status == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"


def test_who_does_not_ask_for_html_gets_liveness_at_the_front(served: World) -> None:
    """As KServe's V1 client wants it; caches are told that the answer depends on Accept."""
    browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    shown, plain, any_type = served.get("/", accept=browser), served.get("/"), served.get("/", accept="*/*")

    assert shown.body.startswith(b"<!doctype html>")
    assert plain.json == any_type.json == {"status": "alive"}
    assert [reply.headers["vary"] for reply in (shown, plain, any_type)] == [
        "accept, accept-encoding",
        "accept",
        "accept",
    ]


def test_page_and_documentation_load_nothing_from_elsewhere(served: World) -> None:
    """Their policy forbids it, and there is no foreign address in them."""
    for path in ("/", "/docs"):
        reply = served.get(path, accept="text/html")
        text = reply.body.decode()
        assert reply.status == 200
        assert not re.search(r"(src|href)=[\"']?(https?:)?//", text)
        assert "default-src" in reply.headers["content-security-policy"]
        assert reply.headers["x-content-type-options"] == "nosniff"
    assert "/v2/models/gate/versions/1/infer" in served.get("/docs").body.decode()
    assert "<script" not in served.get("/docs").body.decode()


def test_every_file_that_the_page_asks_for_is_there(served: World) -> None:
    """What index.html links to is served."""
    links = re.findall(r"(?:src|href)=\"([^\"#]+)\"", served.get("/", accept="text/html").body.decode())

    assert links
    for link in links:
        assert served.get("/" + link.removeprefix("./").lstrip("/")).status == 200, link


def test_the_page_can_be_left_out(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Then `/` has liveness alone."""
    with world([gate_bundle(tmp_path_factory.mktemp("plain") / "gate")], page=False) as out:
        assert out.get("/").json == {"status": "alive"}
        assert out.get("/", accept="text/html").code == "not_acceptable"
        assert out.get("/page/page.js").code == "not_found"
        assert out.get("/docs").status == 200


def test_everything_works_below_a_root_path(served: World) -> None:
    """As a proxy or a mount puts it: the lean path, the others, and what is refused."""
    body = dumps({"instances": [{"x": 1}]})

    assert served.ask("POST", "/v1/models/gate:predict", body, root_path="/below").json["predictions"] == [{"y": 2.0}]
    assert served.ask("GET", "/v2/models/gate", root_path="/below").status == 200
    assert served.ask("GET", "/nothing", root_path="/below").code == "not_found"


def test_an_exception_behind_the_framework_is_internal(served: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where no handler of ours is in between: the framework's own text never reaches the caller."""

    def broken() -> bool:
        raise RuntimeError("a secret of ours")

    monkeypatch.setattr(served.serving.telemetry, "expose", lambda _: broken())
    with log_lines() as lines:
        reply = served.get("/metrics")

    assert (reply.status, reply.code) == (500, "internal")
    assert b"secret" not in reply.body
    assert "a secret of ours" in lines[-1]["exception"]
