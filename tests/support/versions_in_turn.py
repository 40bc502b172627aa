"""A model in two versions whose answers tell them apart, and callers that ask all the time and count what they get."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx

from fivefold.core.bundle.bundle import Bundle
from fivefold.serving.grpc.proto import inference_pb2 as wire
from tests.support.bundles import SUM_GOLDEN, write_python
from tests.support.serve_process import Host

OFFSETS = {"1": 0.0, "2": 64.0}
"""What each version adds to the sum of its inputs."""

HELD = 99.0
"""A row with this `b` is held until the file `gate` is there; `begun` is there as soon as it is held."""

_SOURCE = """
import pathlib
import time


class Sum:
    def predict(self, columns):
        if (columns["b"] == {held}).any():
            pathlib.Path({begun!r}).touch()
            while not pathlib.Path({gate!r}).exists():
                time.sleep(0.005)
        total = columns["a"] + columns["b"] + {offset}
        return {{"total": total, "label": (total > 0).astype("int64")}}
"""


def write(directory: Path, version: str, home: Path, **changes: Any) -> Bundle:
    """The model in that version; its files `begun` and `gate` are in `home`."""
    offset = OFFSETS[version]
    rows = [{"total": row["total"] + offset, "label": int(row["total"] + offset > 0)} for row in SUM_GOLDEN[1]]
    source = _SOURCE.format(held=HELD, begun=str(home / "begun"), gate=str(home / "gate"), offset=offset)
    return write_python(directory, source.encode(), version=version, golden=(SUM_GOLDEN[0], rows), **changes)


@dataclass
class Seen:
    """What callers got: answers by (transport, version, total), and everything that was no answer."""

    answers: Counter[tuple[str, str, float]] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)

    def versions(self, transport: str) -> set[str]:
        """The versions that answered there."""
        return {version for way, version, _ in self.answers if way == transport}

    def wrong(self) -> list[tuple[str, str, float]]:
        """Answers that are not those of the version that they name."""
        return [each for each in self.answers if each[2] != 3.0 + OFFSETS[each[1]]]


def by_rest(client: httpx.Client) -> tuple[str, float]:
    """Ask once; the version that answered, and its total."""
    answer = client.post("/v1/models/demo:predict", json={"instances": [{"a": 1, "b": 2}]})
    assert answer.status_code == 200, answer.text
    said = answer.json()
    return said["metadata"]["version"], said["predictions"][0]["total"]


def by_grpc(channel: grpc.Channel) -> tuple[str, float]:
    """The same over gRPC."""
    ask = channel.unary_unary(
        "/inference.GRPCInferenceService/ModelInfer",
        request_serializer=wire.ModelInferRequest.SerializeToString,
        response_deserializer=wire.ModelInferResponse.FromString,
    )
    request = wire.ModelInferRequest(model_name="demo")
    for name, value in (("a", 1.0), ("b", 2.0)):
        tensor = request.inputs.add(name=name, datatype="FP32", shape=[1])
        tensor.contents.fp32_contents.append(value)
    answer = ask(request, timeout=60)
    (total,) = [output for output in answer.outputs if output.name == "total"]
    return answer.model_version, total.contents.fp32_contents[0]


@contextmanager
def asking(host: Host, fresh: bool = False) -> Iterator[Seen]:
    """A caller of each transport asks all the time, for the length of a `with`; with `fresh` each question over REST
    has a connection of its own."""
    seen, done = Seen(), threading.Event()

    def ask(transport: str) -> None:
        client = httpx.Client(base_url=host.url, timeout=60)
        channel = grpc.insecure_channel(host.grpc)
        while not done.is_set():
            try:
                if transport == "grpc":
                    version, total = by_grpc(channel)
                elif fresh:
                    with httpx.Client(base_url=host.url, timeout=60) as once:
                        version, total = by_rest(once)
                else:
                    version, total = by_rest(client)
            except (grpc.RpcError, httpx.HTTPError, AssertionError) as error:
                seen.lost.append(f"{transport}: {error!r}")
            else:
                seen.answers[transport, version, total] += 1
        client.close()
        channel.close()

    callers = [threading.Thread(target=ask, args=(way,)) for way in ("rest", "grpc")]
    for caller in callers:
        caller.start()
    try:
        yield seen
    finally:
        done.set()
        for caller in callers:
            caller.join()


def until(there: Path, seconds: float = 60) -> None:
    """Wait for a file."""
    deadline = time.monotonic() + seconds
    while not there.exists():
        assert time.monotonic() < deadline, there
        time.sleep(0.005)
