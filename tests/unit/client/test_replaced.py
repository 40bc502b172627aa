"""A model that is replaced under a live client: its contract is read again, and no answer comes of the old one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from tests.support import grpc_calls

from fivefold.client import AsyncClient, Client
from fivefold.client.under_contract import ROUNDS
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import ContractError, NotFound, ProtocolError

_MODEL = b"""
class Model:
    def predict(self, columns):
        return {"y": columns[next(iter(columns))] * %d}
"""

Field = dict[str, Any]
X: Field = {"name": "x", "dtype": "float64", "maximum": 10}
SEVEN: Field = {"name": "x", "dtype": "float64", "default": 7}
EIGHT: Field = {"name": "x", "dtype": "float64", "default": 8}
WIDE: Field = {"name": "x", "dtype": "float64", "maximum": 1000}
RENAMED: Field = {"name": "z", "dtype": "float64"}


def bundle(place: Path, field: Field, factor: int = 1, version: str = "1", contract: str = "1.0.0") -> Bundle:
    """A model of one field, times a factor."""
    about = {"format": 1, "name": "m", "version": contract, "inputs": [field]}
    return Bundle.write(
        place,
        contract=Contract.from_json(about | {"outputs": [{"name": "y", "dtype": "float64"}]}),
        model={"model/m_model.py": _MODEL % factor},
        runtime="python",
        entry="m_model:Model",
        golden=([{field["name"]: 1.0}], [{"y": float(factor)}]),
        tolerance=0.0,
        version=version,
    )


class Proxy:
    """One address in front of servers that replace one another; `turn` says who answers a call, and may change it."""

    def __init__(self) -> None:
        self.behind: list[grpc_calls.World] = []
        self.turn: Callable[[str], int] = lambda _method: 0
        self.asked: list[str] = []
        handler = type("Handler", (grpc.GenericRpcHandler,), {"service": lambda _self, details: self._service(details)})
        self._server = grpc.server(ThreadPoolExecutor(2), handlers=(handler(),))
        self.url = f"grpc://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def _service(self, details: Any) -> Any:
        path = details.method
        name = path.rpartition("/")[2]

        def answer(raw: bytes, context: Any) -> bytes:
            self.asked.append(name)
            call = self.behind[self.turn(name)].channel.unary_unary(path)
            try:
                body, done = call.with_call(raw, timeout=20)
            except grpc.RpcError as error:
                context.set_trailing_metadata(error.trailing_metadata())
                context.abort(error.code(), error.details())
            context.set_trailing_metadata(done.trailing_metadata())
            return bytes(body)

        return grpc.unary_unary_rpc_method_handler(answer)

    def stop(self) -> None:
        self._server.stop(None).wait()


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Callable[..., Proxy]]:
    """Makes a proxy of servers with one model each."""
    running = Proxy()
    opened: list[Any] = []

    def make(*models: dict[str, Any]) -> Proxy:
        for index, model in enumerate(models):
            opened.append(grpc_calls.world([bundle(tmp_path / str(index), **model)]))
            running.behind.append(opened[-1].__enter__())
        return running

    yield make
    running.stop()
    for world in opened:
        world.__exit__(None, None, None)


def replaced(proxy: Proxy, rows: list[Any], kind: str) -> list[Any]:
    """What a client hears of rows after the first server has been replaced by the second."""
    if kind == "blocking":
        with Client(proxy.url) as client:
            client.predict([{"x": 1}], model="m")
            proxy.turn = lambda _: 1
            proxy.asked.clear()
            return client.predict(rows, model="m").predictions

    async def ask() -> list[Any]:
        async with AsyncClient(proxy.url) as client:
            await client.predict([{"x": 1}], model="m")
            proxy.turn = lambda _: 1
            proxy.asked.clear()
            return (await client.predict(rows, model="m")).predictions

    return asyncio.run(ask())


@pytest.mark.parametrize("kind", ["blocking", "async"])
@pytest.mark.parametrize(
    ("old", "new", "rows", "answers"),
    [
        # Refused here under the old contract.
        ({"field": X}, {"field": WIDE}, [{"x": 100}], [{"y": 100.0}]),
        ({"field": X}, {"field": RENAMED, "contract": "2.0.0"}, [{"z": 3}], [{"y": 3.0}]),
        # Refused there under the new one.
        ({"field": X}, {"field": {**WIDE, "name": "z", "aliases": ["x"]}}, [{"x": 3}], [{"y": 3.0}]),
        # Accepted by both, and read otherwise: the default is filled in here.
        ({"field": SEVEN}, {"field": EIGHT}, [{}], [{"y": 8.0}]),
        # Another model under the same contract.
        ({"field": X}, {"field": X, "factor": 5}, [{"x": 2}], [{"y": 10.0}]),
        # Another version.
        ({"field": SEVEN}, {"field": EIGHT, "version": "2"}, [{}], [{"y": 8.0}]),
    ],
)
def test_the_new_contract_is_read(
    proxy: Callable[..., Proxy], kind: str, old: Any, new: Any, rows: list[Any], answers: list[Any]
) -> None:
    """Whether the old one refuses, the new one does, or both accept."""
    assert replaced(proxy(old, new), rows, kind) == answers


def test_a_bad_record_stays_bad(proxy: Callable[..., Proxy]) -> None:
    """Refused under the contract as it is now: asked for once more, and no further."""
    running = proxy({"field": X})
    with Client(running.url) as client:
        client.predict([{"x": 1}], model="m")
        running.asked.clear()
        with pytest.raises(ContractError) as caught:
            client.predict([{"x": 11}], model="m")

    assert (caught.value.code, caught.value.path) == ("out_of_range", "inputs.x[0]")
    assert running.asked == ["ModelConfig"]


def test_nothing_is_asked_twice_while_nothing_changes(proxy: Callable[..., Proxy]) -> None:
    """The contract once, then one message a call."""
    running = proxy({"field": X})
    with Client(running.url) as client:
        for _ in range(3):
            client.predict([{"x": 1}], model="m")

    assert running.asked == ["ModelConfig", *["ModelInfer"] * 3]


def test_a_version_that_has_gone_is_not_found(proxy: Callable[..., Proxy]) -> None:
    """A client that names its version hears that."""
    running = proxy({"field": X}, {"field": X, "version": "2"})
    with Client(running.url) as client:
        client.predict([{"x": 1}], model="m", version="1")
        running.turn = lambda _: 1
        with pytest.raises(NotFound) as caught:
            client.predict([{"x": 1}], model="m", version="1")

    assert caught.value.code == "version_not_found"


def test_a_roll_out_that_answers_by_turns(proxy: Callable[..., Proxy]) -> None:
    """Old and new replicas side by side: each answer is that of the contract under which its records were read."""
    running = proxy({"field": SEVEN}, {"field": EIGHT})
    count = 0

    def alternating(method: str) -> int:
        nonlocal count
        count += method == "ModelInfer"
        return count // 3 % 2

    running.turn = alternating
    with Client(running.url) as client:
        answers = [client.predict([{}], model="m") for _ in range(12)]

    bundles = {answer.metadata["bundle"]: answer.predictions[0]["y"] for answer in answers}
    assert sorted(bundles.values()) == [7.0, 8.0]
    assert all(bundles[answer.metadata["bundle"]] == answer.predictions[0]["y"] for answer in answers)


def test_answers_that_never_agree_are_refused(proxy: Callable[..., Proxy]) -> None:
    """The contract always comes from one and the answer from the other: no answer is better than a wrong one."""
    running = proxy({"field": SEVEN}, {"field": EIGHT})
    running.turn = lambda method: int(method == "ModelInfer")
    with Client(running.url) as client, pytest.raises(ProtocolError) as caught:
        client.predict([{}], model="m")

    assert caught.value.code == "contract_unsupported"
    assert running.asked.count("ModelInfer") == ROUNDS


@pytest.mark.parametrize("transport", ["http", "grpc"])
def test_a_contract_that_is_asked_for_is_the_present_one(proxy: Callable[..., Proxy], transport: str) -> None:
    """Over both transports: what is kept is for reading records, and not for who wants to know."""
    fields = iter([X, WIDE])
    running = proxy({"field": X}, {"field": WIDE})

    def answer(_: httpx.Request) -> httpx.Response:
        about = {"format": 1, "name": "m", "version": "1.0.0", "inputs": [next(fields)]}
        return httpx.Response(200, json=about | {"outputs": [{"name": "y", "dtype": "float64"}]})

    there = {"transport": httpx.MockTransport(answer)} if transport == "http" else {}
    with Client(running.url if transport == "grpc" else "http://127.0.0.1", **there) as client:
        first = client.contract("m").inputs[0].maximum
        running.turn = lambda _: 1
        second = client.contract("m").inputs[0].maximum

    assert (first, second) == (10, 1000)
