"""A caller's view of a model: what it sends is taken to the model's own columns, and the answer back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.support import grpc_calls
from tests.support.grpc_calls import gate_bundle
from tests.support.http_calls import Reply, World, world
from tests.support.versioned_bundle import triage_bundle

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import ProtocolError
from fivefold.core.runtime.scorer import Scorer
from fivefold.serving.grpc.proto import inference_pb2 as wire
from fivefold.serving.repository import Model

V1 = "/v1/models/triage:predict"
OLD = {"mass": 50}
NEW = {"weight": 50, "dose": 1}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A model with three contract versions."""
    return triage_bundle(tmp_path_factory.mktemp("triage") / "triage")


@pytest.fixture
def http(bundle: Bundle) -> Iterator[World]:
    with world([bundle]) as out:
        yield out


def predict(http: World, record: dict[str, Any], version: str | None = None, path: str = V1) -> Reply:
    """One record, under a version."""
    headers = {} if version is None else {"x_contract_version": version}
    return http.post(path, {"instances": [record]}, **headers)


def test_who_names_no_version_gets_what_there_was_first(http: World) -> None:
    """Callers of before know nothing of versions, and their answers stay what they were."""
    reply = predict(http, OLD)

    assert reply.json["predictions"] == [{"level": "high"}]
    assert reply.json["metadata"]["contract"] == "triage@1.0.0"
    assert reply.headers["x-contract-version"] == "1.0.0"


@pytest.mark.parametrize("asked", ["2.0.0", "triage@2.0.0"])
def test_a_version_is_asked_for_by_its_header(http: World, asked: str) -> None:
    """With or without the contract's name."""
    reply = predict(http, NEW, asked)

    assert reply.json["predictions"] == [{"level": "extreme", "value": 52.0}]
    assert reply.json["metadata"]["contract"] == "triage@2.0.0"
    assert reply.headers["x-contract-version"] == "2.0.0"
    assert not {"x-contract-ignored", "deprecation", "sunset"} & set(reply.headers)


@pytest.mark.parametrize("root", ["", "/below"])
def test_a_version_is_asked_for_by_its_path(http: World, root: str) -> None:
    """For clients that know a base address and no header; what the path says goes first."""
    body = {"instances": [NEW]}
    reply = http.ask(
        "POST", f"/contracts/2.0.0{V1}", json=body, headers={"x-contract-version": "1.0.0"}, root_path=root
    )
    described = http.ask("GET", "/contracts/2.0.0/v2/models/triage", root_path=root).json

    assert reply.json["predictions"] == [{"level": "extreme", "value": 52.0}]
    assert [each["name"] for each in described["inputs"]] == ["weight", "dose"]


def test_a_newer_callers_further_field_is_left_out_and_named(http: World) -> None:
    """As after a release was taken back."""
    reply = predict(http, NEW | {"note": "n"}, "3.0.0")

    assert reply.json["predictions"] == [{"level": "extreme", "value": 52.0}]
    assert reply.headers["x-contract-ignored"] == "note"


def test_a_version_that_ends_says_when(http: World) -> None:
    """RFC 9745 and RFC 8594."""
    reply = predict(http, OLD, "1.0.0")

    assert reply.headers["deprecation"] == "@1782864000"
    assert reply.headers["sunset"] == "Sun, 31 Jan 2027 00:00:00 GMT"


def test_errors_speak_the_callers_names(http: World) -> None:
    """And say which version they are of."""
    reply = predict(http, {"mass": -0.5}, "1.0.0")
    strange = predict(http, NEW, "1.0.0")

    assert (reply.status, reply.code, reply.json["path"]) == (422, "out_of_range", "inputs.mass[0]")
    assert reply.headers["x-contract-version"] == "1.0.0"
    assert (strange.code, strange.json["path"]) == ("unknown_field", "inputs.dose")
    assert strange.json["help"] == "version 2.0.0 of the contract has it: x-contract-version: 2.0.0"


def test_what_is_read_in_a_thread_is_marked_once(bundle: Bundle) -> None:
    """A long body is begun again elsewhere."""
    with world([bundle], inline_bytes=1, inline_seconds=0.0) as http:
        reply = http.post(V1, {"instances": [OLD] * 3000})

    assert len(reply.json["predictions"]) == 3000
    assert reply.headers["x-contract-version"] == "1.0.0"


@pytest.mark.parametrize("asked", ["9.0.0", "", "other@2.0.0", "2.0.0 "])
def test_a_contract_version_that_is_not_served_is_refused(http: World, asked: str) -> None:
    """By inference and by every other route that depends on it, and those that are served are named."""
    replies = [
        predict(http, NEW, asked),
        *(
            http.get(f"{path}", x_contract_version=asked)
            for path in ("/v2/models/triage", "/v1/models/triage/contract")
        ),
    ]

    assert {(reply.status, reply.code) for reply in replies} == {(409, "contract_unsupported")}
    assert "versions: 1.0.0, 2.0.0, 3.0.0" in replies[0].json["help"]
    assert "x-contract-version" not in replies[0].headers


def test_tensors_are_read_and_written_under_the_view(http: World) -> None:
    """V2 too, in what it describes as well."""
    tensor = {"name": "mass", "datatype": "FP32", "shape": [1], "data": [50]}
    answer = http.post("/v2/models/triage/infer", {"inputs": [tensor], "outputs": [{"name": "level"}]}).json
    described = http.get("/v2/models/triage").json
    whole = http.get("/v1/models/triage").json

    assert [(output["name"], output["data"]) for output in answer["outputs"]] == [("level", ["high"])]
    assert [each["name"] for each in (*described["inputs"], *described["outputs"])] == ["mass", "level"]
    assert (whole["contract"], whole["contracts"]) == ("triage@1.0.0", ["1.0.0", "2.0.0", "3.0.0"])


def test_the_contract_is_given_out_by_version(http: World, bundle: Bundle) -> None:
    """Without one, that of the default; the bundle's own file stays what it is."""
    versions = [
        http.get("/v1/models/triage/contract", **({"x_contract_version": asked} if asked else {})).json["version"]
        for asked in ("", "2.0.0", "3.0.0")
    ]

    assert versions == ["1.0.0", "2.0.0", "3.0.0"]
    assert bundle.contract.version == "2.0.0"


def test_requests_are_counted_by_version(http: World) -> None:
    """So that a version can be retired on facts."""
    for asked in (None, "1.0.0", "2.0.0", "7.0.0"):
        predict(http, NEW if asked == "2.0.0" else OLD, asked)
    registry = http.serving.telemetry.registry
    labels = {"pattern": "online", "model": "triage", "version": "1"}
    counts = {
        contract: registry.get_sample_value("fivefold_contract_requests_total", labels | {"contract": contract})
        for contract in ("1.0.0", "2.0.0", "3.0.0", "unsupported")
    }

    assert counts == {"1.0.0": 2.0, "2.0.0": 1.0, "3.0.0": None, "unsupported": 1.0}


def test_a_model_with_one_version_says_nothing_of_versions(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whoever names it is answered, and any other version is refused."""
    with world([gate_bundle(tmp_path_factory.mktemp("gate") / "gate")]) as http:
        reply = predict(http, {"x": 1}, "1.0.0", "/v1/models/gate:predict")
        other = predict(http, {"x": 1}, "2.0.0", "/v1/models/gate:predict")

    assert reply.json["predictions"] == [{"y": 2.0}]
    assert "x-contract-version" not in reply.headers
    assert other.code == "contract_unsupported"


@pytest.mark.parametrize(
    ("asked", "names", "level"), [(None, {"mass": 50.0}, "high"), ("2.0.0", {"weight": 50.0, "dose": 1.0}, "extreme")]
)
def test_messages_are_read_and_written_under_the_view(
    bundle: Bundle, asked: str | None, names: dict[str, float], level: str
) -> None:
    """And gRPC, whose metadata are headers; the trailers say which version it was."""
    request = wire.ModelInferRequest(model_name="triage")
    for name, value in names.items():
        tensor = request.inputs.add(name=name, datatype="FP64", shape=[1])
        tensor.contents.fp64_contents.append(value)
    metadata = () if asked is None else (("x-contract-version", asked),)
    with grpc_calls.world([bundle]) as world:
        reply = world.infer(request, metadata=metadata)
        (streamed,) = world.stream(iter([request]), metadata=metadata)
        refused = world.infer(request, metadata=(("x-contract-version", "9.0.0"),))

    assert list(reply.answer.outputs[0].contents.bytes_contents) == [level.encode()]
    assert dict(reply.trailers)["x-contract-version"] == (asked or "1.0.0")
    assert reply.answer.parameters["contract"].string_param == f"triage@{asked or '1.0.0'}"
    assert list(streamed.infer_response.outputs[0].contents.bytes_contents) == [level.encode()]
    assert dict(refused.trailers)["fivefold-code"] == "contract_unsupported"


def test_views_are_found_by_version(bundle: Bundle) -> None:
    """As a mapping, oldest first."""
    model = Model(bundle, Scorer.open(bundle))

    assert list(model.views) == ["1.0.0", "2.0.0", "3.0.0"]
    assert model.views.own.into is None
    assert model.views.own.back is None
    assert model.view is model.views["1.0.0"]
    with pytest.raises(ProtocolError, match=r"not served under version '7\.0\.0'"):
        model.views.find("7.0.0")
    model.scorer.close()
