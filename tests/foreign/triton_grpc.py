"""Triton's client over gRPC: calls, callbacks, streams, and asyncio."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import tritonclient.grpc as over_grpc
import tritonclient.grpc.aio as over_grpc_aio
from steps import Given, Tensor, array_of, step
from triton_calls import ABSENT, DEMO, LARGE, SECONDS, answer, number, refusal
from tritonclient.utils import InferenceServerException


@contextmanager
def grpc(given: Given) -> Iterator[Any]:
    with over_grpc.InferenceServerClient(given.grpc) as client:
        yield client


def grpc_inputs(tensors: list[Tensor]) -> list[Any]:
    out = []
    for tensor in tensors:
        item = over_grpc.InferInput(tensor["name"], tensor["shape"], tensor["datatype"])
        out.append(item.set_data_from_numpy(array_of(tensor)))
    return out


@step
def grpc_health(given: Given) -> Any:
    with grpc(given) as client:
        return {
            "live": client.is_server_live(client_timeout=SECONDS),
            "ready": client.is_server_ready(client_timeout=SECONDS),
            "model": client.is_model_ready(DEMO),
            "version": client.is_model_ready(DEMO, "1"),
            "absent": client.is_model_ready(ABSENT),
            "absent version": client.is_model_ready(DEMO, "2"),
        }


@step
def grpc_metadata(given: Given) -> Any:
    with grpc(given) as client:
        config = client.get_model_config("shapes").config
        return {
            "server": client.get_server_metadata(as_json=True),
            "models": {name: client.get_model_metadata(name, as_json=True) for name in given.models},
            "version": client.get_model_metadata(DEMO, "1", as_json=True),
            "config": client.get_model_config("shapes", as_json=True),
            "dims": {item.name: list(item.dims) for item in config.input},
            "index": client.get_model_repository_index(as_json=True),
        }


@step
def grpc_statistics(given: Given) -> Any:
    with grpc(given) as client:
        before = client.get_inference_statistics("kinds", as_json=True)
        client.infer("kinds", grpc_inputs(given.models["kinds"].raw))
        refusal(lambda: client.infer("kinds", grpc_inputs([number(2**40)])))
        after = client.get_inference_statistics("kinds", "1", as_json=True)
        return {"before": before, "after": after, "all": client.get_inference_statistics(as_json=True)}


@step
def grpc_infer(given: Given) -> Any:
    """Every model, plain and compressed."""
    out = {}
    with grpc(given) as client:
        for name, example in given.models.items():
            for how in (None, "gzip", "deflate"):
                result = client.infer(name, grpc_inputs(example.raw), compression_algorithm=how, client_timeout=SECONDS)
                out[f"{name} {how}"] = answer(result, example.outputs)
    return out


@step
def grpc_infer_details(given: Given) -> Any:
    example = given.models[DEMO]
    inputs = grpc_inputs(example.raw)
    with grpc(given) as client:
        whole = client.infer(DEMO, inputs, model_version="1", request_id="mine")
        turned = client.infer(
            DEMO,
            inputs,
            outputs=[over_grpc.InferRequestedOutput(name) for name in ("probability", "label")],
            priority=1,
            timeout=10_000_000,
            parameters={"note": "hello", "count": 3, "number": 1.5, "flag": True},
            headers={"x-request-id": "a-header"},
        )
        response = turned.get_response()
        return {
            "whole": whole.get_response(as_json=True),
            "names": [output.name for output in response.outputs],
            "request id": response.parameters["request_id"].string_param,
            "answers": [answer(result, example.outputs) for result in (whole, turned)],
            "tensor": whole.get_output("label").datatype,
        }


@step
def grpc_async_infer(given: Given) -> Any:
    """Callbacks come for all, with a result or an error."""
    example = given.models[DEMO]
    done: queue.Queue[tuple[Any, Any]] = queue.Queue()
    with grpc(given) as client:
        for index in range(8):
            client.async_infer(
                DEMO,
                grpc_inputs(example.raw),
                lambda result, error: done.put((result, error)),
                request_id=str(index),
                client_timeout=SECONDS,
            )
        client.async_infer("kinds", grpc_inputs([number(2**40)]), lambda result, error: done.put((result, error)))
        came = [done.get(timeout=SECONDS) for _ in range(9)]
    results = [result for result, error in came if error is None]
    return {
        "ids": sorted(result.get_response().id for result in results),
        "answers": [answer(result, example.outputs) for result in results],
        "errors": [[error.status(), error.message()] for _, error in came if error is not None],
    }


@step
def grpc_stream(given: Given) -> Any:
    """Many in flight on one stream; refused ones among them answer in their turn and end nothing."""
    example = given.models[DEMO]
    inputs = grpc_inputs(example.raw)
    came: queue.Queue[tuple[Any, Any]] = queue.Queue()
    with grpc(given) as client:
        client.start_stream(lambda result, error: came.put((result, error)), stream_timeout=SECONDS)
        for index in range(20):
            if index == 7:
                client.async_stream_infer("kinds", grpc_inputs([number(2**40)]), request_id="bad value")
            elif index == 11:
                client.async_stream_infer(ABSENT, inputs, request_id="bad name")
            else:
                client.async_stream_infer(
                    DEMO, inputs, request_id=str(index), enable_empty_final_response=index % 2 == 0
                )
        first = [came.get(timeout=SECONDS) for _ in range(20)]
        # The stream is idle now and takes more.
        client.async_stream_infer("kinds", grpc_inputs(given.models["kinds"].raw), request_id="late")
        late, error = came.get(timeout=SECONDS)
        client.stop_stream()
        # A client has one stream at a time, but may start another.
        client.start_stream(lambda result, error: came.put((result, error)), compression_algorithm="gzip")
        client.async_stream_infer(DEMO, inputs, request_id="again")
        again, error_again = came.get(timeout=SECONDS)
        client.stop_stream(cancel_requests=True)
    return {
        "ids": [None if result is None else result.get_response().id for result, _ in first],
        "answers": [answer(result, example.outputs) for result, _ in first if result is not None],
        "final": [
            result.get_response().parameters["triton_final_response"].bool_param
            for result, _ in first
            if result is not None
        ],
        "errors": {index: error.message() for index, (_, error) in enumerate(first) if error is not None},
        "late": [str(error), late.get_response().id, answer(late, given.models["kinds"].outputs)],
        "again": [str(error_again), again.get_response().id],
        "cancelled": [came.get_nowait()[1].status() for _ in range(came.qsize())],
    }


@step
def grpc_large(given: Given) -> Any:
    """A text of six megabytes there and back: above gRPC's usual limit."""
    with grpc(given) as client:
        result = client.infer("kinds", grpc_inputs([LARGE]))
        return len(result.as_numpy("s")[0])


@step
def grpc_timeout(given: Given) -> Any:
    """A deadline that passes while megabytes travel is said so, and the channel goes on."""
    example = given.models[DEMO]
    with grpc(given) as client:
        client.is_server_live()
        refused = refusal(lambda: client.infer("kinds", grpc_inputs([LARGE]), client_timeout=0.001))
        return {"refused": refused[0], "after": answer(client.infer(DEMO, grpc_inputs(example.raw)), example.outputs)}


@step
def grpc_refusals(given: Given) -> Any:
    demo = given.models[DEMO]
    good = grpc_inputs(demo.raw)
    with grpc(given) as client:
        shared = over_grpc.InferInput("i", [1], "INT32")
        shared.set_shared_memory("region", 4)
        classes = [over_grpc.InferRequestedOutput("probability", class_count=2)]
        unknown = [over_grpc.InferRequestedOutput("nothing")]
        calls: dict[str, Callable[[], Any]] = {
            "model": lambda: client.infer(ABSENT, good),
            "version": lambda: client.infer(DEMO, good, model_version="2"),
            "missing": lambda: client.infer(DEMO, good[:-1]),
            "range": lambda: client.infer("kinds", grpc_inputs([number(2**40)])),
            "shape": lambda: client.infer("kinds", grpc_inputs([number(1, (1, 3))])),
            "output": lambda: client.infer(DEMO, good, outputs=unknown),
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
        client.infer(DEMO, good)
    return out


@step
async def grpc_aio(given: Given) -> Any:
    example = given.models[DEMO]
    inputs = grpc_inputs(example.raw)

    async def requests() -> Any:
        for index in range(6):
            if index == 3:
                yield {"model_name": "kinds", "inputs": grpc_inputs([number(2**40)]), "request_id": "bad"}
            else:
                yield {"model_name": DEMO, "inputs": inputs, "request_id": str(index)}

    async with over_grpc_aio.InferenceServerClient(given.grpc) as client:
        result = await client.infer(DEMO, inputs, request_id="aio", compression_algorithm="gzip")
        refused = []
        for tensor, timeout in ((number(2**40), SECONDS), (LARGE, 0.001)):
            try:
                await client.infer("kinds", grpc_inputs([tensor]), client_timeout=timeout)
            except InferenceServerException as error:
                refused.append(error.status())
        streamed = [each async for each in client.stream_infer(requests(), stream_timeout=SECONDS)]
        return {
            "health": [
                await client.is_server_live(),
                await client.is_server_ready(),
                await client.is_model_ready(DEMO, "1"),
                await client.is_model_ready(ABSENT),
            ],
            "metadata": await client.get_model_metadata(DEMO, as_json=True),
            "server": await client.get_server_metadata(as_json=True),
            "config": await client.get_model_config(DEMO, as_json=True),
            "index": await client.get_model_repository_index(as_json=True),
            "statistics": await client.get_inference_statistics(DEMO, as_json=True),
            "id": result.get_response().id,
            "answer": answer(result, example.outputs),
            "refused": refused,
            "streamed": [None if each is None else each.get_response().id for each, _ in streamed],
            "errors": [error.message() for _, error in streamed if error is not None],
        }
