"""The limit: a bare ASGI callable under uvicorn that reads and writes V2 (JSON and binary) with msgspec.

No framework, no proxy, no contract, no metrics: what is left is uvicorn, the parser and the model.
"""

import os

import msgspec
import numpy as np
import scoring
import uvicorn
from scoring import Scorer, ports


class Tensor(msgspec.Struct):
    """A V2 input; its data is flat."""

    name: str
    shape: list[int]
    datatype: str
    data: list[float] = []


class Request(msgspec.Struct):
    """A V2 request."""

    inputs: list[Tensor]


score, name = Scorer(), os.environ[scoring.NAME]
decode = msgspec.json.Decoder(Request).decode
encode = msgspec.json.Encoder().encode


def answer(body: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """JSON in, JSON out."""
    block = np.array(decode(body).inputs[0].data, np.float32).reshape(-1, *score.shape)
    out = score(block)
    tensor = {"name": score.output, "shape": out.shape, "datatype": "FP32", "data": out.ravel().tolist()}
    return encode({"model_name": name, "outputs": [tensor]}), [(b"content-type", b"application/json")]


def answer_binary(body: bytes, head: int) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """A JSON header of `head` bytes and raw tensors in, the same out."""
    decode(body[:head])
    scored = score(score.rows(body, head))
    out = scored.tobytes()
    described = {"name": score.output, "shape": scored.shape, "datatype": "FP32"}
    start = encode({"model_name": name, "outputs": [described | {"parameters": {"binary_data_size": len(out)}}]})
    length = str(len(start)).encode()
    headers = [(b"content-type", b"application/octet-stream"), (b"inference-header-content-length", length)]
    return start + out, headers


async def app(scope, receive, send):
    """Every POST is an inference."""
    if scope["type"] != "http":
        raise RuntimeError("HTTP alone")
    message = await receive()
    body = message["body"]
    if message.get("more_body"):
        parts = [body]
        while message.get("more_body"):
            message = await receive()
            parts.append(message["body"])
        body = b"".join(parts)
    head = next((value for header, value in scope["headers"] if header == b"inference-header-content-length"), None)
    content, headers = answer(body) if head is None else answer_binary(body, int(head))
    headers.append((b"content-length", str(len(content)).encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


if __name__ == "__main__":
    http, _ = ports()
    uvicorn.run(app, port=http, access_log=False, log_level="warning", lifespan="off")
