"""grpcurl against the gRPC services, which it knows by reflection alone: a plain server, and a real host."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from fivefold.core.bundle.bundle import Bundle
from tests.support import programs, serve_process
from tests.support.grpc_calls import world

SECONDS = 30.0
INFERENCE = "inference.GRPCInferenceService"

Asked = tuple[int, str, str]
"""How a call ended: the exit status (64 and the gRPC code where the server refused), what was printed, the errors."""


class Grpcurl:
    """The program, pointed at one server."""

    def __init__(self, address: str) -> None:
        self._address = address
        program = programs.needed("grpcurl", "grpcurl against the gRPC services")
        assert program is not None
        self._program = program

    def __call__(self, *words: str, given: object = None, options: tuple[str, ...] = ()) -> Asked:
        """Run it with the words that follow the address."""
        data = () if given is None else ("-d", given if isinstance(given, str) else json.dumps(given))
        command = [self._program, "-plaintext", "-max-time", "20", *options, *data, self._address, *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        return done.returncode, done.stdout, done.stderr

    def read(self, method: str, given: object) -> Any:
        """The answer of a call that must succeed."""
        status, text, errors = self(method, given=given)
        assert status == 0, errors
        return json.loads(text)


@pytest.fixture(scope="module")
def in_process(served: dict[str, Bundle]) -> Iterator[str]:
    """The address of a plain server in this process."""
    with world(list(served.values())) as out:
        yield out.server.address


@pytest.fixture(scope="module")
def behind_haproxy(served: dict[str, Bundle], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a HAProxy before such a server, which it asks unary calls by HTTP/1.1."""
    with world(list(served.values()), behind=tmp_path_factory.mktemp("proxy")) as out:
        yield out.address


@pytest.fixture(params=["plain", "behind HAProxy", pytest.param("host", marks=[pytest.mark.full, pytest.mark.host])])
def grpcurl(request: pytest.FixtureRequest) -> Grpcurl:
    """The program and a server; Ray Serve's replica has a reflection of its own."""
    if request.param != "host":
        return Grpcurl(request.getfixturevalue("in_process" if request.param == "plain" else "behind_haproxy"))
    running: serve_process.Host = request.getfixturevalue("running")
    return Grpcurl(running.grpc)


def asking(value: int, name: str = "kinds") -> dict[str, Any]:
    """A request to the echo of kinds, in protobuf's JSON."""
    tensor = {"name": "i", "datatype": "INT64", "shape": [1], "contents": {"int64_contents": [value]}}
    return {"model_name": name, "id": f"for {value}", "inputs": [tensor], "outputs": [{"name": "i"}]}


def test_it_lists_the_services(grpcurl: Grpcurl) -> None:
    """Inference and health, and the methods of each."""
    status, services, _ = grpcurl("list")
    methods = grpcurl("list", INFERENCE)[1].split()

    assert status == 0
    assert {INFERENCE, "grpc.health.v1.Health"} <= set(services.split())
    assert {f"{INFERENCE}.{name}" for name in ("ModelInfer", "ModelStreamInfer", "ModelMetadata")} <= set(methods)


def test_it_describes_methods_and_messages(grpcurl: Grpcurl) -> None:
    """With the types of everything that a caller has to fill in."""
    service, message = grpcurl("describe", INFERENCE)[1], grpcurl("describe", "inference.ModelInferRequest")[1]

    assert "rpc ModelInfer ( .inference.ModelInferRequest ) returns ( .inference.ModelInferResponse );" in service
    assert "rpc ModelStreamInfer ( stream .inference.ModelInferRequest )" in service
    assert "repeated bytes raw_input_contents = 7;" in message


def test_it_asks_for_health(grpcurl: Grpcurl) -> None:
    """Of the server and of one model."""
    check = "grpc.health.v1.Health/Check"

    assert grpcurl.read(check, {}) == grpcurl.read(check, {"service": "kinds"}) == {"status": "SERVING"}
    assert grpcurl(check, given={"service": "nobody"})[0] == 64 + 5


def test_it_asks_for_metadata_and_statistics(grpcurl: Grpcurl, served: dict[str, Bundle]) -> None:
    """What needs no tensor."""
    metadata = grpcurl.read(f"{INFERENCE}/ModelMetadata", {"name": "kinds"})
    index = grpcurl.read(f"{INFERENCE}/RepositoryIndex", {})

    assert [item["name"] for item in metadata["inputs"]] == ["b", "i", "f", "s", "y"]
    assert {item["name"] for item in index["models"]} == set(served)
    assert grpcurl.read(f"{INFERENCE}/ServerLive", {}) == {"live": True}
    assert grpcurl.read(f"{INFERENCE}/ModelStatistics", {"name": "kinds"})["model_stats"][0]["name"] == "kinds"


def test_it_infers(grpcurl: Grpcurl) -> None:
    """A request in JSON, with a header; the trailers carry the request's id."""
    status, text, errors = grpcurl(
        f"{INFERENCE}/ModelInfer", given=asking(41), options=("-v", "-H", "x-request-id: mine")
    )
    body = text.partition("Response contents:")[2].partition("Response trailers received:")
    answer = json.loads(body[0])

    assert status == 0, errors
    assert (answer["model_name"], answer["id"]) == ("kinds", "for 41")
    assert answer["parameters"]["request_id"] == {"string_param": "mine"}
    assert [(output["name"], output["contents"]) for output in answer["outputs"]] == [("i", {"int_contents": [41]})]
    assert "x-request-id: mine" in body[2]


def test_it_infers_on_the_golden_row(grpcurl: Grpcurl, served: dict[str, Bundle]) -> None:
    """The demo model, thirty numbers."""
    given, answers = (columns.slice(0, 1) for columns in served["breast-cancer"].golden())
    tensors = [
        {"name": name, "datatype": "FP64", "shape": [1], "contents": {"fp64_contents": array.tolist()}}
        for name, array in given.items()
    ]
    answer = grpcurl.read(f"{INFERENCE}/ModelInfer", {"model_name": "breast-cancer", "inputs": tensors})
    label, probability = answer["outputs"]

    assert probability["contents"]["fp32_contents"] == pytest.approx(answers["probability"][0].tolist(), abs=1e-5)
    assert label["contents"] == {"bytes_contents": ["YmVuaWdu" if answers["label"][0] == "benign" else "bWFsaWduYW50"]}


def test_it_streams(grpcurl: Grpcurl) -> None:
    """Several messages on one stream; the refused one in the middle ends nothing."""
    requests = "\n".join(json.dumps(each) for each in (asking(1), asking(2, "nobody"), asking(3)))
    status, text, errors = grpcurl(f"{INFERENCE}/ModelStreamInfer", given=requests)
    decoder, answers = json.JSONDecoder(), []
    while text := text.strip():
        answer, end = decoder.raw_decode(text)
        answers.append(answer)
        text = text[end:]

    assert status == 0, errors
    assert [answer.get("error_message") for answer in answers] == [None, "no model 'nobody' is served here", None]
    assert [answer["infer_response"]["id"] for answer in answers] == ["for 1", "for 2", "for 3"]


def test_it_shows_what_is_wrong(grpcurl: Grpcurl) -> None:
    """The status, the sentence, and the details as messages that reflection explains."""
    status, _, errors = grpcurl(f"{INFERENCE}/ModelInfer", given=asking(2**40), options=("-format-error",))
    told = json.loads(errors)
    details = {detail["@type"].rpartition(".")[2]: detail for detail in told["details"]}

    assert (status, told["code"]) == (64 + 3, 3)
    assert told["message"] == "inputs.i[0]: expected an int32, got 1099511627776"
    assert details["ErrorInfo"]["metadata"] == {"code": "out_of_range", "path": "inputs.i[0]"}
    assert details["BadRequest"]["field_violations"] == [
        {"field": "inputs.i[0]", "description": "expected an int32, got 1099511627776", "reason": "OUT_OF_RANGE"}
    ]
    assert details["RequestInfo"]["request_id"]


def test_an_unknown_method_or_model_is_said_so(grpcurl: Grpcurl) -> None:
    """By grpcurl where reflection does not know it, by the server otherwise."""
    assert "does not include a method" in grpcurl(f"{INFERENCE}/Guess", given={})[2]
    assert grpcurl(f"{INFERENCE}/ModelInfer", given=asking(1, "nobody"))[0] == 64 + 5
    assert grpcurl(f"{INFERENCE}/RepositoryModelLoad", given={"model_name": "kinds"})[0] == 64 + 12
