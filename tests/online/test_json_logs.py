"""`fivefold serve` with its log as JSON: real Ray, a replica that is killed, and every line that was printed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from fivefold.local import processes
from tests.support import slow_model
from tests.support.serve_process import SERVICES, Host, alive

pytestmark = [pytest.mark.host, pytest.mark.full]

JSON = {
    "FIVEFOLD_LOG_FORMAT": "json",
    "FIVEFOLD_LOG_SAMPLE": "1",
    "RAY_LOG_TO_STDERR": "1",
    "RAY_BACKEND_LOG_JSON": "1",
    "PYTHONPATH": str(SERVICES),
}
ASKED = 20
T = TypeVar("T")


def until(found: Callable[[], T | None], seconds: float) -> T:
    """What it gives, once that is something."""
    deadline = time.monotonic() + seconds
    while not (it := found()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return it


def records(host: Host) -> list[dict[str, Any]]:
    """Each line so far; one that is no record fails."""
    *whole, _ = host.printed().split("\n")
    return [json.loads(line) for line in whole]


def said(host: Host, words: str) -> str:
    """The message with these words, once there is one."""

    def found() -> str | None:
        assert host.process.poll() is None, host.printed()
        return next((str(each["message"]) for each in records(host) if words in str(each["message"])), None)

    return until(found, 150)


def answered_by(host: Host) -> int:
    """The process of the replica that answers one request; 0 while none does."""
    body = json.dumps({"instances": [{"seconds": 0.001}]}).encode()
    url, headers = f"{host.url}/v1/models/{slow_model.NAME}:predict", {"content-type": "application/json"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=60) as answer:
            return int(json.load(answer)["predictions"][0]["process"])
    except OSError:
        return 0


def test_every_line_is_a_record_and_none_is_lost(tmp_path: Path) -> None:
    """Of the command, of Ray's processes and of two replicas, one of which is killed; it ends as it does without."""
    output, errors = tmp_path / "out.txt", tmp_path / "err.txt"
    command = [sys.executable, "-m", "fivefold", "serve", str(slow_model.bundle(tmp_path))]
    with output.open("wb") as out, errors.open("wb") as err:
        process = subprocess.Popen(
            [*command, "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"], stdout=out, stderr=err, env=os.environ | JSON
        )
    host = Host(process, output)
    try:
        said(host, "Ctrl-C stops it")
        host.http = said(host, "REST  http://").partition("http://")[2].split("/")[0]
        first = [answered_by(host) for _ in range(ASKED)]
        assert all(first), host.printed()
        os.kill(first[0], signal.SIGKILL)
        second = until(lambda: answered_by(host), 90)
        more = [answered_by(host) for _ in range(ASKED)]
        below = processes.descendants(process.pid)
        status = host.stop()
    finally:
        process.kill()

    found = records(host)
    answers = [each for each in found if each.get("model") == slow_model.NAME and each.get("replica")]
    assert status == 0
    assert set(first) == {first[0]}
    assert set(more) == {second} != set(first)
    assert errors.read_text() == ""
    assert host.printed().endswith("\n")
    assert all({"time", "level", "logger", "message"} <= each.keys() for each in found)
    assert len([each for each in answers if each.get("code") == "ok"]) >= 2 * ASKED
    assert len({each["replica"] for each in answers}) == 2
    assert not alive(below)
