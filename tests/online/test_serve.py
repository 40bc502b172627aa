"""`fivefold serve` as a user has it: real Ray, real HAProxy, real signals."""

import contextlib
import http.client
import json
import os
import signal
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.contract.contract import Contract
from fivefold.local import processes
from fivefold.serving.grpc.proto import inference_pb2 as wire
from tests.support import slow_model
from tests.support.replica_processes import replicas
from tests.support.serve_process import Host, alive, launch, running, until_gone, until_ready

pytestmark = pytest.mark.host

WATCH = "/grpc.health.v1.Health/Watch"

# Opens in the command that serves, and in no replica of it.
LICENSED = b"""
import os

if "FIVEFOLD_BIND_GRPC" in os.environ:
    raise RuntimeError("no licence on this machine")


class Licensed:
    def predict(self, columns):
        return {"b": columns["a"]}
"""


def ask(host: Host, path: str, body: Any = None, timeout: float = 60) -> tuple[int, dict[str, str], Any]:
    """Status, headers and JSON of one request; without a body a GET."""
    connection = http.client.HTTPConnection(host.http, timeout=timeout)
    try:
        connection.request("GET" if body is None else "POST", path, body and json.dumps(body))
        answer = connection.getresponse()
        text = answer.read()
        assert answer.headers["content-type"] == "application/json", (answer.status, text)
        return answer.status, {key.lower(): value for key, value in answer.getheaders()}, json.loads(text)
    finally:
        connection.close()


def sleep(host: Host, seconds: float) -> tuple[int, dict[str, str], Any]:
    """A request that takes so long."""
    return ask(host, f"/v1/models/{slow_model.NAME}:predict", {"instances": [{"seconds": seconds}]})


def answered_by(host: Host) -> int:
    """The process of the replica that happens to answer."""
    process: int = sleep(host, 0.001)[2]["predictions"][0]["process"]
    return process


def until(condition: Callable[[], bool], seconds: float = 60, every: float = 0.05) -> None:
    """Wait for it."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(every)


def until_replicas(host: Host, count: int) -> None:
    """Wait until so many answer. Asked rarely, because asking is load too."""
    until(lambda: len({answered_by(host) for _ in range(8)}) == count, every=0.5)


def until_calm(host: Host, seconds: float = 6) -> None:
    """Wait until one replica alone has answered for longer than Ray looks back: no earlier load adds another."""
    alone_since = time.monotonic()

    def calm() -> bool:
        nonlocal alone_since
        if len({answered_by(host) for _ in range(4)}) > 1:
            alone_since = time.monotonic()
        return time.monotonic() - alone_since > seconds

    until(calm, seconds=90, every=0.5)


def watch(host: Host, count: int) -> tuple[grpc.Channel, list[Any]]:
    """Idle health streams, each of which has had its first answer."""
    channel = grpc.insecure_channel(host.grpc)
    ask_watch = channel.unary_stream(
        WATCH,
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    streams = [ask_watch(health_pb2.HealthCheckRequest()) for _ in range(count)]
    for stream in streams:
        assert next(iter(stream)).status == health_pb2.HealthCheckResponse.SERVING
    return channel, streams


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return slow_model.bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def host(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host with room for two replicas of eight requests each."""
    settings = {
        "max_replicas": 2,
        "target_ongoing_requests": 2.0,
        "upscale_delay": 0.5,
        "downscale_delay": 2.0,
        "inline_seconds": 0.0,
        "threads": 8,
        "max_inflight": 8,
        "drain_seconds": 20.0,
    }
    with running([bundle], tmp_path_factory.mktemp("host"), **settings) as running_host:
        yield running_host


def test_what_it_prints_can_be_pasted(host: Host) -> None:
    """The addresses, the model with its digest, and a request that is answered."""
    printed = host.printed()

    digest = ask(host, f"/v1/models/{slow_model.NAME}:predict", {"instances": [{"seconds": 0}]})[2]["metadata"][
        "bundle"
    ]
    assert digest in printed
    assert f"curl -s http://{host.http}/v1/models/slow:predict" in printed
    assert f"{host.grpc} inference.GRPCInferenceService/ModelInfer" in printed


def test_everything_listens_on_loopback_only(host: Host) -> None:
    """Ray's own ports too: one of them unpickles what it is sent."""
    inodes = set()
    for pid in [host.process.pid, *processes.descendants(host.process.pid)]:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            # One that has been closed meanwhile listens nowhere.
            with contextlib.suppress(FileNotFoundError):
                target = str(descriptor.readlink())
                if target.startswith("socket:["):
                    inodes.add(target[8:-1])

    elsewhere = [
        line.split()[1]
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        if line.split()[3] == "0A" and line.split()[9] in inodes and not loopback(line.split()[1].split(":")[0])
    ]

    assert inodes
    assert elsewhere == []


def loopback(words: str) -> bool:
    """Whether an address of /proc/net/tcp or tcp6 is loopback."""
    raw = b"".join(struct.pack("=I", int(words[at : at + 8], 16)) for at in range(0, len(words), 8))
    if len(raw) == 16 and raw.startswith(bytes(10) + b"\xff\xff"):
        raw = raw[12:]
    return raw[0] == 127 if len(raw) == 4 else raw == bytes(15) + b"\1"


@pytest.mark.full
def test_more_than_it_can_do_is_shed_with_retry_after(host: Host) -> None:
    """Nobody gets Ray's or HAProxy's own plain text."""
    with ThreadPoolExecutor(60) as pool:
        answers = list(pool.map(lambda _: sleep(host, 0.5), range(60)))

    statuses = Counter(status for status, _, _ in answers)
    assert set(statuses) == {200, 503}, statuses
    shed = [(headers, body) for status, headers, body in answers if status == 503]
    assert {body["code"] for _, body in shed} == {"overloaded"}
    assert all("retry-after" in headers for headers, _ in shed)


@pytest.mark.full
@pytest.mark.rare
def test_ongoing_requests_add_a_replica_and_their_end_removes_it(host: Host) -> None:
    """Although none of the requests passes through Ray's own count; and who asks meanwhile, and asks once, loses
    nothing by either."""
    until_replicas(host, 1)
    stop, over = threading.Event(), threading.Event()
    steady = [Steady(kind(host), over) for kind in (RestLine, GrpcLine)]
    # Who answers the load itself: questions beside it fall into step with it, and then always meet the same replica.
    answered: set[int] = set()

    def load() -> None:
        while not stop.is_set():
            status, _, said = sleep(host, 1.0)
            if status == 200:
                answered.add(said["predictions"][0]["process"])

    threads = [threading.Thread(target=load) for _ in range(6)]
    for thread in (*threads, *steady):
        thread.start()
    try:
        until(lambda: len(answered) == 2)
        stop.set()
        before = [each.answered for each in steady]
        until(lambda: len(replicas(host)) == 1)
        until(lambda: all(each.answered > was for each, was in zip(steady, before, strict=True)))
    finally:
        stop.set()
        over.set()
        for thread in (*threads, *steady):
            thread.join()

    for each in steady:
        assert each.failed == []


class RestLine:
    """One REST connection that is kept open; it asks once."""

    def __init__(self, host: Host) -> None:
        self._connection = http.client.HTTPConnection(host.http, timeout=60)

    def ask(self) -> bool:
        """Whether it was answered, and rightly; `overloaded` is an answer while the others ask for too much."""
        body = json.dumps({"instances": [{"seconds": 0.01}]})
        self._connection.request("POST", f"/v1/models/{slow_model.NAME}:predict", body)
        answer = self._connection.getresponse()
        said = json.loads(answer.read())
        return said.get("code") == "overloaded" or said["predictions"][0]["slept"] == 0.01

    def close(self) -> None:
        self._connection.close()


class GrpcLine:
    """One gRPC channel that is kept open; it asks once."""

    def __init__(self, host: Host) -> None:
        options = [("grpc.enable_retries", 0)]
        self._channel = grpc.insecure_channel(host.grpc, options)
        self._infer = self._channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        self._request = request_of(0.01)

    def ask(self) -> bool:
        """As over REST."""
        try:
            answer = wire.ModelInferResponse.FromString(self._infer(self._request, timeout=60))
        except grpc.RpcError as error:
            if dict(error.trailing_metadata() or ()).get("fivefold-code") == "overloaded":  # type: ignore[attr-defined]  # a call, too
                return True
            raise
        slept = next(index for index, tensor in enumerate(answer.outputs) if tensor.name == "slept")
        return struct.unpack("<d", answer.raw_output_contents[slept])[0] == 0.01

    def close(self) -> None:
        self._channel.close()


def request_of(seconds: float) -> bytes:
    """A raw request of one row."""
    request = wire.ModelInferRequest(model_name=slow_model.NAME, raw_input_contents=[struct.pack("<d", seconds)])
    request.inputs.add(name="seconds", datatype="FP64", shape=[1])
    return request.SerializeToString()


class Steady(threading.Thread):
    """A client that asks again and again on what it has opened once."""

    def __init__(self, line: RestLine | GrpcLine, over: threading.Event) -> None:
        super().__init__()
        self._line, self._over = line, over
        self.answered = 0
        self.failed: list[BaseException | str] = []

    def run(self) -> None:
        """Until it is over; ten times a second."""
        with contextlib.closing(self._line):
            while not self._over.wait(0.1):
                try:
                    if not self._line.ask():
                        self.failed.append("a wrong answer")
                    self.answered += 1
                except Exception as error:
                    self.failed.append(error)
                    return


@pytest.mark.full
def test_idle_streams_are_no_load(host: Host) -> None:
    """Fifty watchers neither add a replica nor count against the limit."""
    until_calm(host)
    channel, streams = watch(host, 50)

    with channel:
        time_to_react = time.monotonic() + 4  # the delay is 0.5 s, and Ray looks back over 5 s
        seen = set()
        while time.monotonic() < time_to_react:
            seen.add(answered_by(host))
            time.sleep(0.2)
        for stream in streams:
            stream.cancel()

    assert len(seen) == 1


@pytest.mark.full
def test_a_replica_that_dies_is_replaced_and_no_answer_is_wrong(host: Host) -> None:
    """A request is asked again of a replica that lives; an answer of which the half was out is the one that is lost."""
    victim = answered_by(host)
    answers: list[tuple[int, Any]] = []
    torn: list[http.client.IncompleteRead] = []
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            try:
                status, _, body = sleep(host, 0.002)
                answers.append((status, body))
            except http.client.IncompleteRead as error:
                torn.append(error)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: len(answers) > 50)
    os.kill(victim, signal.SIGKILL)
    try:
        until(lambda: any(b["predictions"][0]["process"] != victim for s, b in answers[-4:] if s == 200), 90)
    finally:
        stop.set()
        for thread in threads:
            thread.join()

    wrong = [body for status, body in answers if status == 200 and body["predictions"][0]["slept"] != 0.002]
    assert wrong == []
    assert [body for status, body in answers if status != 200] == []
    assert len(torn) <= len(threads), "at most what was in work at that moment"


@dataclass(frozen=True)
class Drained:
    """A host ended by SIGTERM with requests in work and streams open, and the next one at its ports."""

    statuses: list[int]
    exit_status: int
    seconds: float
    streams_ended: bool
    left: dict[int, str]
    again: Host


@pytest.fixture(scope="module")
def drained(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drained]:
    """The end of one host and the start of the next."""
    settings = {"inline_seconds": 0.0, "threads": 4, "drain_seconds": 30.0}
    first = until_ready(launch([bundle], tmp_path_factory.mktemp("first"), **settings))
    below = processes.descendants(first.process.pid)
    channel, streams = watch(first, 50)
    with ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(sleep, first, 1.0) for _ in range(3)]
        until(lambda: inflight(first) == 3)
        begun = time.monotonic()
        first.process.send_signal(signal.SIGTERM)
        until(lambda: refused(first))
        statuses = [answer.result()[0] for answer in answers]
    exit_status = first.wait()
    seconds = time.monotonic() - begun
    channel.close()
    ended = all(stream.code() is not None for stream in streams)
    left = alive(below)
    with running([bundle], tmp_path_factory.mktemp("second"), http=first.http, grpc=first.grpc) as second:
        yield Drained(statuses, exit_status, seconds, ended, left, second)


def test_it_finishes_what_it_has_begun_and_starts_again_at_once(drained: Drained) -> None:
    """SIGTERM with requests in work and streams open: the answers come, new callers are refused, nothing is left."""
    assert drained.statuses == [200, 200, 200]
    assert drained.exit_status == 0
    assert drained.seconds < 15, "the streams held up the drain"
    assert drained.streams_ended
    assert drained.left == {}
    assert ask(drained.again, "/readyz")[0] == 200


def inflight(host: Host) -> int:
    """Requests in work, as the metrics say."""
    connection = http.client.HTTPConnection(host.http, timeout=10)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    (line,) = [line for line in text.splitlines() if line.startswith("fivefold_inflight{")]
    return round(float(line.split()[-1]))


def refused(host: Host) -> bool:
    """Whether nobody listens any more."""
    address, port = host.http.split(":")
    try:
        socket.create_connection((address, int(port)), 1).close()
    except OSError:
        return True
    return False


@pytest.mark.full
@pytest.mark.rare
def test_the_only_replica_is_replaced_behind_a_port_that_stays(drained: Drained) -> None:
    """Nobody is refused meanwhile: who connects while it is away waits and is answered by the next one."""
    victim = answered_by(drained.again)
    os.kill(victim, signal.SIGKILL)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: connected_anew(drained.again), range(8)))

    assert [status for status, _ in answers] == [200] * 8
    assert victim not in {body["predictions"][0]["process"] for _, body in answers}


def connected_anew(host: Host) -> tuple[int, Any]:
    """The answer over a connection of its own; one that the dying replica had still taken does not count."""
    while True:
        with contextlib.suppress(ConnectionResetError, http.client.RemoteDisconnected):
            status, _, body = sleep(host, 0.001)
            return status, body


@pytest.mark.full
@pytest.mark.parametrize("victim", ["serve", pytest.param("engine", marks=pytest.mark.rare)])
def test_nothing_outlives_a_killed_run(victim: str, bundle: Path, tmp_path: Path) -> None:
    """SIGKILL gives no time to clean up; what is left ends itself."""
    host = until_ready(launch([bundle], tmp_path / victim))
    below = processes.descendants(host.process.pid)
    (engine,) = [pid for pid, command in alive(below).items() if "fivefold.online.local.ray_process" in command]

    os.kill(host.process.pid if victim == "serve" else engine, signal.SIGKILL)
    status = host.wait()

    until_gone(below)
    assert status == (-signal.SIGKILL if victim == "serve" else 1)
    if victim == "engine":
        assert "the server ended by itself" in host.printed()


@pytest.mark.full
@pytest.mark.rare
def test_a_replica_that_does_not_start_is_told_with_its_reason(tmp_path: Path) -> None:
    """What is well here and fails there cannot be seen before; Serve itself only says that it has failed."""
    written = Bundle.write(
        tmp_path / "licensed",
        contract=Contract.from_json(
            b"""{"format": 1, "name": "licensed", "version": "1.0.0",
             "inputs": [{"name": "a", "dtype": "float64"}], "outputs": [{"name": "b", "dtype": "float64"}]}"""
        ),
        model={"model/licensed.py": LICENSED},
        runtime="python",
        entry="licensed:Licensed",
        golden=([{"a": 1.0}], [{"b": 1.0}]),
        tolerance=0.0,
    )

    host = launch([written.path], tmp_path / "host")

    assert host.wait(150) == 1
    assert "no licence on this machine" in host.printed()


@pytest.mark.parametrize(
    ("signum", "moment"),
    [
        (signal.SIGINT, "starting Ray Serve"),
        *(
            pytest.param(signum, moment, marks=[pytest.mark.full, pytest.mark.rare])
            for signum in (signal.SIGINT, signal.SIGHUP)
            for moment in ("starting Ray\n", "starting Ray Serve", "starting replicas")
            if (signum, moment) != (signal.SIGINT, "starting Ray Serve")
        ),
    ],
)
def test_a_signal_during_the_start_ends_it(moment: str, signum: int, bundle: Path, tmp_path: Path) -> None:
    host = launch([bundle], tmp_path)
    try:
        until(lambda: moment in host.printed(), 120)
    except AssertionError:
        host.stop(signal.SIGTERM, 60)
        raise AssertionError(host.printed()) from None
    below = processes.descendants(host.process.pid)

    assert host.stop(signum, 20) == 128 + signum

    assert alive(below) == {}
