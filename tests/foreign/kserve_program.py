"""KServe's inference clients as their users write them: REST with V1 and V2, and gRPC. See `steps`."""

from __future__ import annotations

import base64
from collections.abc import Awaitable
from typing import Any

import grpc
import httpx
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput
from steps import Given, Tensor, array_of, main, step, told

DEMO = "breast-cancer"
ABSENT = "nobody"
LARGE: Tensor = {"name": "s", "datatype": "BYTES", "shape": [1], "data": ["YWFh" * 2_000_000]}
"""Six million letters for the text field of `kinds`: they do not arrive within a millisecond."""


def rest(protocol: str) -> InferenceRESTClient:
    return InferenceRESTClient(RESTConfig(protocol=protocol, timeout=30))


def over_grpc(given: Given) -> InferenceGRPCClient:
    return InferenceGRPCClient(given.grpc, timeout=30)


def url(given: Given) -> str:
    return f"http://{given.http}"


def inputs(tensors: list[Tensor], *, raw: bool) -> list[InferInput]:
    out = []
    for tensor in tensors:
        item = InferInput(tensor["name"], tensor["shape"], tensor["datatype"])
        item.set_data_from_numpy(array_of(tensor), binary_data=raw)
        out.append(item)
    return out


def too_much(raw: bool) -> InferRequest:
    """A number that the field cannot hold."""
    return InferRequest("kinds", inputs([{"name": "i", "datatype": "INT64", "shape": [1], "data": [2**40]}], raw=raw))


def answer(response: Any) -> dict[str, Any]:
    return {output.name: told(output.as_numpy()) for output in response.outputs}


def records(tensors: list[Tensor]) -> list[dict[str, Any]]:
    """The tensors' rows as V1's instances."""
    columns = {}
    for tensor in tensors:
        data = tensor["data"]
        if tensor["datatype"] == "BYTES":
            data = [base64.b64decode(item).decode() for item in data]
        size = len(data) // tensor["shape"][0]
        cut = [data[start : start + size] for start in range(0, len(data), size)]
        columns[tensor["name"]] = [row[0] for row in cut] if len(tensor["shape"]) == 1 else cut
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


async def refusal(call: Awaitable[Any]) -> list[Any]:
    """The status and the sentence of a call that the server must refuse."""
    try:
        await call
    except httpx.HTTPStatusError as error:
        return [error.response.status_code, str(error)]
    except grpc.RpcError as error:
        return [error.code().name, error.details()]
    raise AssertionError("the server accepted it")


@step
async def v1(given: Given) -> Any:
    """What the V1 client knows: liveness at `/`, readiness of a model, predictions, explanations."""
    here = url(given)
    headers: dict[str, str] = {}
    async with rest("v1") as client:
        answers = {
            name: await client.infer(here, {"instances": records(example.json)}, model_name=name)
            for name, example in given.models.items()
        }
        one = {"instances": [{"i": 2**40}]}
        return {
            "live": await client.is_server_live(here),
            "ready": await client.is_model_ready(here, DEMO),
            "absent": await refusal(client.is_model_ready(here, ABSENT)),
            "answers": answers,
            "refused": await refusal(client.infer(here, one, model_name="kinds")),
            "unknown": await refusal(client.infer(here, one, model_name=ABSENT)),
            "explain": await refusal(client.explain(here, DEMO, one)),
            "headers": [
                await client.infer(
                    here,
                    {"instances": [{"i": 1}]},
                    model_name="kinds",
                    headers={"x-request-id": "mine"},
                    response_headers=headers,
                ),
                headers["x-request-id"],
            ],
        }


@step
async def v2_health(given: Given) -> Any:
    here = url(given)
    async with rest("v2") as client:
        return {
            "live": await client.is_server_live(here),
            "ready": await client.is_server_ready(here),
            "model": await client.is_model_ready(here, DEMO),
            "absent": await client.is_model_ready(here, ABSENT),
        }


def is_text(tensor: Tensor) -> bool:
    """Whether the client can read the tensor raw: it decodes every BYTES answer over REST as UTF-8."""
    try:
        return tensor["datatype"] != "BYTES" or all(item.decode() is not None for item in array_of(tensor).flat)
    except UnicodeDecodeError:
        return False


@step
async def v2_infer(given: Given) -> Any:
    """Every model, with JSON and binary tensors in both directions."""
    out = {}
    async with rest("v2") as client:
        for name, example in given.models.items():
            for sent in ("json", "binary"):
                if sent == "json" and any(tensor["datatype"] == "FP16" for tensor in example.json):
                    continue
                sendable = inputs(example.json if sent == "json" else example.raw, raw=sent == "binary")
                texts = [RequestedOutput(each["name"]) for each in example.raw if is_text(each)]
                # An echo's outputs have its inputs' names.
                known = texts if example.outputs == [each["name"] for each in example.raw] else None
                for back in ("json", "binary", "each"):
                    wanted = known if back == "binary" else None
                    if back == "each":
                        names = example.outputs if known is None else [each.name for each in known]
                        wanted = [RequestedOutput(each, {"binary_data": True}) for each in names]
                    request = InferRequest(
                        name,
                        sendable,
                        request_id=f"{sent} {back}",
                        parameters={"binary_data_output": back == "binary"},
                        request_outputs=wanted,
                    )
                    response = await client.infer(url(given), request, model_name=name)
                    out[f"{name} {sent} {back}"] = [response.id, answer(response)]
    return out


@step
async def v2_infer_details(given: Given) -> Any:
    """A dict as it is, some outputs, response headers, refusals."""
    example = given.models[DEMO]
    tensors = [{name: tensor[name] for name in ("name", "datatype", "shape", "data")} for tensor in example.json]
    headers: dict[str, str] = {}
    async with rest("v2") as client:
        plain = await client.infer(url(given), {"inputs": tensors}, model_name=DEMO, response_headers=headers)
        some = await client.infer(
            url(given),
            InferRequest(DEMO, inputs(example.raw, raw=True), request_outputs=[RequestedOutput("probability")]),
            model_name=DEMO,
        )
        return {
            "plain": answer(plain),
            "parameters": plain.parameters,
            "headers": headers["content-type"],
            "some": [output.name for output in some.outputs],
            "refused": [
                await refusal(client.infer(url(given), too_much(raw), model_name="kinds")) for raw in (False, True)
            ],
            "unknown": await refusal(client.infer(url(given), too_much(True), model_name=ABSENT)),
        }


@step
async def grpc_health(given: Given) -> Any:
    async with over_grpc(given) as client:
        return {
            "live": await client.is_server_live(),
            "ready": await client.is_server_ready(),
            "model": await client.is_model_ready(DEMO),
            "absent": await client.is_model_ready(ABSENT),
        }


@step
async def grpc_infer(given: Given) -> Any:
    """Every model, typed and raw; FP16 is raw alone."""
    out = {}
    async with over_grpc(given) as client:
        for name, example in given.models.items():
            for raw in (False, True):
                if not raw and any(tensor["datatype"] == "FP16" for tensor in example.raw):
                    continue
                if raw:
                    sent = inputs(example.raw, raw=True)
                else:
                    sent = [
                        InferInput(each["name"], each["shape"], each["datatype"], array_of(each).reshape(-1).tolist())
                        for each in example.raw
                    ]
                response = await client.infer(InferRequest(name, sent, request_id="mine"))
                out[f"{name} {'raw' if raw else 'typed'}"] = [response.id, answer(response)]
    return out


@step
async def grpc_infer_details(given: Given) -> Any:
    example = given.models[DEMO]
    async with over_grpc(given) as client:
        some = await client.infer(
            InferRequest(
                DEMO,
                inputs(example.raw, raw=True),
                request_outputs=[RequestedOutput("probability")],
                model_version="1",
                parameters={"note": "hello", "count": 3, "flag": True},
            ),
            headers=(("x-request-id", "a-header"),),
        )
        return {
            "some": [output.name for output in some.outputs],
            "version": some.model_version,
            "request id": some.parameters["request_id"].string_param,
            "refused": [await refusal(client.infer(too_much(raw))) for raw in (False, True)],
            "late": await refusal(client.infer(InferRequest("kinds", inputs([LARGE], raw=True)), timeout=0.001)),
        }


if __name__ == "__main__":
    main()
