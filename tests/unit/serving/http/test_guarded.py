"""The guard over HTTP: which routes ask for a key, what is answered without one, and how long a request counts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support import grpc_gate
from tests.support.grpc_calls import gate_bundle
from tests.support.guarded_server import Guarded
from tests.support.http_calls import SECONDS, World, dumps, world
from tests.unit.serving.http.test_servers import running

from fivefold.serving.http.protocol import protocol_of
from fivefold.serving.http.routes import Interface

PREDICT = "/v1/models/gate:predict"
INFER = "/v2/models/gate/infer"
BODY = {"instances": [{"x": 2}]}
TENSORS = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [2.0]}]}

OPEN = {"/livez", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready", "/", "/docs", "/openapi.json"}


@pytest.fixture(autouse=True)
def _gate_is_open_again() -> Iterator[None]:
    yield
    grpc_gate.opened.set()


@pytest.fixture
def guarded(tmp_path: Path) -> Guarded:
    return Guarded(tmp_path, world)


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def paths(out: World) -> list[tuple[str, str]]:
    """Method and path of every route, with the names filled in."""
    surface = Interface(out.serving)
    routes = [*surface.server_routes(), *surface.model_routes()]
    filled = [(method, path) for method, path, _ in routes]
    fill = {"{name}": "gate", "{version}": "1", "{verb}": "explain", "{file:path}": "contract.json"}
    for word, value in fill.items():
        filled = [(method, path.replace(word, value)) for method, path in filled]
    page = [("GET", path) for path in ("/", "/docs", "/openapi.json", "/page/page.js", "/page/server.json")]
    return [*filled, *page]


def test_every_route_is_open_or_asks_for_a_key(guarded: Guarded) -> None:
    """What probes, scrapers and a page without a key need is open; nothing that says what a model is or was asked."""
    with guarded.world() as out:
        answers = {(method, path): out.ask(method, path, json=BODY) for method, path in paths(out)}
        let_in = {path for (_, path), reply in answers.items() if reply.status != 401}

        assert let_in == OPEN | {"/page/page.js", "/page/server.json"}
        for (method, path), reply in answers.items():
            if reply.status == 401:
                assert reply.code == "unauthenticated", path
                assert reply.headers["www-authenticate"] == "Bearer"
            known = out.ask(method, path, json=BODY, headers=bearer(guarded.key))
            operators = path.endswith(("/load", "/unload", "/bundle", "/input-statistics"))
            assert (known.status in (401, 403)) == operators, path


def test_what_does_not_ask_for_a_key_holds_no_model(guarded: Guarded) -> None:
    """The metrics alone name models; contracts, examples and files need a key."""
    with guarded.world() as out:
        for path in OPEN - {"/metrics"}:
            assert b"gate" not in out.get(path).body, path


@pytest.mark.parametrize(("path", "body"), [(PREDICT, BODY), (INFER, TENSORS), ("/v1/models/nobody:predict", BODY)])
def test_inference_with_and_without_a_key(guarded: Guarded, path: str, body: Any) -> None:
    """The lean path and the framework's routes ask alike; an unknown caller does not learn which models there are."""
    admin = guarded.new(scopes=["admin"])
    with guarded.world() as out:
        none, wrong = out.post(path, body), out.ask("POST", path, json=body, headers=bearer(guarded.key + "x"))
        other = out.ask("POST", path, json=body, headers=bearer(admin))
        known = out.ask("POST", path, json=body, headers=bearer(guarded.key))
        beside = out.ask("POST", path, json=body, headers={"x-api-key": guarded.key})

        assert (none.status, none.code) == (wrong.status, wrong.code) == (401, "unauthenticated")
        assert (other.status, other.code) == (403, "forbidden")
        assert known.status == beside.status == (404 if "nobody" in path else 200)
        assert out.count("unauthenticated") == 2
        assert out.count("forbidden") == 1


def test_models_are_loaded_by_admins_alone(guarded: Guarded) -> None:
    admin = guarded.new(scopes=["admin"])
    with guarded.world() as out:
        for verb in ("load", "unload"):
            path = f"/v2/repository/models/gate/{verb}"
            assert out.ask("POST", path, headers=bearer(guarded.key)).code == "forbidden"
            assert out.ask("POST", path, headers=bearer(admin)).code == "not_implemented"


FILES = ["model/gate.py", "golden.jsonl", "bundle.json", "none", "../contract.json", "contract.json/"]


@pytest.mark.parametrize("version", ["", "/versions/1"])
def test_the_bundles_files_need_a_scope_of_their_own(guarded: Guarded, version: str) -> None:
    """Whoever may ask the model reads the contract and metadata, not the model and its golden rows; and the other way
    round."""
    reader, both = guarded.new(scopes=["bundles"]), guarded.new(scopes=["infer", "bundles"])
    base = f"/v1/models/gate{version}"
    with guarded.world() as out:
        for method in ("GET", "HEAD"):
            for path in (f"{base}/bundle", *(f"{base}/bundle/{name}" for name in FILES)):
                refused = out.ask(method, path, headers=bearer(guarded.key))
                assert refused.status == 403, path
                assert out.ask(method, path).status == 401
                for key in (reader, both):
                    wanted = 404 if path.endswith(("none", "../contract.json", "/")) else 200
                    assert out.ask(method, path, headers=bearer(key)).status == wanted, path
        refused = out.ask("GET", f"{base}/bundle/golden.jsonl", headers=bearer(guarded.key))
        assert refused.code == "forbidden"
        assert refused.json["error"] == "expected the scope 'bundles', got infer"
        for path in (f"{base}/contract", f"{base}/bundle/contract.json"):
            assert out.ask("GET", path, headers=bearer(guarded.key)).json["name"] == "gate"
        for path in (base, f"/v2/models/gate{version}", f"{base}/contract"):
            assert out.ask("GET", path, headers=bearer(reader)).code == "forbidden"
        assert out.ask("POST", PREDICT, json=BODY, headers=bearer(reader)).code == "forbidden"


def test_examples_are_golden_rows_and_need_that_scope_too(guarded: Guarded) -> None:
    """The document says to whoever may ask how to ask; what the bundle's owner has recorded it says to its readers."""
    both = guarded.new(scopes=["infer", "bundles"])
    with guarded.world() as out:
        plain, whole = (out.ask("GET", "/openapi.json", headers=bearer(key)) for key in (guarded.key, both))

        assert "1.5" in json.dumps(whole.json["paths"][PREDICT])
        assert "1.5" not in plain.body.decode()
        assert plain.json["paths"].keys() == whole.json["paths"].keys()
        assert plain.json["components"]["schemas"].keys() == whole.json["components"]["schemas"].keys()
        pages = [out.ask("GET", "/docs", headers=bearer(key)).body for key in (guarded.key, both)]
        assert [b"&quot;: 1.5" in page for page in pages] == [False, True]


def test_where_nobody_is_asked_the_files_are_given_out_by_a_setting(tmp_path: Path) -> None:
    """Off by default; the contract is there all the same."""
    bundle = gate_bundle(tmp_path / "gate")
    for given, status in ((False, 403), (True, 200)):
        with world([bundle], serve_bundles=given) as out:
            for name in ("", "/bundle.json", "/golden.jsonl", "/model/gate.py"):
                assert out.get(f"/v1/models/gate/bundle{name}").status == status
            assert out.get("/v1/models/gate/bundle/contract.json").status == 200
            assert out.get("/v1/models/gate/contract").status == 200
            if not given:
                refused = out.get("/v1/models/gate/bundle/golden.jsonl")
                assert refused.code == "forbidden"
                assert "FIVEFOLD_SERVE_BUNDLES=true" in refused.json["help"]


def test_the_rate_is_limited_by_key(guarded: Guarded) -> None:
    """429 with Retry-After for the one, nothing for the other; metadata counts as any request does."""
    slow = guarded.new(rate=0.5, burst=2)
    with guarded.world() as out:
        first = out.ask("POST", PREDICT, json=BODY, headers=bearer(slow))
        second = out.ask("GET", "/v2/models/gate", headers=bearer(slow))
        third = out.ask("POST", PREDICT, json=BODY, headers=bearer(slow))
        other = out.ask("POST", PREDICT, json=BODY, headers=bearer(guarded.key))

        assert (first.status, second.status, other.status) == (200, 200, 200)
        assert (third.status, third.code, third.headers["retry-after"]) == (429, "rate_limited", "2")


def test_who_is_not_known_need_not_send_a_body(guarded: Guarded) -> None:
    """It is refused by its headers: nobody makes the server hold what it will not read."""
    with guarded.world() as out:
        for path in (PREDICT, "/v1/models/nobody:predict"):
            asking = out.exchange("POST", path, {"content-type": "application/json", "content-length": "1000"})

            assert out.run(asking.run()).code == "unauthenticated"


def test_a_request_counts_until_it_has_ended(guarded: Guarded) -> None:
    """While it is in the model, and also when it failed or its caller went away."""
    key = guarded.new(concurrency=1)
    with guarded.world() as out:
        headers = bearer(key) | {"content-type": "application/json"}
        asking = out.exchange("POST", PREDICT, headers)
        asking.say(dumps({"instances": [{"x": -1}]}))

        async def while_it_waits() -> Any:
            grpc_gate.opened.clear()
            waiting = asyncio.ensure_future(asking.run())
            while not out.serving.inflight:
                await asyncio.sleep(0.005)
            other = out.exchange("POST", PREDICT, headers)
            other.say(dumps(BODY))
            refused = await other.run()
            grpc_gate.opened.set()
            return refused, await waiting

        refused, answered = out.run(while_it_waits())
        assert (refused.status, refused.code, answered.status) == (429, "rate_limited", 200)
        for x in (13, 2000, 1):
            reply = out.ask("POST", PREDICT, json={"instances": [{"x": x}]}, headers=bearer(key))
            assert reply.status == {13: 500, 2000: 422, 1: 200}[x]

        gone = out.exchange("POST", PREDICT, headers)
        gone.say(b"{", more=True)
        gone.hang_up()
        out.run(gone.run())
        assert out.ask("POST", PREDICT, json=BODY, headers=bearer(key)).status == 200


def test_under_the_early_connection_class(guarded: Guarded) -> None:
    """The shortest way asks like every other, and a refusal leaves the connection usable."""
    with guarded.world() as out:

        async def converse() -> list[int]:
            async with (
                running(out.app, protocol_of(out.app)) as port,  # type: ignore[arg-type]  # uvicorn takes a class too
                httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=SECONDS) as asking,
            ):
                shown = ({}, bearer(guarded.key), bearer("ff_x"), {"x-api-key": guarded.key})
                return [(await asking.post(PREDICT, json=BODY, headers=given)).status_code for given in shown]

        assert out.run(converse()) == [401, 200, 401, 200]


def test_the_document_says_how_and_to_whom(guarded: Guarded) -> None:
    """Who shows no key reads how to show one; who shows one reads the models; a wrong one is refused here too."""
    admin = guarded.new(scopes=["admin"])
    with guarded.world() as out:
        part, whole = out.get("/openapi.json"), out.ask("GET", "/openapi.json", headers=bearer(guarded.key))

        assert PREDICT not in part.json["paths"]
        assert PREDICT in whole.json["paths"]
        assert "x-api-key" in whole.headers["vary"]
        assert whole.headers["cache-control"] == "private, no-cache"
        for described in (part.json, whole.json):
            assert described["security"] == [{"bearer": []}, {"header": []}]
            assert described["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
            unsecured = {
                path
                for path, methods in described["paths"].items()
                if [] in [m.get("security") for m in methods.values()]
            }
            assert unsecured == OPEN - {"/", "/docs", "/openapi.json"}
        assert out.ask("GET", "/openapi.json", headers=bearer("x")).code == "unauthenticated"
        assert out.ask("GET", "/docs", headers=bearer(admin)).code == "forbidden"
        assert b"gate" in out.ask("GET", "/docs", headers=bearer(guarded.key)).body


def test_without_a_guard_nothing_is_said_of_keys(tmp_path: Path) -> None:
    with world([gate_bundle(tmp_path / "gate")]) as out:
        described = out.get("/openapi.json")

        assert "security" not in described.json
        assert "securitySchemes" not in described.json["components"]
        assert described.headers["vary"] == "accept-encoding"
        assert out.post(PREDICT, BODY).status == 200


def test_no_secret_reaches_the_log_or_an_answer(guarded: Guarded) -> None:
    """Neither a good key nor a wrong one, in no line and in no body."""
    wrong = guarded.new(scopes=["admin"])[:-4] + "aaaa"
    with guarded.world(log_sample=1.0) as out:
        said = [
            out.ask("POST", PREDICT, json=BODY, headers=bearer(shown)).body
            for shown in (guarded.key, wrong, f"{guarded.key} ", "hunter2-of-another-server")
        ]
        text = json.dumps(out.lines) + b"".join(said).decode()

        assert len(out.lines) == 4
        for secret in (guarded.key[12:], wrong[12:], "hunter2"):
            assert secret not in text
