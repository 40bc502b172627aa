"""A gateway as the process that a device runs: small, locked, drained, and true to what it has acknowledged."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from tests.support.gateways import SECONDS, events, eventually, process, running
from tests.support.score_commands import environment

from fivefold.core.errors import RunFailed

ROUNDS = 4
"""Starts and kills: a start takes seconds."""

FORBIDDEN = ("ray", "pandas", "sklearn", "pyarrow", "grpc", "confluent_kafka")

MODULES = """
import sys, threading, urllib.request
from fivefold.delivery.settings import DeliverySettings
from fivefold.edge.gateway.gateway_process import Gateway
from fivefold.edge.gateway.gateway_settings import GatewaySettings
from fivefold.local.signals import StopSignals

hub = dict(hub="http://127.0.0.1:1", device="d", hub_key_file=sys.argv[3]) if sys.argv[3] else {}
settings = GatewaySettings(http="127.0.0.1:0", data=sys.argv[2], mqtt="mqtt://127.0.0.1:1", **hub)
gateway = Gateway([sys.argv[1]], settings, DeliverySettings())
stop, ready = StopSignals(), threading.Event()
thread = threading.Thread(target=lambda: gateway.run(stop, ready=ready.set), daemon=True)
thread.start()
ready.wait()
body = b'{"instances": [{"a": 1, "b": 2}]}'
for _ in range(100):
    asked = urllib.request.Request(f"http://{gateway.http}/v1/models/demo:predict", body,
                                   {"content-type": "application/json"})
    urllib.request.urlopen(asked).read()
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(status["VmHWM"].split()[0]), *sorted({name.partition(".")[0] for name in sys.modules}))
stop()
thread.join()
gateway.close()
"""


@pytest.mark.full
@pytest.mark.parametrize("hub", [True, False])
def test_it_is_small(tmp_path: Path, bundle: Path, hub: bool) -> None:
    """With a hub and a broker it has loaded nothing that trains or clusters, and takes at most 120 MB at its peak; an
    HTTP client is there for a hub alone."""
    key = tmp_path / "key"
    key.write_text("secret")
    key.chmod(0o600)
    line = [sys.executable, "-c", MODULES, str(bundle), str(tmp_path / "data"), str(key) if hub else ""]
    done = subprocess.run(line, capture_output=True, text=True, env=environment(), timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    peak, *modules = done.stdout.split()

    assert "onnxruntime" in modules
    assert not set(modules) & set(FORBIDDEN)
    assert ("httpx" in modules) is hub
    assert int(peak) <= 120 * 1024, f"{int(peak) / 1024:.1f} MB"


@pytest.mark.full
def test_one_gateway_a_directory(tmp_path: Path, bundle: Path) -> None:
    """The second one says who has it."""
    with running(tmp_path, [bundle]):
        with pytest.raises(RunFailed) as error, running(tmp_path, [bundle]):
            pass
        assert error.value.code == "run_conflict"


def test_sigterm_answers_what_is_in_work(tmp_path: Path, bundle: Path) -> None:
    """Every caller hears either an answer or that nobody is there; each answer is on the disk; the status is 0."""
    heard: list[int] = []

    def ask(http: str) -> None:
        with httpx.Client(timeout=SECONDS) as client:
            while True:
                try:
                    body = {"instances": [{"a": 1, "b": 2}]}
                    answer = client.post(f"http://{http}/v1/models/demo:predict", json=body)
                except httpx.ConnectError:
                    return
                except httpx.TransportError:
                    # Closed between two requests of one connection.
                    continue
                heard.append(int(answer.headers["x-fivefold-sequence"]))

    with process(tmp_path, bundle) as (gateway, http):
        callers = [threading.Thread(target=ask, args=(http,)) for _ in range(4)]
        for caller in callers:
            caller.start()
        while len(heard) < 50:
            time.sleep(0.01)
        gateway.send_signal(signal.SIGTERM)
        for caller in callers:
            caller.join(SECONDS)
        assert gateway.wait(SECONDS) == 0

    assert len(heard) == len(set(heard))
    assert set(heard) <= {each["seq"] for each in events(tmp_path)}
    assert not (tmp_path / "data" / "gateway.json").exists()


@pytest.mark.full
@pytest.mark.timeout(600)
def test_a_kill_loses_no_acknowledged_answer(tmp_path: Path, bundle: Path) -> None:
    """kill -9 under load, again and again: what was answered is there, once, with the values that were sent."""
    dice = random.Random(0)
    heard: dict[int, float] = {}
    counter = iter(range(1_000_000))
    lock = threading.Lock()

    def ask(http: str, killed: threading.Event) -> None:
        with httpx.Client(timeout=SECONDS) as client:
            while not killed.is_set():
                with lock:
                    number = next(counter) % 20_000 / 200
                body = {"instances": [{"a": number, "b": 0}]}
                try:
                    answer = client.post(f"http://{http}/v1/models/demo:predict", json=body)
                except httpx.TransportError:
                    return
                assert answer.status_code == 200, answer.text
                with lock:
                    heard[int(answer.headers["x-fivefold-sequence"])] = number

    for _ in range(ROUNDS):
        with process(tmp_path, bundle) as (gateway, http):
            killed = threading.Event()
            callers = [threading.Thread(target=ask, args=(http, killed)) for _ in range(8)]
            for caller in callers:
                caller.start()
            enough = len(heard) + dice.randrange(50, 150)
            eventually(lambda enough=enough: len(heard) >= enough)  # type: ignore[misc]  # no argument of eventually's
            gateway.kill()
            killed.set()
            for caller in callers:
                caller.join(SECONDS)

    kept = {each["seq"]: each["input"]["a"] for each in events(tmp_path)}
    assert len(heard) > 200
    assert {seq: kept.get(seq) for seq in heard} == pytest.approx(heard, abs=1e-4)
    assert sorted(kept) == list(range(1, len(kept) + 1))
