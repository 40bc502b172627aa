"""Clients that ask mixed questions on every wire, and an account in which every question ends.

Each client has connections of its own (httpx, grpc.aio) and never asks twice. A question is answered *right*, answered
*wrong*, or *lost*: the connection broke, or somebody said that nobody can answer now. What is asked is `questions`'s;
starting hosts, and what may be lost, is left to the tests.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import ssl
import struct
import time
from collections import Counter
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import httpx
import numpy as np

from fivefold.serving.grpc.proto import inference_pb2 as wire
from tests.conformance.asking import metadata
from tests.conformance.cases import RawTensor
from tests.conformance.transports import DATATYPES, DTYPES, LISTS, SERVICE, refusal_of_status
from tests.support.questions import WIRES, Question, compact
from tests.support.serve_process import Host

SECONDS = 60.0
"""Later than that an answer counts as lost."""

BURST = 4
"""Messages at most that a stream's client writes before it reads."""

AWAY = ("not_ready", "overloaded")
"""Codes that say that nobody can answer now."""

_CHANNEL = [
    ("grpc.use_local_subchannel_pool", 1),  # a connection for each client
    ("grpc.enable_retries", 0),
    # A channel that found nobody looks again at the next call's pace, not minutes later.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
]


class Lost(Exception):
    """No answer came; the message says how the question was lost."""


@dataclass(frozen=True)
class Answer:
    """What came back: `outputs` and `metadata`, or `refused` with code and path."""

    outputs: dict[str, list[Any]] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    refused: tuple[str, str] | None = None


@dataclass
class Account:
    """What became of the questions.

    `times` are those of the right answers (`time.perf_counter`), `longest` is the longest wait for any answer by wire,
    in seconds; `broken` counts streams that broke with nothing in work.
    """

    sent: int = 0
    wrong: list[str] = field(default_factory=list)
    lost: Counter[str] = field(default_factory=Counter)
    kinds: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)
    longest: dict[str, float] = field(default_factory=dict)
    streak: int = 0
    broken: int = 0

    @property
    def right(self) -> int:
        """Questions answered as they must be."""
        return len(self.times)

    def close(self, question: Question, on: str, problem: str | None) -> None:
        """An answer came; `problem` is what is wrong with it."""
        self.kinds[on, *question.kind] += 1
        if problem is None:
            self.times.append(time.perf_counter())
            self.streak += 1
        else:
            self.wrong.append(f"{on} {question.kind}: {problem}")
            self.streak = 0

    def lose(self, on: str, how: str) -> None:
        """No answer came."""
        self.lost[f"{on}: {how}"] += 1
        self.streak = 0

    @staticmethod
    def of(accounts: Sequence[Account]) -> Account:
        """All of them as one; it must be balanced."""
        total = Account()
        for account in accounts:
            total.sent += account.sent
            total.wrong += account.wrong
            total.lost += account.lost
            total.kinds += account.kinds
            total.times += account.times
            total.broken += account.broken
            for on, seconds in account.longest.items():
                total.longest[on] = max(total.longest.get(on, 0.0), seconds)
        total.times.sort()
        assert total.sent == total.right + len(total.wrong) + total.lost.total(), total
        return total

    def __str__(self) -> str:
        waits = ", ".join(f"{on} {seconds * 1e3:.0f}" for on, seconds in sorted(self.longest.items()))
        return (
            f"sent {self.sent}, right {self.right}, wrong {len(self.wrong)}, lost {self.lost.total()} "
            f"{dict(self.lost)}, idle streams broken {self.broken}; longest wait in ms: {waits}"
        )


_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Made once: httpx would load the system's certificates for each client."""


class Client:
    """One caller with its own HTTP connection, channel and stream. Use it as `async with`."""

    def __init__(self, host: Host, index: int, asked: Sequence[Question], seed: int) -> None:
        self.account = Account()
        self._name = f"c{index}"
        self._asked = {on: _by_kind(asked, on) for on in WIRES}
        self._kinds = {on: itertools.count(index) for on in WIRES}
        self._chance = random.Random(f"{seed}/{index}")
        limits = httpx.Limits(max_connections=1)
        self._http = httpx.AsyncClient(
            base_url=host.url, timeout=SECONDS, limits=limits, verify=_NO_TLS, trust_env=False
        )
        self._channel = grpc.aio.insecure_channel(host.grpc, _CHANNEL)
        self._infer = self._channel.unary_unary(
            f"{SERVICE}/ModelInfer", wire.ModelInferRequest.SerializeToString, wire.ModelInferResponse.FromString
        )
        self._open = self._channel.stream_stream(
            f"{SERVICE}/ModelStreamInfer",
            wire.ModelInferRequest.SerializeToString,
            wire.ModelStreamInferResponse.FromString,
        )
        self._stream: Any = None
        self._streams = 0
        self._written = 0

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.cancel()
        await self._http.aclose()
        await self._channel.close()

    async def turn(self) -> None:
        """Ask one question, or a burst of them on the stream, and enter what became of it."""
        on = self._chance.choice(WIRES)
        if on == "stream":
            await self._burst([self._question(on) for _ in range(self._chance.randint(1, BURST))])
            return
        question = self._question(on)
        self.account.sent += 1
        identity = f"{self._name}-{self.account.sent}"
        ask = self._ask_grpc if on.startswith("grpc") else self._ask_http
        await self._enter(question, on, identity, ask(question, on, identity))

    def _question(self, on: str) -> Question:
        """Every other one has an answer; the rest go through the kinds, each client from a place of its own."""
        right, spoiled = self._asked[on]
        if self._chance.random() < 0.5:
            return self._chance.choice(right)
        return self._chance.choice(spoiled[next(self._kinds[on]) % len(spoiled)])

    async def end_stream(self) -> None:
        """Say that no more comes; the server must end the stream well, with nothing left to say."""
        if self._stream is not None:
            await self._stream.done_writing()
            assert await self._stream.read() is grpc.aio.EOF
            assert await self._stream.code() is grpc.StatusCode.OK
            self._stream = None

    async def _enter(self, question: Question, on: str, identity: str, answering: Awaitable[Answer]) -> None:
        begun = time.perf_counter()
        try:
            answer = await answering
        except Lost as how:
            self.account.lose(on, str(how))
            return
        except (AssertionError, ValueError, KeyError, httpx.DecodingError) as error:
            self.account.close(question, on, f"not an answer: {error!r}")
        else:
            self.account.close(question, on, _problem(question, on, identity, answer))
        self.account.longest[on] = max(self.account.longest.get(on, 0.0), time.perf_counter() - begun)

    async def _ask_http(self, question: Question, on: str, identity: str) -> Answer:
        headers = {"x-request-id": identity, "content-type": "application/json"}
        path = question.model + (f"/versions/{question.version}" if question.version else "")
        if on == "v1":
            path, body = f"/v1/models/{path}:predict", compact({"instances": question.records()})
        else:
            path = f"/v2/models/{path}/infer"
            body = compact({"id": identity, "inputs": [_json_tensor(question, name) for name in question.table]})
        if on == "v2-binary":
            raws = [_raw(question, name) for name in question.table]
            tensors = [_json_tensor(question, name, raw) for name, raw in zip(question.table, raws, strict=True)]
            body = compact({"id": identity, "inputs": tensors, "parameters": {"binary_data_output": True}})
            headers |= {"inference-header-content-length": str(len(body)), "content-type": "application/octet-stream"}
            body += b"".join(raws)
        try:
            response = await self._http.post(path, content=body, headers=headers)
        except httpx.TransportError as error:
            raise Lost(type(error).__name__) from error
        if response.status_code != 200:
            problem = response.json()
            if response.status_code == 503 and problem["code"] in AWAY:
                raise Lost(f"503 {problem['code']}")
            assert problem["request_id"] == response.headers["x-request-id"] == identity, problem
            return Answer(refused=(problem["code"], problem["path"]))
        assert response.headers["x-request-id"] == identity, response.headers
        if on == "v1":
            answer = response.json()
            names = list(answer["predictions"][0])
            return Answer({name: [row[name] for row in answer["predictions"]] for name in names}, answer["metadata"])
        return _tensors(response, identity)

    async def _ask_grpc(self, question: Question, on: str, identity: str) -> Answer:
        call = self._infer(
            _message(question, identity, typed=on == "grpc-typed"),
            metadata=(("x-request-id", identity),),
            timeout=SECONDS,
        )
        try:
            return _response(await call, identity)
        except grpc.aio.AioRpcError as error:
            if _broken(error):
                raise Lost(_broken(error)) from error
            return Answer(refused=refusal_of_status(error, identity).violations[0])

    async def _burst(self, asked: Sequence[Question]) -> None:
        if self._stream is not None and self._stream.done():
            # It broke since the last burst was answered: nothing is lost by that.
            self.account.broken += 1
            self._stream = None
        if self._stream is None:
            self._streams += 1
            self._written = 0
            self._stream = self._open(metadata=(("x-request-id", f"{self._name}-s{self._streams}"),))
        stream, opened = self._stream, f"{self._name}-s{self._streams}"
        numbers = range(self._written + 1, self._written + 1 + len(asked))
        self._written += len(asked)
        self.account.sent += len(asked)
        # A broken stream tells why when it is read.
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            for number, question in zip(numbers, asked, strict=True):
                await stream.write(_message(question, f"{opened}/{number}", typed=number % 2 == 0))
        for number, question in zip(numbers, asked, strict=True):
            await self._enter(question, "stream", f"{opened}/{number}", self._next(stream, f"{opened}/{number}"))

    async def _next(self, stream: Any, identity: str) -> Answer:
        if stream is not self._stream:
            raise Lost("on a stream that had broken")
        try:
            async with asyncio.timeout(SECONDS):
                message = await stream.read()
        except TimeoutError as error:
            self._stream = None
            raise Lost("TimeoutError") from error
        except grpc.aio.AioRpcError as error:
            self._stream = None
            raise Lost(_broken(error) or f"the stream ended with {error!r}") from error
        if message is grpc.aio.EOF:
            self._stream = None
            raise AssertionError("the stream ended well before its answer")
        if not message.error_message:
            return _response(message.infer_response, identity)
        parameters = message.infer_response.parameters
        told = {key: parameters[key].string_param for key in ("code", "path", "request_id") if key in parameters}
        if told["code"] in AWAY:
            raise Lost(f"UNAVAILABLE {told['code']}")
        assert (message.infer_response.id, told["request_id"]) == (identity, identity), message
        return Answer(refused=(told["code"], told.get("path", "")))


def _by_kind(asked: Sequence[Question], on: str) -> tuple[list[Question], list[list[Question]]]:
    """What a wire can spell: the questions that have answers, and the others kind by kind."""
    kinds: dict[tuple[str, str], list[Question]] = {}
    right: list[Question] = []
    for question in asked:
        if on in question.wires:
            (right if question.refused is None else kinds.setdefault(question.kind, [])).append(question)
    return right, list(kinds.values())


def _problem(question: Question, on: str, identity: str, answer: Answer) -> str | None:
    """What is wrong with an answer, or None."""
    if answer.refused != question.refused:
        return f"expected {question.refused or 'an answer'}, got {answer.refused or answer.outputs}"
    if answer.refused is not None:
        return None
    transport = "grpc" if on.startswith(("grpc", "stream")) else "http"
    if answer.metadata != (expected := metadata(question.bundle, transport, identity)):
        return f"expected {expected}, got {answer.metadata}"
    return question.disagreement(answer.outputs)


def _broken(error: grpc.aio.AioRpcError) -> str:
    """How a call was lost; empty where the server answered it, if only with an error."""
    code = dict(error.trailing_metadata() or ()).get("fivefold-code")
    if code is not None:
        return f"{error.code().name} {code}" if code in AWAY else ""
    # Without a code of ours it is not our answer: gRPC itself tells of a connection that broke.
    details = error.details() or ""
    # A write on a stream that breaks at that moment ends as the client's own INTERNAL, which hides why it broke.
    torn = error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED) or any(
        sign in details for sign in ("RST_STREAM", "Internal error from Core")
    )
    assert torn, error
    return f"{error.code().name} ({details.partition(':')[0]})"


def _json_tensor(question: Question, name: str, raw: bytes | None = None) -> dict[str, Any]:
    tensor = {"name": name, "shape": [question.rows], "datatype": DATATYPES[question.dtype(name)]}
    if raw is None:
        return tensor | {"data": question.table[name]}
    return tensor | {"parameters": {"binary_data_size": len(raw)}}


def _raw(question: Question, name: str) -> bytes:
    values, dtype = question.table[name], question.dtype(name)
    if dtype != "string":
        return np.array(values, np.dtype(dtype).newbyteorder("<")).tobytes()
    return b"".join(struct.pack("<I", len(item)) + item for item in (value.encode() for value in values))


def _message(question: Question, identity: str, *, typed: bool) -> wire.ModelInferRequest:
    message = wire.ModelInferRequest(model_name=question.model, model_version=question.version or "", id=identity)
    for name, values in question.table.items():
        datatype = DATATYPES[question.dtype(name)]
        tensor = message.inputs.add(name=name, datatype=datatype, shape=[question.rows])
        if typed:
            given = [value.encode() for value in values] if datatype == "BYTES" else values
            getattr(tensor.contents, LISTS[datatype]).extend(given)
        else:
            message.raw_input_contents.append(_raw(question, name))
    return message


def _tensors(response: httpx.Response, identity: str) -> Answer:
    length = response.headers.get("inference-header-content-length")
    at = len(response.content) if length is None else int(length)
    head = httpx.Response(200, content=response.content[:at]).json()
    outputs = {}
    for output in head["outputs"]:
        if "data" in output:
            flat = output["data"]
        else:
            size = output["parameters"]["binary_data_size"]
            flat = _unpacked(output["datatype"], response.content[at : at + size])
            at += size
        outputs[output["name"]] = _shaped(flat, output["shape"])
    told = head["parameters"]
    assert at == len(response.content)
    assert (head["id"], head["model_name"], head["model_version"]) == (identity, told["model"], told["version"]), head
    return Answer(outputs, told)


def _response(response: wire.ModelInferResponse, identity: str) -> Answer:
    outputs = {}
    for index, output in enumerate(response.outputs):
        if response.raw_output_contents:
            flat = _unpacked(output.datatype, response.raw_output_contents[index])
        else:
            flat = list(getattr(output.contents, LISTS[output.datatype]))
            flat = [item.decode() for item in flat] if output.datatype == "BYTES" else flat
        outputs[output.name] = _shaped(flat, list(output.shape))
    told = {key: value.string_param for key, value in response.parameters.items() if value.HasField("string_param")}
    assert (response.id, response.model_name, response.model_version) == (identity, told["model"], told["version"])
    return Answer(outputs, told)


def _unpacked(datatype: str, raw: bytes) -> list[Any]:
    flat: list[Any] = RawTensor("", DTYPES[datatype], (), raw).array().tolist()
    return [item.decode() for item in flat] if datatype == "BYTES" else flat


def _shaped(flat: Sequence[Any], shape: Sequence[int]) -> list[Any]:
    items = np.empty(len(flat), object)
    items[:] = flat
    nested: list[Any] = items.reshape(shape).tolist()
    return nested
