"""The client against real servers of ours: uvicorn and grpc.aio on loopback, one model behind both."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import json
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from tests.support.both_transports import serving
from tests.support.listening import listening

from fivefold.client import AsyncClient, Client
from fivefold.client.retry import Retries, error_of
from fivefold.client.transports import is_grpc
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import CODES, ContractError, FivefoldError, Interrupted, NotFound, Unavailable

_MODEL = b"""
import numpy as np

class Site:
    def predict(self, columns):
        total = columns["x"] + columns["image"].sum(axis=(1, 2))
        ages = ["?" if null else "old" if old else "new" for old, null in zip(columns["old"], columns.nulls["old"])]
        return {"total": total, "site": columns["site"], "seen": columns["n"], "age": ages}
"""
_CONTRACT = {
    "format": 1,
    "name": "site",
    "version": "1.0.0",
    "inputs": [
        {"name": "x", "dtype": "float64", "maximum": 60, "aliases": ["ex"]},
        {"name": "image", "dtype": "float32", "shape": [2, 2]},
        {"name": "site", "dtype": "string", "enum": ["left", "right"], "default": "left"},
        {"name": "n", "dtype": "int16", "nullable": True, "null_value": -1, "default": None, "minimum": 0},
        {"name": "old", "dtype": "bool", "nullable": True, "null_value": False, "default": None},
    ],
    "outputs": [
        {"name": "total", "dtype": "float64"},
        {"name": "site", "dtype": "string"},
        {"name": "seen", "dtype": "int16", "nullable": True, "null_value": -1},
        {"name": "age", "dtype": "string"},
    ],
}
_ROW = {"x": 1.5, "image": [[1, 2], [3, 4]], "site": "right", "n": 7}
_ANSWER = {"total": 11.5, "site": "right", "seen": 7, "age": "?"}


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    bundle = Bundle.write(
        tmp_path_factory.mktemp("site") / "bundle",
        contract=Contract.from_json(_CONTRACT),
        model={"model/site_model.py": _MODEL},
        runtime="python",
        entry="site_model:Site",
        golden=([_ROW], [_ANSWER]),
        tolerance=0.0,
    )
    with serving([bundle]) as urls:
        yield urls


@pytest.fixture(params=["http", "grpc"])
def url(request: pytest.FixtureRequest, urls: dict[str, str]) -> str:
    return urls[request.param]


def test_records_in_records_out(url: str) -> None:
    """Both transports give the same predictions, with defaults, nulls, aliases and numpy values in the records."""
    with Client(url) as client:
        rows = [_ROW, {"ex": np.float64(2), "image": np.ones((2, 2)), "n": None}]
        answer = client.predict(rows, model="site", request_id="r-1")

    assert answer.predictions == [_ANSWER, {"total": 6.0, "site": "left", "seen": None, "age": "?"}]
    assert answer.metadata["request_id"] == "r-1"
    assert answer.metadata["transport"] == ("grpc" if url.startswith("grpc") else "http")
    assert answer.metadata["contract"] == "site@1.0.0"


def test_null_is_never_sent_as_a_value(url: str) -> None:
    """Where null_value is a value, records have null; tensors leave it out where it is the default, or refuse it."""
    with Client(url) as client:
        old = [[_ROW | {"old": given} for given in rows] for rows in ([None], [False, True], [None, False])]
        ages = [[row["age"] for row in client.predict(rows, model="site").predictions] for rows in old[:2]]
        assert ages == [["?"], ["new", "old"]]
        if url.startswith("http"):
            assert [row["age"] for row in client.predict(old[2], model="site").predictions] == ["?", "new"]
        else:
            with pytest.raises(ContractError) as refused:
                client.predict(old[2], model="site")
            assert (refused.value.code, refused.value.path) == ("null_not_allowed", "inputs.old[0]")
            assert "false is a value" in refused.value.message
            assert "send records over HTTP" in str(refused.value.help)


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ([True, None], "[1]"),
        (np.array(["a", np.nan], object), "[1]"),
        (np.ma.array([1, 2, 3], mask=[False, False, True]), "[2]"),
        (np.ma.array([[1.0, 2.0]], mask=[[False, True]]), "[0][1]"),
    ],
)
def test_arrays_with_missing_elements_are_refused(url: str, given: Any, where: str) -> None:
    """None, NaN among objects and masked elements have no spelling in a tensor; nothing is sent in their place."""
    with Client(url) as client, pytest.raises(ContractError) as refused:
        client.infer({"old": given}, model="site")

    assert (refused.value.code, refused.value.path) == ("null_not_allowed", f"inputs.old{where}")


def test_arrays_in_arrays_out(url: str) -> None:
    """Tensors travel in binary, bit for bit, and outputs can be chosen."""
    arrays = {"x": np.array([0.1, 0.2]), "image": np.zeros((2, 2, 2), np.float32), "site": ["left", "right"]}
    with Client(url) as client:
        everything = client.infer(arrays, model="site", version="1")
        chosen = client.infer(arrays, model="site", outputs=["total"])

    assert everything.outputs["total"].tobytes() == np.array([0.1, 0.2]).tobytes()
    assert everything.outputs["site"].tolist() == [b"left", b"right"]
    assert everything.outputs["seen"].dtype == np.int16
    assert list(chosen.outputs) == ["total"]


@pytest.mark.parametrize(
    ("row", "code", "path"),
    [
        ({**_ROW, "x": 61.5}, "out_of_range", "inputs.x[0]"),
        ({**_ROW, "x": "a"}, "wrong_type", "inputs.x[0]"),
        ({**_ROW, "image": [1, 2, 3]}, "wrong_shape", "inputs.image[0]"),
        ({**_ROW, "sight": "left"}, "unknown_field", "inputs.sight"),
        ({"x": 1}, "missing_field", "inputs.image"),
    ],
)
def test_errors_are_the_servers_own(url: str, row: dict, code: str, path: str) -> None:
    """A bad record raises the same code, path and details whichever way it went."""
    with Client(url) as client, pytest.raises(ContractError) as caught:
        client.predict([row], model="site")

    assert (caught.value.code, caught.value.path) == (code, path)
    assert [(item.code, item.path) for item in caught.value.details] == [(code, path)]
    assert caught.value.message


def test_an_error_of_the_server_over_binary(url: str) -> None:
    """A tensor that breaks the contract is refused by the server with code and path."""
    with Client(url) as client, pytest.raises(ContractError) as caught:
        client.infer({"x": np.array([1.0, 99.0]), "image": np.zeros((2, 2, 2))}, model="site")

    assert (caught.value.code, caught.value.path) == ("out_of_range", "inputs.x[1]")


def test_what_is_not_there(url: str) -> None:
    """Unknown models and versions are named so."""
    with Client(url) as client:
        with pytest.raises(NotFound) as no_model:
            client.predict([_ROW], model="sight")
        with pytest.raises(NotFound) as no_version:
            client.infer({"x": [1.0]}, model="site", version="9")
        ready = client.ready(), client.ready("site"), client.ready("sight")

    assert no_model.value.code == "model_not_found"
    assert no_version.value.code == "version_not_found"
    assert ready == (True, True, False)


def test_contract_and_index(url: str) -> None:
    """The contract and the list of models come over either transport."""
    with Client(url) as client:
        contract, models = client.contract("site"), client.models()

    assert contract == Contract.from_json(_CONTRACT)
    assert [(item["name"], item["version"], item["state"]) for item in models] == [("site", "1", "READY")]


def test_async_client_does_the_same(url: str) -> None:
    """The async client runs the same flows, many at once."""

    async def ask() -> list[float]:
        async with AsyncClient(url) as client:
            assert await client.ready()
            answers = await asyncio.gather(
                *(client.predict([{**_ROW, "x": float(value)}], model="site") for value in range(20))
            )
            with contextlib.suppress(NotFound):
                await client.infer({"x": [1.0]}, model="none")
            assert (await client.contract("site")).name == "site"
            assert await client.models()
        return [answer.predictions[0]["total"] for answer in answers]

    assert asyncio.run(ask()) == [10.0 + value for value in range(20)]


class _Flaky(http.server.BaseHTTPRequestHandler):
    """Answers what the test has queued, and writes down what it saw."""

    script: list[tuple[int, dict[str, str], bytes]]
    seen: list[dict[str, str]]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        type(self).seen.append({key.lower(): value for key, value in self.headers.items()})
        status, headers, body = type(self).script.pop(0)
        self.send_response(status)
        for key, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def flaky() -> Iterator[tuple[str, type[_Flaky]]]:
    handler = type("Handler", (_Flaky,), {"script": [], "seen": []})
    with listening(handler) as url:
        yield url, handler


_GOOD = (200, {"content-type": "application/json"}, b'{"predictions": [{"y": 1}], "metadata": {}}')


def _refusal(code: str, status: int, **headers: str) -> tuple[int, dict[str, str], bytes]:
    return (
        status,
        {key.replace("_", "-"): value for key, value in headers.items()},
        json.dumps({"code": code, "error": "e"}).encode(),
    )


def test_retries_wait_as_told_and_keep_the_request_id(flaky: tuple[str, type[_Flaky]]) -> None:
    """503 and 429 are tried again under the same request id, each attempt with the seconds that are left."""
    url, handler = flaky
    handler.script[:] = [
        _refusal("overloaded", 503, retry_after="0.01"),
        _refusal("rate_limited", 429, retry_after="0"),
        _GOOD,
    ]
    with Client(url) as client:
        assert client.predict([{}], model="m", timeout=20).predictions == [{"y": 1}]

    assert len({seen["x-request-id"] for seen in handler.seen}) == 1
    left = [float(seen["x-request-timeout"]) for seen in handler.seen]
    assert left == sorted(left, reverse=True)
    assert left[0] <= 20


def test_a_wait_beyond_the_deadline_is_not_begun(flaky: tuple[str, type[_Flaky]]) -> None:
    """Retry-After past the deadline raises at once, with what the server said."""
    url, handler = flaky
    handler.script[:] = [_refusal("overloaded", 503, retry_after="3600")]
    with Client(url) as client, pytest.raises(Unavailable) as caught:
        client.predict([{}], model="m", timeout=5)

    assert caught.value.code == "overloaded"
    assert caught.value.retry_after == 3600
    assert len(handler.seen) == 1


def test_failures_of_the_model_are_not_retried(flaky: tuple[str, type[_Flaky]]) -> None:
    """What trying again cannot mend is raised at once."""
    url, handler = flaky
    handler.script[:] = [_refusal("model_failed", 500)]
    with Client(url) as client, pytest.raises(FivefoldError) as caught:
        client.predict([{}], model="m")

    assert caught.value.code == "model_failed"
    assert len(handler.seen) == 1


def test_an_answer_from_something_on_the_way(flaky: tuple[str, type[_Flaky]]) -> None:
    """A proxy's plain text becomes an error with a code and its words."""
    url, handler = flaky
    handler.script[:] = [(502, {}, b"Bad Gateway")]
    with Client(url) as client, pytest.raises(FivefoldError, match="Bad Gateway") as caught:
        client.predict([{}], model="m")

    assert caught.value.code == "internal"


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_nobody_listens(scheme: str) -> None:
    """An unreachable server is `not_ready` after the attempts, and `ready` is simply False."""
    url = f"{scheme}://127.0.0.1:1"
    with Client(url, retries=Retries(attempts=2, first=0.001), timeout=10) as client:
        assert not client.ready()
        with pytest.raises(Unavailable) as caught:
            client.infer({"x": [1.0]}, model="m")

    assert caught.value.code == "not_ready"


def test_time_runs_out_while_a_server_is_silent() -> None:
    """A server that accepts and says nothing ends in `deadline_exceeded`."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with Client(f"http://127.0.0.1:{port}") as client, pytest.raises(Interrupted) as caught:
            client.predict([{}], model="m", timeout=0.2)

    assert caught.value.code == "deadline_exceeded"


@pytest.mark.parametrize("code", CODES)
def test_every_code_comes_back_as_its_own_class(code: str) -> None:
    """Whatever code a server sends, the client raises the class that owns it."""
    error = error_of({"code": code, "error": "inputs.x: sentence", "path": "inputs.x"})

    assert code in type(error).codes
    assert error.code == code
    assert str(error) == "inputs.x: sentence"


def test_an_unknown_code_keeps_its_words() -> None:
    """A newer server's code is not lost."""
    assert "brand_new" in str(error_of({"code": "brand_new", "error": "x"}))


def test_urls() -> None:
    """The scheme chooses the transport; any other is refused."""
    assert [is_grpc(url) for url in ("http://a", "https://a", "grpc://a", "grpcs://a:1")] == [False, False, True, True]
    with pytest.raises(ValueError, match="ftp"):
        is_grpc("ftp://a")


def test_another_copy_of_the_protocol_does_not_clash() -> None:
    """The client's messages live in a pool of their own, beside the server's in the default one."""
    from google.protobuf import descriptor_pool

    from fivefold.client.grpc_client import message
    from fivefold.serving.grpc.proto import inference_pb2

    assert message("ModelInferRequest").DESCRIPTOR.file.pool is not descriptor_pool.Default()
    assert inference_pb2.ModelInferRequest.DESCRIPTOR.file.pool is descriptor_pool.Default()
    assert grpc.StatusCode.OK.value[0] == 0
