"""grpc-java asks the gRPC services, of whose unary calls HAProxy makes HTTP/1.1: a plain server, and a real host."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2

from fivefold.core.bundle.bundle import Bundle
from fivefold.serving.grpc.proto import inference_pb2 as wire
from tests.support import programs, serve_process
from tests.support.grpc_calls import world

pytestmark = pytest.mark.full

SERVICE = "inference.GRPCInferenceService"
SOURCE = Path(__file__).with_name("java") / "GrpcCaller.java"
QUICK = ("-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")


@dataclass(frozen=True)
class Ended:
    """How a call ended."""

    status: str
    sentence: str
    messages: list[bytes]
    headers: dict[str, str]
    trailers: dict[str, str]


class Java:
    """A Java program with one channel."""

    def __init__(self, asked: IO[str], told: IO[str]) -> None:
        self._asked, self._told = asked, told

    def __call__(
        self, method: str, message: bytes, *headers: str, milliseconds: int = 20_000, compression: str = ""
    ) -> Ended:
        words = (f"{SERVICE}/{method}", _encoded(message), str(milliseconds), compression, *headers)
        self._asked.write("\t".join(words) + "\n")
        self._asked.flush()
        status, sentence, messages, *metadata = self._told.readline().rstrip("\n").split("\t")
        named = [each.partition("=")[::2] for each in metadata]
        return Ended(
            status,
            base64.b64decode(sentence).decode(),
            [base64.b64decode(each) for each in messages.split(",")] if messages else [],
            {name.removeprefix("h:"): value for name, value in named if name.startswith("h:")},
            {name.removeprefix("t:"): value for name, value in named if name.startswith("t:")},
        )


@contextmanager
def calling(address: str) -> Iterator[Java]:
    """The program, pointed at one server."""
    jars = programs.jars("grpc-java", "grpc-java against the gRPC services")
    command = ["java", *QUICK, "-cp", f"{jars}/*", str(SOURCE), address]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield Java(process.stdin, process.stdout)


@pytest.fixture(
    scope="module", params=["behind HAProxy", pytest.param("host", marks=[pytest.mark.host, pytest.mark.rare])]
)
def java(
    request: pytest.FixtureRequest, served: dict[str, Bundle], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Java]:
    """Pointed at a HAProxy before a server of this process, or at Ray Serve's."""
    if request.param == "host":
        running: serve_process.Host = request.getfixturevalue("running")
        with calling(running.grpc) as out:
            yield out
        return
    with world(list(served.values()), behind=tmp_path_factory.mktemp("proxy")) as there, calling(there.address) as out:
        yield out


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def integer(value: int, name: str = "kinds") -> bytes:
    """A request to the echo of kinds."""
    request = wire.ModelInferRequest(model_name=name, id=f"for {value}")
    tensor = request.inputs.add(name="i", datatype="INT64", shape=[1])
    tensor.contents.int64_contents.append(value)
    request.outputs.add(name="i")
    return request.SerializeToString()


def golden(bundle: Bundle) -> bytes:
    """All golden rows, raw."""
    given, _ = bundle.golden()
    request = wire.ModelInferRequest(model_name=bundle.name)
    for name, array in given.items():
        request.inputs.add(name=name, datatype="FP64", shape=[given.rows])
        request.raw_input_contents.append(np.asarray(array, "<f8").tobytes())
    return request.SerializeToString()


@pytest.mark.parametrize("compression", ["", "gzip"])
def test_it_gets_the_golden_answers(java: Java, served: dict[str, Bundle], compression: str) -> None:
    """Of a body of many frames, compressed or not; headers come back, binary ones too."""
    bundle = served["breast-cancer"]
    ended = java("ModelInfer", golden(bundle), "x-request-id=mine", compression=compression)
    answer = wire.ModelInferResponse.FromString(ended.messages[0])
    names = [each.name for each in answer.outputs]
    got = np.frombuffer(answer.raw_output_contents[names.index("probability")], "<f4").reshape(-1, 2)

    assert (ended.status, ended.sentence) == ("OK", "")
    np.testing.assert_allclose(got, bundle.golden()[1]["probability"], rtol=0, atol=bundle.manifest.tolerance)
    assert {**ended.headers, **ended.trailers}["x-request-id"] == "mine"


def test_many_calls_on_one_channel_get_their_own_answers(java: Java) -> None:
    """One after the other, good and refused in turn."""
    for value in range(50):
        if value % 7 == 3:
            assert java("ModelInfer", integer(2**40 + value)).status == "INVALID_ARGUMENT"
        ended = java("ModelInfer", integer(value))
        answer = wire.ModelInferResponse.FromString(ended.messages[0])
        assert (answer.id, answer.outputs[0].contents.int_contents) == (f"for {value}", [value])


def test_a_refusal_has_its_status_sentence_and_details(java: Java) -> None:
    """In trailers alone."""
    ended = java("ModelInfer", integer(2**40))
    details = status_pb2.Status.FromString(base64.b64decode(ended.trailers["grpc-status-details-bin"]))
    info = error_details_pb2.ErrorInfo()

    assert (ended.status, ended.messages) == ("INVALID_ARGUMENT", [])
    assert ended.sentence == "inputs.i[0]: expected an int32, got 1099511627776"
    assert any(each.Unpack(info) for each in details.details)
    assert dict(info.metadata) == {"code": "out_of_range", "path": "inputs.i[0]"}


@pytest.mark.parametrize(
    ("method", "message", "headers", "status"),
    [
        ("ModelInfer", integer(1, "nobody"), (), "NOT_FOUND"),
        ("ModelInfer", b"\xff\xff\xff", (), "INVALID_ARGUMENT"),
        ("Guess", b"", (), "UNIMPLEMENTED"),
        ("ModelInfer", integer(1), ("x-contract-version=9.9.9",), "FAILED_PRECONDITION"),
        ("ServerLive", b"", ("token-bin=AP8Q",), "OK"),
    ],
    ids=["no such model", "no message", "no such method", "no such version", "a binary header"],
)
def test_calls_that_are_not_as_usual(
    java: Java, method: str, message: bytes, headers: tuple[str, ...], status: str
) -> None:
    """Each has its status."""
    assert java(method, message, *headers).status == status


def test_a_deadline_ends_a_call(java: Java, served: dict[str, Bundle]) -> None:
    """At the client, at the latest; the next call on the channel is answered."""
    ended = java("ModelInfer", golden(served["breast-cancer"]), milliseconds=1)

    assert ended.status == "DEADLINE_EXCEEDED"
    assert java("ModelInfer", integer(1)).status == "OK"


def test_a_stream_gets_its_answer(java: Java) -> None:
    """Streams go by grpc.aio, on the same port."""
    ended = java("ModelStreamInfer", integer(5))
    answer = wire.ModelStreamInferResponse.FromString(ended.messages[0])

    assert ended.status == "OK"
    assert answer.infer_response.outputs[0].contents.int_contents == [5]
