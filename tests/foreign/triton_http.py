"""Triton's client over HTTP, with JSON and binary tensors, with gevent and with asyncio."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import tritonclient.http as over_http
import tritonclient.http.aio as over_http_aio
from steps import Given, Tensor, array_of, step, told
from triton_calls import ABSENT, DEMO, LARGE, SECONDS, answer, number, refusal
from tritonclient.utils import InferenceServerException


@contextmanager
def http(given: Given, **options: Any) -> Iterator[Any]:
    with over_http.InferenceServerClient(given.http, network_timeout=SECONDS, **options) as client:
        yield client


def http_inputs(tensors: list[Tensor], *, binary: bool) -> list[Any]:
    out = []
    for tensor in tensors:
        item = over_http.InferInput(tensor["name"], tensor["shape"], tensor["datatype"])
        out.append(item.set_data_from_numpy(array_of(tensor), binary_data=binary))
    return out


def http_outputs(names: list[str], *, binary: bool) -> list[Any]:
    return [over_http.InferRequestedOutput(name, binary_data=binary) for name in names]


@step
def http_health(given: Given) -> Any:
    with http(given) as client:
        return {
            "live": client.is_server_live(),
            "ready": client.is_server_ready(),
            "model": client.is_model_ready(DEMO),
            "version": client.is_model_ready(DEMO, "1"),
            "absent": client.is_model_ready(ABSENT),
            "absent version": client.is_model_ready(DEMO, "2"),
        }


@step
def http_metadata(given: Given) -> Any:
    with http(given) as client:
        return {
            "server": client.get_server_metadata(),
            "models": {name: client.get_model_metadata(name) for name in given.models},
            "version": client.get_model_metadata(DEMO, "1"),
            "config": client.get_model_config("shapes"),
            "index": client.get_model_repository_index(),
        }


@step
def http_statistics(given: Given) -> Any:
    with http(given) as client:
        before = client.get_inference_statistics("kinds")
        client.infer("kinds", http_inputs(given.models["kinds"].raw, binary=True))
        refusal(lambda: client.infer("kinds", http_inputs([number(2**40)], binary=True)))
        after = client.get_inference_statistics("kinds", "1")
        return {"before": before, "after": after, "all": client.get_inference_statistics()}


@step
def http_infer(given: Given) -> Any:
    """Every model, with JSON and binary tensors in both directions, and without a word on outputs."""
    out: dict[str, Any] = {}
    with http(given) as client:
        for name, example in given.models.items():
            for sent in ("json", "binary"):
                if sent == "json" and any(tensor["datatype"] == "FP16" for tensor in example.json):
                    continue
                tensors = example.json if sent == "json" else example.raw
                inputs = http_inputs(tensors, binary=sent == "binary")
                for back in ("json", "binary", "unsaid"):
                    outputs = None if back == "unsaid" else http_outputs(example.outputs, binary=back == "binary")
                    result = client.infer(name, inputs, outputs=outputs)
                    out[f"{name} {sent} {back}"] = answer(result, example.outputs)
    return out


@step
def http_nulls(given: Given) -> Any:
    """Nulls of a float and of an integer, sent raw: read from both forms. JSON has no word for NaN."""
    tensors = [
        {"name": "nv", "datatype": "FP64", "shape": [1, 2], "data": [float("nan"), 1.5]},
        {"name": "ni", "datatype": "INT32", "shape": [1, 2], "data": [-1, 7]},
    ]
    with http(given) as client:
        inputs = http_inputs(tensors, binary=True)
        binary = client.infer("shapes", inputs, outputs=http_outputs(["nv", "ni"], binary=True))
        as_json = client.infer("shapes", inputs, outputs=http_outputs(["nv", "ni"], binary=False))
        return {
            "binary": answer(binary, ["nv", "ni"]),
            "JSON": told(as_json.as_numpy("nv")),
            "JSON itself": [as_json.get_output(name)["data"] for name in ("nv", "ni")],
            "NaN in JSON": refusal(lambda: client.infer("shapes", http_inputs(tensors[:1], binary=False))),
        }


@step
def http_infer_details(given: Given) -> Any:
    """Request ids, versions, some of the outputs in an order of the caller's, forms mixed, parameters, headers."""
    example = given.models[DEMO]
    inputs = http_inputs(example.raw, binary=True)
    mixed = http_inputs(example.raw[:15], binary=True) + http_inputs(example.json[15:], binary=False)
    with http(given) as client:
        whole = client.infer(DEMO, inputs, model_version="1", request_id="mine")
        some = client.infer(DEMO, inputs, outputs=http_outputs(["probability"], binary=False), request_id="5")
        turned = client.infer(
            DEMO,
            mixed,
            outputs=[
                over_http.InferRequestedOutput("probability", binary_data=True),
                over_http.InferRequestedOutput("label", binary_data=False),
            ],
            priority=1,
            timeout=10_000_000,
            parameters={"note": "hello", "number": 1.5, "flag": True},
            headers={"x-request-id": "a-header"},
        )
        return {
            "whole": whole.get_response(),
            "some": some.get_response(),
            "turned": turned.get_response(),
            "answers": [answer(result, example.outputs) for result in (whole, turned)],
            "one output": told(some.as_numpy("probability")),
            "no such output": some.as_numpy("label"),
            "tensor": whole.get_output("label"),
        }


@step
def http_compression(given: Given) -> Any:
    """gzip and deflate, binary and JSON; a compressed answer may be asked for and need not come."""
    out = {}
    example = given.models["shapes"]
    with http(given) as client:
        for how in ("gzip", "deflate"):
            for sent in ("json", "binary"):
                tensors = example.json if sent == "json" else example.raw
                result = client.infer(
                    "shapes",
                    http_inputs(tensors, binary=sent == "binary"),
                    request_compression_algorithm=how,
                    response_compression_algorithm=how,
                )
                out[f"{how} {sent}"] = answer(result, example.outputs)
    return out


@step
def http_async_infer(given: Given) -> Any:
    """Several requests at once on one client; one of them is refused, the others are not."""
    example = given.models[DEMO]
    with http(given, concurrency=4) as client:
        pending = [
            client.async_infer(DEMO, http_inputs(example.raw, binary=True), request_id=str(index)) for index in range(8)
        ]
        bad = client.async_infer("kinds", http_inputs([number(2**40)], binary=True))
        results = [each.get_result(timeout=SECONDS) for each in pending]
        return {
            "ids": [result.get_response()["id"] for result in results],
            "answers": [answer(result, example.outputs) for result in results],
            "bad": refusal(bad.get_result),
        }


@step
def http_own_transport(given: Given) -> Any:
    """Bodies made and read by the client, carried by another HTTP library."""
    example = given.models["kinds"]
    body, size = over_http.InferenceServerClient.generate_request_body(http_inputs(example.raw, binary=True))
    request = urllib.request.Request(
        f"http://{given.http}/v2/models/kinds/infer",
        body,
        {"content-type": "application/octet-stream", "Inference-Header-Content-Length": str(size)},
    )
    with urllib.request.urlopen(request, timeout=SECONDS) as reply:
        length = int(reply.headers["Inference-Header-Content-Length"])
        result = over_http.InferenceServerClient.parse_response_body(reply.read(), header_length=length)
    return answer(result, example.outputs)


@step
def http_large(given: Given) -> Any:
    """A text of six megabytes there and back, in both forms."""
    lengths = []
    with http(given) as client:
        for binary in (True, False):
            result = client.infer(
                "kinds", http_inputs([LARGE], binary=binary), outputs=http_outputs(["s"], binary=binary)
            )
            lengths.append(len(result.as_numpy("s")[0]))
    return lengths


@step
def http_refusals(given: Given) -> Any:
    demo = given.models[DEMO]
    good = http_inputs(demo.raw, binary=True)
    with http(given) as client:
        shared = over_http.InferInput("i", [1], "INT32")
        shared.set_shared_memory("region", 4)
        classes = [over_http.InferRequestedOutput("probability", class_count=2)]
        calls: dict[str, Callable[[], Any]] = {
            "model": lambda: client.infer(ABSENT, good),
            "version": lambda: client.infer(DEMO, good, model_version="2"),
            "missing": lambda: client.infer(DEMO, good[:-1]),
            "range": lambda: client.infer("kinds", http_inputs([number(2**40)], binary=True)),
            "range in JSON": lambda: client.infer("kinds", http_inputs([number(2**40)], binary=False)),
            "shape": lambda: client.infer("kinds", http_inputs([number(1, (1, 3))], binary=True)),
            "output": lambda: client.infer(DEMO, good, outputs=http_outputs(["nothing"], binary=True)),
            "classification": lambda: client.infer(DEMO, good, outputs=classes),
            "shared memory": lambda: client.infer("kinds", [shared]),
            "load": lambda: client.load_model(DEMO),
            "unload": lambda: client.unload_model(DEMO),
            "metadata": lambda: client.get_model_metadata(ABSENT),
            "config": lambda: client.get_model_config(ABSENT),
            "statistics": lambda: client.get_inference_statistics(ABSENT),
            "trace": client.get_trace_settings,
            "log": client.get_log_settings,
            "regions": client.get_system_shared_memory_status,
        }
        out = {name: refusal(call) for name, call in calls.items()}
        # The connection is as good as before.
        client.infer(DEMO, good)
    return out


@step
async def http_aio(given: Given) -> Any:
    example = given.models[DEMO]
    async with over_http_aio.InferenceServerClient(given.http) as client:
        result = await client.infer(DEMO, http_inputs(example.raw, binary=True), request_id="aio")
        as_json = await client.infer(
            DEMO,
            http_inputs(example.json, binary=False),
            outputs=http_outputs(example.outputs, binary=False),
            request_compression_algorithm="gzip",
            response_compression_algorithm="gzip",
        )
        try:
            await client.infer("kinds", http_inputs([number(2**40)], binary=True))
        except InferenceServerException as error:
            refused = [error.status(), error.message()]
        return {
            "health": [
                await client.is_server_live(),
                await client.is_server_ready(),
                await client.is_model_ready(DEMO, "1"),
                await client.is_model_ready(ABSENT),
            ],
            "metadata": await client.get_model_metadata(DEMO),
            "server": await client.get_server_metadata(),
            "config": await client.get_model_config(DEMO),
            "index": await client.get_model_repository_index(),
            "statistics": await client.get_inference_statistics(DEMO),
            "id": result.get_response()["id"],
            "answers": [answer(each, example.outputs) for each in (result, as_json)],
            "refused": refused,
        }
