"""`fivefold serve --dev` as a user has it: one process, replaced bundles, real signals, real callers."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2
from tests.support import versions_in_turn as versions
from tests.support.bundles import SUM_GOLDEN, contract, field, write_python, write_sum
from tests.support.score_commands import environment
from tests.support.serve_process import Host, launch, running

from fivefold.local import processes
from fivefold.local.scratch import own_short
from fivefold.online.local.control_socket import NAME

SECONDS = 60.0


def until(right: Callable[[], bool]) -> None:
    """Wait until something is right."""
    deadline = time.monotonic() + SECONDS
    while not right():
        assert time.monotonic() < deadline, "it did not become right"
        time.sleep(0.01)


def command(*words: str | Path) -> tuple[int, str, str]:
    """Exit status and what it printed, of `fivefold …`."""
    done = subprocess.run(
        [sys.executable, "-m", "fivefold.cli", *map(str, words)],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=SECONDS,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both versions as directories `1` and `2`."""
    home = tmp_path_factory.mktemp("versions")
    for version in versions.OFFSETS:
        versions.write(home / version, version, home)
    return home


@pytest.fixture(scope="module")
def host(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A server of version 1; every test leaves it so. On a busy machine its callers wait, and are not refused."""
    with running(
        [home / "1"], tmp_path_factory.mktemp("dev"), dev={}, log_sample=0.0, burst_seconds=SECONDS
    ) as started:
        yield started


@pytest.fixture(scope="module")
def client(host: Host) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=host.url, timeout=SECONDS) as client:
        yield client


def replace(host: Host, *words: str | Path) -> tuple[int, str, str]:
    return command("replace", "--http", host.http, *words)


def test_it_is_one_process_without_ray(host: Host) -> None:
    """And says so; nothing that trains or clusters has been loaded."""
    maps = Path(f"/proc/{host.process.pid}/maps").read_text()

    assert "one process without Ray" in host.printed()
    assert processes.descendants(host.process.pid) == []
    assert "onnxruntime" in maps or "numpy" in maps
    assert not [word for word in ("/ray/", "/sklearn/", "/pandas/") if word in maps]


def test_it_answers_as_any_server_does(host: Host, client: httpx.Client) -> None:
    """The page, the documentation, probes, metrics and the errors' table."""
    assert client.get("/", headers={"accept": "text/html"}).headers["content-type"].startswith("text/html")
    assert client.get("/docs").status_code == 200
    assert client.get("/readyz").json() == {"ready": True}
    assert "fivefold_bundle_info{" in client.get("/metrics").text
    refused = client.post("/v1/models/demo:predict", json={"instances": [{"a": 1, "b": 1000}]})
    assert (refused.status_code, refused.json()["code"], refused.json()["path"]) == (422, "out_of_range", "inputs.b[0]")
    elsewhere = client.get("/v1/models", headers={"host": "evil.example"})
    assert elsewhere.json()["code"] == "forbidden"


def test_replacing_under_load_loses_nothing(host: Host, home: Path) -> None:
    """Four times there and back: every call is answered, by the version that it names."""
    with versions.asking(host) as seen:
        for version in ("2", "1", "2", "1"):
            status, printed, said = replace(host, "--model", home / version)
            assert (status, printed.split()[:2]) == (0, ["demo", version]), said

    assert seen.lost == []
    assert seen.wrong() == []
    assert seen.versions("rest") == seen.versions("grpc") == {"1", "2"}


def test_a_call_in_work_is_answered_by_the_model_that_it_met(host: Host, home: Path, client: httpx.Client) -> None:
    """However long that takes; who asks after the swap meets the new one."""
    (home / "gate").unlink(missing_ok=True)
    held: list[dict[str, Any]] = []

    def ask() -> None:
        rows = {"instances": [{"a": 0, "b": versions.HELD}]}
        held.append(httpx.post(f"{host.url}/v1/models/demo:predict", json=rows, timeout=SECONDS).json())

    caller = threading.Thread(target=ask)
    caller.start()
    versions.until(home / "begun")
    assert replace(host, "--model", home / "2")[0] == 0
    after = versions.by_rest(client)
    assert held == []
    (home / "gate").touch()
    caller.join()
    assert replace(host, "--model", home / "1")[0] == 0

    assert after == ("2", 3.0 + versions.OFFSETS["2"])
    assert held[0]["metadata"]["version"] == "1"
    assert held[0]["predictions"][0]["total"] == versions.HELD


def broken_answers(place: Path) -> Path:
    """A bundle that does not give its golden answers."""
    answers = [{"total": row["total"] + 1, "label": row["label"]} for row in SUM_GOLDEN[1]]
    return Path(write_sum(place, golden=(SUM_GOLDEN[0], answers)).path)


def crashing(place: Path) -> Path:
    """A bundle whose model takes its process with it."""
    source = b"import ctypes\n\n\nclass Sum:\n    def __init__(self):\n        ctypes.string_at(0)\n"
    return Path(write_python(place, source).path)


def narrower(place: Path) -> Path:
    """A bundle that takes less than callers send now."""
    less = contract(
        [field("a", minimum=-100, maximum=100), field("b", minimum=-100, maximum=10)],
        [field("total"), field("label", "int64", minimum=0, maximum=1)],
    )
    return Path(write_sum(place, contract=less).path)


def renamed(place: Path) -> Path:
    """A bundle of another model."""
    return Path(write_sum(place, name="other").path)


@pytest.mark.parametrize(
    ("make", "says", "help"),
    [
        (broken_answers, "error: golden.jsonl: row 0, outputs.total: expected", "pack the model again"),
        (crashing, "error: model/: the model 'demo' ended the process that loaded and tested it (SIGSEGV)", ""),
        (narrower, "error: demo: the contract changes: ", "--accept-contract-change demo"),
        (renamed, "error: demo: is served, the release does not have it", "--accept-removal demo"),
    ],
    ids=["answers", "crash", "contract", "removal"],
)
def test_what_may_not_be_served_changes_nothing(
    make: Callable[[Path], Path], says: str, help: str, host: Host, client: httpx.Client, tmp_path: Path
) -> None:
    """It is said why, and what is the way on; callers notice nothing."""
    status, printed, said = replace(host, "--model", make(tmp_path / "bundle"))

    assert (status, printed) == (3, ""), said
    assert says in said
    assert help in said
    assert versions.by_rest(client) == ("1", 3.0)


def test_several_models_and_what_is_accepted(host: Host, home: Path, client: httpx.Client, tmp_path: Path) -> None:
    """All that is given is served from then on, and nothing else; who watches a model's health hears of it."""
    further, less = renamed(tmp_path / "other"), narrower(tmp_path / "less")
    channel = grpc.insecure_channel(host.grpc)
    ask = channel.unary_stream(
        "/grpc.health.v1.Health/Watch",
        health_pb2.HealthCheckRequest.SerializeToString,
        health_pb2.HealthCheckResponse.FromString,
    )
    health = ask(health_pb2.HealthCheckRequest(service="other"), timeout=SECONDS)
    states = [next(health).status]

    both = replace(host, "--model", home / "1", "--model", further, "--json")
    names = set(client.get("/v1/models").json()["models"])
    accepted = replace(
        host, "--model", less, "--accept-contract-change", "demo", "--accept-removal", "other", "--default", "demo=1"
    )
    gone = client.post("/v1/models/other:predict", json={"instances": [{"a": 1, "b": 2}]})
    back = replace(host, "--model", home / "1")
    states += [next(health).status, next(health).status]
    channel.close()

    assert states == [
        health_pb2.HealthCheckResponse.SERVICE_UNKNOWN,
        health_pb2.HealthCheckResponse.SERVING,
        health_pb2.HealthCheckResponse.SERVICE_UNKNOWN,
    ]
    assert both[0] == 0, both[2]
    assert {each["name"] for each in json.loads(both[1])["models"]} == {"demo", "other"} == names
    assert accepted[0] == 0, accepted[2]
    assert "callers lose something, as was accepted" in accepted[2]
    assert gone.status_code == 404
    assert back[0] == 0, back[2]


def test_a_hangup_opens_again_what_is_served(host: Host, client: httpx.Client) -> None:
    """A service's reload: the process stays."""
    before = host.printed().count("replaced: demo 1")
    host.process.send_signal(signal.SIGHUP)
    until(lambda: host.printed().count("replaced: demo 1") > before)

    assert host.process.poll() is None
    assert versions.by_rest(client) == ("1", 3.0)


def test_only_its_user_can_replace(host: Host) -> None:
    """The socket and the directory around it are the user's alone."""
    (directory,) = [each for each in own_short() if (each / NAME).exists() and _is(host, each)]

    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / NAME).stat().st_mode) == 0o600
    assert httpx.post(f"{host.url}/v2/repository/models/demo/load", json={}).status_code != 200


def _is(host: Host, directory: Path) -> bool:
    """Whether that is the run's directory: it keeps a lock in it open."""
    return any(
        os.path.realpath(link) == str(directory / ".lock") for link in Path(f"/proc/{host.process.pid}/fd").iterdir()
    )


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    """The sentence says which ones are."""
    status, _, said = command("replace", "--http", "127.0.0.1:1", "--model", tmp_path)

    assert status == 5
    assert "no server of this user answers at 127.0.0.1:1" in said


def test_reload_takes_what_is_whole_and_tells_what_is_not(home: Path, tmp_path: Path) -> None:
    """A bundle that is replaced in its directory is served; one that is broken is told, and the old one answers on."""
    place = tmp_path / "bundle"
    versions.write(place, "1", home)
    server = running([place], tmp_path / "run", dev={"reload": True}, log_sample=0.0, burst_seconds=SECONDS)
    with server as host, versions.asking(host) as seen:
        versions.write(place, "2", home)
        until(lambda: "reloaded: demo 2" in host.printed())
        model = place / "model" / "adder.py"
        whole = model.read_bytes()
        model.write_bytes(whole + b"#")
        until(lambda: "refused: model/adder.py: expected" in host.printed())
        with httpx.Client(base_url=host.url, timeout=SECONDS) as client:
            answered = versions.by_rest(client)
        model.write_bytes(whole)
        until(lambda: host.printed().count("reloaded: demo 2") == 2)

    assert answered[0] == "2"
    assert "what was served before answers on" in host.printed()
    assert seen.lost == []
    assert seen.wrong() == []


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_calls_in_hand_are_answered_at_the_end(signum: int, home: Path, tmp_path: Path) -> None:
    """Over both transports; then nothing is left."""
    place = tmp_path / "held"
    place.mkdir()
    bundle = versions.write(tmp_path / "bundle", "1", place).path
    with running([bundle], tmp_path / "run", dev={}, log_sample=0.0) as host:
        answers: list[Any] = []

        def ask() -> None:
            rows = {"instances": [{"a": 0, "b": versions.HELD}]}
            answers.append(httpx.post(f"{host.url}/v1/models/demo:predict", json=rows, timeout=SECONDS).json())

        caller = threading.Thread(target=ask)
        caller.start()
        versions.until(place / "begun")
        host.process.send_signal(signum)
        until(lambda: "stopping" in host.printed())
        (place / "gate").touch()
        caller.join()
        status = host.wait()

    assert answers[0]["predictions"][0]["total"] == versions.HELD
    assert status == 0


def test_grpc_has_its_limits_and_its_key(home: Path, tmp_path: Path) -> None:
    """A guarded server is guarded here too."""
    keys = tmp_path / "keys.json"
    status, key, said = command("keys", "create", "--file", keys, "--name", "me")
    assert status == 0, said
    with running([home / "1"], tmp_path / "run", dev={}, log_sample=0.0, keys=str(keys), max_rows=1) as host:
        with grpc.insecure_channel(host.grpc) as channel, pytest.raises(grpc.RpcError) as refused:
            versions.by_grpc(channel)
        headers = {"authorization": f"Bearer {key.strip().splitlines()[-1].split()[-1]}"}
        rows = {"instances": [{"a": 1, "b": 2}] * 2}
        too_many = httpx.post(f"{host.url}/v1/models/demo:predict", json=rows, headers=headers, timeout=SECONDS)

    assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
    assert too_many.json()["code"] == "too_large"


def test_what_it_refuses_before_it_answers(tmp_path: Path, home: Path) -> None:
    """A port that is taken, several replicas, a bundle that is broken; reload without dev."""
    bad = launch([broken_answers(tmp_path / "bad")], tmp_path / "run", dev={})
    several = command("serve", "--dev", "--model", home / "1", "--max-replicas", "2")
    alone = command("serve", "--reload", "--model", home / "1")

    assert bad.wait() != 0
    assert "bundle_invalid: golden.jsonl" in bad.printed()
    assert several[0] == 2
    assert "max_replicas: --dev is one process, got 2" in several[2]
    assert (alone[0], "--reload goes with --dev" in alone[2]) == (2, True)


def test_a_taken_port_is_named(host: Host, home: Path, tmp_path: Path) -> None:
    """With the option that names another one."""
    second = launch([home / "1"], tmp_path, dev={}, grpc=host.grpc)

    assert second.wait() == 1
    assert f"error: port {host.grpc.rpartition(':')[2]} on 127.0.0.1 is taken" in second.printed()
    assert "--grpc HOST:PORT" in second.printed()
