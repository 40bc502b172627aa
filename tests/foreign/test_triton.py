"""NVIDIA's client, unmodified, against a real host: what `triton_program.py` reports of each of its calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fivefold.core import oip_tensors
from fivefold.core.bundle.bundle import Bundle
from tests.foreign.asking import ROWS, Facts, check

pytestmark = [pytest.mark.full, pytest.mark.host]

DEMO = "breast-cancer"
TOO_LARGE = "inputs.i[0]: expected an int32, got 1099511627776"


@pytest.fixture
def facts(reports: Callable[[str], Facts]) -> Facts:
    """What the program reports."""
    return reports("triton")


def described(bundle: Bundle, *, size: Callable[[int], Any]) -> dict[str, Any]:
    """A model's metadata; protobuf's JSON writes 64-bit integers as texts."""
    platform = "onnx_onnxv1" if bundle.manifest.runtime == "onnx" else "fivefold_python"
    sides = {
        side: [
            {
                "name": field.name,
                "datatype": oip_tensors.NAMES[field.dtype],
                "shape": [size(-1), *map(size, field.shape)],
            }
            for field in fields
        ]
        for side, fields in (("inputs", bundle.contract.inputs), ("outputs", bundle.contract.outputs))
    }
    return {"name": bundle.name, "versions": ["1"], "platform": platform, **sides}


def counted(said: dict[str, Any]) -> dict[str, int]:
    """The counts of one model's statistics; protobuf's JSON leaves out zeros."""
    (model,) = said["model_stats"]
    stats = model["inference_stats"]
    counts = {name: int(stats.get(name, {}).get("count", 0)) for name in ("success", "fail", "compute_infer")}
    return counts | {name: int(model.get(name, 0)) for name in ("inference_count", "execution_count")}


@pytest.mark.parametrize("transport", ["http", "grpc"])
def test_health(facts: Facts, transport: str) -> None:
    """Server, model and version; what is not there is not ready, and no error."""
    assert facts(f"{transport}_health") == {
        "live": True,
        "ready": True,
        "model": True,
        "version": True,
        "absent": False,
        "absent version": False,
    }


@pytest.mark.parametrize(("transport", "size"), [("http", int), ("grpc", str)])
def test_metadata(facts: Facts, served: dict[str, Bundle], transport: str, size: Callable[[int], Any]) -> None:
    """The server, every model in its contract's words, and one by version."""
    said = facts(f"{transport}_metadata")

    assert said["server"]["name"] == "fivefold"
    assert said["server"]["extensions"] == ["binary_tensor_data", "model_configuration", "statistics"]
    assert said["models"] == {name: described(bundle, size=size) for name, bundle in served.items()}
    assert said["version"] == said["models"][DEMO]


@pytest.mark.parametrize("transport", ["http", "grpc"])
def test_configuration(facts: Facts, transport: str) -> None:
    """Triton's words for datatypes and dimensions, without the rows."""
    said = facts(f"{transport}_metadata")["config"]
    config = said if transport == "http" else said["config"]
    inputs = {item["name"]: (item["data_type"], [int(size) for size in item["dims"]]) for item in config["input"]}

    assert config["name"] == "shapes"
    assert int(config["max_batch_size"]) == 100_000
    assert inputs["v"] == ("TYPE_FP64", [3])
    assert inputs["deep"] == ("TYPE_UINT8", [2, 1, 2])
    assert inputs["sv"] == inputs["yv"] == ("TYPE_STRING", [2])
    assert inputs["x"] == ("TYPE_FP64", [1])


@pytest.mark.parametrize("transport", ["http", "grpc"])
def test_repository_index(facts: Facts, served: dict[str, Bundle], transport: str) -> None:
    """Every model is there and ready."""
    said = facts(f"{transport}_metadata")["index"]
    index = said if transport == "http" else said["models"]

    assert {(item["name"], item["version"], item["state"]) for item in index} == {
        (name, "1", "READY") for name in served
    }


@pytest.mark.parametrize("transport", ["http", "grpc"])
def test_statistics_count_rows_calls_and_failures(facts: Facts, served: dict[str, Bundle], transport: str) -> None:
    """One call of a few rows and one that is refused, between two looks."""
    said = facts(f"{transport}_statistics")
    before, after = counted(said["before"]), counted(said["after"])

    assert {name: after[name] - before[name] for name in after} == {
        "success": 1,
        "fail": 1,
        "compute_infer": 1,
        "inference_count": ROWS,
        "execution_count": 1,
    }
    assert {model["name"] for model in said["all"]["model_stats"]} == set(served)


def test_http_answers_are_the_models(facts: Facts, served: dict[str, Bundle]) -> None:
    """Every model, JSON and binary tensors in both directions; nothing said means binary answers."""
    said = facts("http_infer")

    # FP16 has no spelling in JSON; one model has it.
    assert len(said) == 6 * len(served) - 3
    for asked, answer in said.items():
        model, _, back = asked.split()
        check(answer, served[model], in_json=back == "json")


def test_http_forms_agree_to_the_bit(facts: Facts) -> None:
    """The demo's probabilities are the same floats in every form."""
    said = facts("http_infer")
    answers = [answer for asked, answer in said.items() if asked.startswith(f"{DEMO} ")]

    assert len(answers) == 6
    assert all(answer == answers[0] for answer in answers)


def test_nulls_over_http(facts: Facts) -> None:
    """Raw, a null is NaN or the contract's null value; in JSON it is null, and NaN is no JSON."""
    said = facts("http_nulls")

    assert said["binary"]["nv"]["data"] == said["JSON"]["data"] == [None, 1.5]
    assert said["binary"]["ni"]["data"] == [-1, 7]
    assert said["JSON itself"] == [[None, 1.5], [None, 7]]
    assert said["NaN in JSON"] == ["400", "not JSON: NaN is not JSON"]


def test_http_details(facts: Facts, served: dict[str, Bundle]) -> None:
    """Ids, versions, chosen outputs in the caller's order and form, parameters that mean nothing here."""
    said = facts("http_infer_details")
    whole, some, turned = said["whole"], said["some"], said["turned"]
    bundle = served[DEMO]

    assert (whole["id"], whole["model_name"], whole["model_version"]) == ("mine", DEMO, "1")
    assert whole["parameters"]["bundle"] == bundle.digest
    assert (some["id"], [output["name"] for output in some["outputs"]]) == ("5", ["probability"])
    assert "id" not in turned
    assert turned["parameters"]["request_id"] == "a-header"
    assert [(output["name"], "data" in output) for output in turned["outputs"]] == [
        ("probability", False),
        ("label", True),
    ]
    for answer in said["answers"]:
        check(answer, bundle, in_json=False)
    assert said["one output"] == said["answers"][0]["probability"]
    assert said["no such output"] is None
    assert said["tensor"]["datatype"] == "BYTES"


def test_http_compression(facts: Facts, served: dict[str, Bundle]) -> None:
    """gzip and deflate; the binary header length counts the JSON before compression."""
    said = facts("http_compression")

    assert set(said) == {"gzip json", "gzip binary", "deflate json", "deflate binary"}
    for answer in said.values():
        check(answer, served["shapes"], in_json=False)


def test_http_async_infer(facts: Facts, served: dict[str, Bundle]) -> None:
    """Each answer finds its request; one refusal among them is its own."""
    said = facts("http_async_infer")

    assert said["ids"] == [str(index) for index in range(8)]
    for answer in said["answers"]:
        check(answer, served[DEMO], in_json=False)
    assert said["bad"] == ["422", TOO_LARGE]


def test_http_with_a_transport_of_ones_own(facts: Facts, served: dict[str, Bundle]) -> None:
    """The client's bodies, carried by urllib."""
    check(facts("http_own_transport"), served["kinds"], in_json=False)


def test_large_messages(facts: Facts) -> None:
    """Six megabytes there and back, over both transports."""
    assert facts("http_large") == [6_000_000, 6_000_000]
    assert facts("grpc_large") == 6_000_000


REFUSED = {
    "model": ("404", "NOT_FOUND", "no model 'nobody' is served here"),
    "version": ("404", "NOT_FOUND", "model 'breast-cancer' has no version '2'"),
    "missing": ("422", "INVALID_ARGUMENT", "inputs.worst_fractal_dimension: expected a tensor, got nothing"),
    "range": ("422", "INVALID_ARGUMENT", TOO_LARGE),
    "shape": ("422", "INVALID_ARGUMENT", "inputs.i[0]: expected shape [rows], got shape [1, 3]"),
    "output": ("422", "INVALID_ARGUMENT", "outputs.nothing: no such output"),
    "classification": ("501", "UNIMPLEMENTED", "outputs.probability: classification is not served here"),
    "shared memory": ("501", "UNIMPLEMENTED", "inputs.i: shared_memory_region is not served here"),
    "metadata": ("404", "NOT_FOUND", "no model 'nobody' is served here"),
    "config": ("404", "NOT_FOUND", "no model 'nobody' is served here"),
    "statistics": ("404", "NOT_FOUND", "no model 'nobody' is served here"),
}


def test_refusals_reach_the_caller(facts: Facts) -> None:
    """The status and the sentence, the same sentence over both transports; the connection lives on."""
    over_http, over_grpc = facts("http_refusals"), facts("grpc_refusals")

    for name, (status, code, sentence) in REFUSED.items():
        assert over_http[name] == [status, sentence], name
        assert over_grpc[name] == [f"StatusCode.{code}", sentence], name
    assert over_http["range in JSON"] == over_http["range"]


def test_what_only_triton_has_is_said_to_be_absent(facts: Facts) -> None:
    """Loading, tracing, log settings, shared memory: never a silent success, never the server's own failure."""
    over_http, over_grpc = facts("http_refusals"), facts("grpc_refusals")

    statuses = {name: over_http[name][0] for name in ("load", "unload", "trace", "log", "regions")}
    assert statuses == {"load": "501", "unload": "501", "trace": "404", "log": "404", "regions": "404"}
    for name in statuses:
        assert over_grpc[name][0] == "StatusCode.UNIMPLEMENTED", name


def test_grpc_answers_are_the_models(facts: Facts, served: dict[str, Bundle]) -> None:
    """Every model, plain and with gRPC's compressions."""
    said = facts("grpc_infer")

    assert len(said) == 3 * len(served)
    for asked, answer in said.items():
        check(answer, served[asked.split()[0]], in_json=False)


def test_the_transports_agree_to_the_bit(facts: Facts) -> None:
    """gRPC's floats are HTTP's."""
    assert facts("grpc_infer")[f"{DEMO} None"] == facts("http_infer")[f"{DEMO} json json"]


def test_grpc_details(facts: Facts, served: dict[str, Bundle]) -> None:
    """Likewise over gRPC."""
    said = facts("grpc_infer_details")

    assert (said["whole"]["id"], said["whole"]["model_version"]) == ("mine", "1")
    assert said["whole"]["parameters"]["bundle"]["string_param"] == served[DEMO].digest
    assert said["names"] == ["probability", "label"]
    assert said["request id"] == "a-header"
    assert said["tensor"] == "BYTES"
    for answer in said["answers"]:
        check(answer, served[DEMO], in_json=False)


def test_grpc_async_infer(facts: Facts, served: dict[str, Bundle]) -> None:
    """A callback for each call, the refused one too."""
    said = facts("grpc_async_infer")

    assert said["ids"] == [str(index) for index in range(8)]
    for answer in said["answers"]:
        check(answer, served[DEMO], in_json=False)
    assert said["errors"] == [["StatusCode.INVALID_ARGUMENT", TOO_LARGE]]


def test_grpc_stream(facts: Facts, served: dict[str, Bundle]) -> None:
    """Answers come in the order of the requests; an error is one request's, and the stream goes on."""
    said = facts("grpc_stream")

    assert said["ids"] == [None if index in (7, 11) else str(index) for index in range(20)]
    assert said["errors"] == {"7": TOO_LARGE, "11": "no model 'nobody' is served here"}
    assert said["final"] == [True] * 18
    for answer in said["answers"]:
        check(answer, served[DEMO], in_json=False)
    late_error, late_id, late = said["late"]
    assert (late_error, late_id) == ("None", "late")
    check(late, served["kinds"], in_json=False)
    assert said["again"] == ["None", "again"]
    assert said["cancelled"] == ["StatusCode.CANCELLED"]


def test_grpc_deadline(facts: Facts, served: dict[str, Bundle]) -> None:
    """`client_timeout` that has passed."""
    said = facts("grpc_timeout")

    assert said["refused"] == "StatusCode.DEADLINE_EXCEEDED"
    check(said["after"], served[DEMO], in_json=False)


def test_http_with_asyncio(facts: Facts, served: dict[str, Bundle]) -> None:
    """The client's other twin."""
    said = facts("http_aio")

    assert said["health"] == [True, True, True, False]
    assert said["metadata"] == described(served[DEMO], size=int)
    assert said["server"]["name"] == "fivefold"
    assert len(said["config"]["input"]) == len(served[DEMO].contract.inputs)
    assert {item["name"] for item in said["index"]} == set(served)
    assert counted(said["statistics"])["success"] > 0
    assert said["id"] == "aio"
    for answer in said["answers"]:
        check(answer, served[DEMO], in_json=False)
    assert said["refused"] == ["422", TOO_LARGE]


def test_grpc_with_asyncio(facts: Facts, served: dict[str, Bundle]) -> None:
    """Calls, and a stream fed by an asynchronous iterator."""
    said = facts("grpc_aio")

    assert said["health"] == [True, True, True, False]
    assert said["metadata"] == described(served[DEMO], size=str)
    assert said["server"]["name"] == "fivefold"
    assert len(said["config"]["config"]["input"]) == len(served[DEMO].contract.inputs)
    assert {item["name"] for item in said["index"]["models"]} == set(served)
    assert counted(said["statistics"])["success"] > 0
    assert said["id"] == "aio"
    check(said["answer"], served[DEMO], in_json=False)
    assert said["refused"] == ["StatusCode.INVALID_ARGUMENT", "StatusCode.DEADLINE_EXCEEDED"]
    assert said["streamed"] == ["0", "1", "2", None, "4", "5"]
    assert said["errors"] == [TOO_LARGE]
