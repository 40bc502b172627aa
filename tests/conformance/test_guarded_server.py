"""Who is let in, over both transports in this process: one table of callers, one code for each, whatever the wire."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.runtime.scorer import Scorer
from fivefold.core.telemetry import Telemetry
from fivefold.guard import Guard, keys
from fivefold.serving.dataplane import Dataplane
from fivefold.serving.grpc.grpc_server import server
from fivefold.serving.grpc.proto import inference_pb2 as wire
from fivefold.serving.http import app
from fivefold.serving.limits import ServingLimits
from fivefold.serving.repository import Model, Repository

INFER = "/v2/models/one-number/infer"
TENSOR = {"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]}


@dataclass(frozen=True)
class Caller:
    """What is sent (`KEY` stands for a key of its own), after how many requests, and what must come."""

    sent: dict[str, str]
    code: str
    before: int = 0
    key: dict[str, Any] = field(default_factory=dict)
    """How the key is made that `KEY` stands for."""


CALLERS = {
    "no key": Caller({}, "unauthenticated"),
    "a key": Caller({"authorization": "Bearer KEY"}, "ok"),
    "a key in small letters": Caller({"authorization": "bearer KEY"}, "ok"),
    "a key in its own header": Caller({"x-api-key": "KEY"}, "ok"),
    "a wrong secret": Caller({"authorization": "Bearer KEYx"}, "unauthenticated"),
    "an unknown key": Caller({"authorization": f"Bearer ff_00000000_{'a' * 43}"}, "unauthenticated"),
    "another scheme": Caller({"authorization": "Basic KEY"}, "unauthenticated"),
    "a key without its scheme": Caller({"authorization": "KEY"}, "unauthenticated"),
    "neither key nor token": Caller({"authorization": "Bearer hunter2"}, "unauthenticated"),
    "a good key behind a bad one": Caller({"authorization": "Bearer x", "x-api-key": "KEY"}, "unauthenticated"),
    "another scope": Caller({"authorization": "Bearer KEY"}, "forbidden", key={"scopes": ["admin", "sync"]}),
    "an old key": Caller({"authorization": "Bearer KEY"}, "unauthenticated", key={"expires": "2020-01-01T00:00:00Z"}),
    "one below the limit": Caller({"authorization": "Bearer KEY"}, "ok", 1, {"rate": 0.001, "burst": 2}),
    "one above the limit": Caller({"authorization": "Bearer KEY"}, "rate_limited", 2, {"rate": 0.001, "burst": 2}),
}


class GuardedServer:
    """A guarded server of one model, asked over HTTP and gRPC, with a fresh key for each ask."""

    def __init__(self, bundle: Bundle, place: Path) -> None:
        self._place = place
        keys.add(place, keys.make("first")[1])
        self._runner = asyncio.Runner()
        settings = ServingLimits(keys=str(place), log_sample=0.0)
        guard = Guard.of(settings)
        assert guard is not None
        self._guard = guard
        telemetry = Telemetry("online", log_sample=0.0)
        self._serving = Dataplane(Repository([Model(bundle, Scorer.open(bundle))]), settings, telemetry, guard)
        self._runner.run(self._open())

    async def _open(self) -> None:
        transport = httpx.ASGITransport(app(self._serving, self._serving.settings))
        self._http = httpx.AsyncClient(transport=transport, base_url="http://conformance")
        self._server = server(self._serving)
        await self._server.start()
        self._grpc = grpc.aio.insecure_channel(self._server.address)

    def ask(self, transport: str, caller: Caller) -> str:
        """The code of the last answer; `ok` where it is a prediction."""
        key, entry = keys.make("test", **caller.key)
        keys.add(self._place, entry)
        self._guard.look()
        sent = {name: text.replace("KEY", key) for name, text in caller.sent.items()}
        ask = {"http": self._over_http, "grpc": self._over_grpc}[transport]
        return [self._runner.run(ask(sent)) for _ in range(caller.before + 1)][-1]

    async def _over_http(self, sent: dict[str, str]) -> str:
        reply = await self._http.post(INFER, json={"inputs": [TENSOR]}, headers=sent)
        return "ok" if reply.status_code == 200 else str(reply.json()["code"])

    async def _over_grpc(self, sent: dict[str, str]) -> str:
        request = wire.ModelInferRequest(model_name="one-number")
        tensor = request.inputs.add(name="x", datatype="FP64", shape=[1])
        tensor.contents.fp64_contents.append(1.0)
        call = self._grpc.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        try:
            await call(request.SerializeToString(), metadata=tuple(sent.items()), timeout=20)
        except grpc.aio.AioRpcError as error:
            return str(dict(error.trailing_metadata())["fivefold-code"])
        return "ok"

    def close(self) -> None:
        async def stop() -> None:
            await self._http.aclose()
            await self._grpc.close()
            await self._server.stop(0)

        self._runner.run(stop())
        self._serving.close()
        self._runner.close()


@pytest.fixture(scope="module")
def guarded(bundles: dict[str, Bundle], tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedServer]:
    out = GuardedServer(bundles["one-number"], tmp_path_factory.mktemp("guarded") / "keys.json")
    yield out
    out.close()


@pytest.mark.parametrize("transport", ["http", "grpc"])
@pytest.mark.parametrize("who", CALLERS)
def test_who_is_let_in(guarded: GuardedServer, transport: str, who: str) -> None:
    """The same code on every transport."""
    assert guarded.ask(transport, CALLERS[who]) == CALLERS[who].code
