"""A start that fails says why, at once, and leaves nothing: no process, descriptor, thread, port or directory."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.bundles import PYTHON_SUM, write_python
from tests.support.serve_process import SERVICES, Host, launch

from fivefold.local import processes
from fivefold.online.local import ray_stages

HANGS = {
    "sleeps at import": b"import time\ntime.sleep(600)\n",
    "holds the lock": b"sum(range(10 ** 15))\n",
    "waits for itself": b"import threading\nthreading.Event().wait()\n",
    "hangs when it is asked": b"import time\n" + PYTHON_SUM.replace(b"total =", b"time.sleep(600); total =", 1),
}

ENDS = {
    "crashes": b"import ctypes\nctypes.string_at(0)\n",
    "is killed": b"import os\nfrom posix import kill\nkill(os.getpid(), 9)\n",
    "exits behind our back": b"from posix import _exit\n_exit(0)\n",
}


def hanging(source: bytes, tmp_path: Path, **settings: float) -> Host:
    """A start that comes as far as its model."""
    return launch([write_python(tmp_path / "b", source).path], tmp_path / "host", **settings)


RARE = [pytest.mark.full, pytest.mark.rare]


def until_testing(host: Host) -> None:
    """Wait until the process that opens bundles is there, and has had a moment to get stuck."""
    deadline = time.monotonic() + 60
    while not any("fivefold.online.local.opening" in command(pid) for pid in processes.descendants(host.process.pid)):
        assert time.monotonic() < deadline
        assert host.process.poll() is None, host.printed()


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def quick(cases: dict[str, Any], *names: str) -> list[Any]:
    """All cases, those but the named ones rare: each starts an interpreter or several."""
    return [pytest.param(case, marks=() if case in names else RARE) for case in cases]


@pytest.mark.full
@pytest.mark.parametrize("case", quick(HANGS, "holds the lock"))
def test_a_model_that_hangs_is_refused_by_name(case: str, tmp_path: Path) -> None:
    """Before Ray starts, whatever it hangs in; the setting that gives it longer is told."""
    host = hanging(HANGS[case], tmp_path, self_test_seconds=1.0)
    below: list[int] = []
    while host.process.poll() is None:
        below += processes.descendants(host.process.pid)

    assert host.wait() != 0
    assert "bundle_invalid: model/: the model 'demo' was not loaded and tested within 1 s" in host.printed()
    assert "starting" not in host.printed()
    assert not [pid for pid in set(below) if Path(f"/proc/{pid}").exists()]


@pytest.mark.full
@pytest.mark.parametrize("case", quick(ENDS, "crashes"))
def test_a_model_that_ends_the_process_is_refused_by_name(case: str, tmp_path: Path) -> None:
    """It cannot be caught there, so it is caught from outside."""
    host = hanging(ENDS[case], tmp_path)

    assert host.wait() != 0
    assert "bundle_invalid: model/: the model 'demo' ended the process that loaded and tested it" in host.printed()
    assert "Traceback" not in host.printed()


@pytest.mark.parametrize(
    ("signum", "status"),
    [
        (signal.SIGTERM, 143),
        pytest.param(signal.SIGINT, 130, marks=RARE),
        pytest.param(signal.SIGHUP, 129, marks=RARE),
    ],
)
def test_a_signal_while_a_model_is_tested_ends_it_at_once(signum: int, status: int, tmp_path: Path) -> None:
    """Although the model would never let it through."""
    host = hanging(HANGS["holds the lock"], tmp_path)
    until_testing(host)
    below = processes.descendants(host.process.pid)
    begun = time.monotonic()

    assert host.stop(signum) == status

    assert time.monotonic() - begun < 10
    assert not [pid for pid in below if Path(f"/proc/{pid}").exists()]
    assert "Traceback" not in host.printed()


PROGRAM = """
import io, json, os, resource, sys, threading
from fivefold.core.errors import FivefoldError
from fivefold.local import processes
from fivefold.online.local import lifecycle as local
from fivefold.online.settings import OnlineSettings

made, short = [], local.short
local.short = lambda: (made.append(short()), made[-1])[1]

def left():
    return {
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "children": processes.descendants(),
        "directories": [str(scratch.path) for scratch in made if scratch.path.exists()],
    }

model, settings, limit = json.loads(sys.argv[1])
settings = OnlineSettings(**({"http": "127.0.0.1:0", "grpc": "127.0.0.1:0"} | settings))
if limit:
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
said = io.StringIO()
counts = []
for _ in range(2):
    counts.append(left())
    try:
        status = local.serve([model], settings, out=said, err=said)
    except FivefoldError as error:
        status, _ = 3, said.write(f"{error.code}: {error}\\n")
counts.append(left())
print(json.dumps([status, said.getvalue(), counts]))
"""

FAILS: dict[str, dict[str, Any]] = {
    "no bundle": {"says": "bundle_invalid"},
    "a bundle that is broken": {"broken": True, "says": "bundle_invalid"},
    "a model that raises": {"source": b"1 / 0\n", "says": "ZeroDivisionError"},
    "a model that crashes": {"source": ENDS["crashes"], "says": "ended the process"},
    "a model that hangs": {"source": HANGS["holds the lock"], "self_test_seconds": 0.5, "says": "within 0.5 s"},
    "the http port": {"http": "taken", "says": "--http"},
    "the grpc port": {"grpc": "taken", "says": "--grpc"},
    "no HAProxy": {"environment": {"RAY_SERVE_HAPROXY_BINARY_PATH": "/nonexistent"}, "says": "HAProxy"},
    "a HAProxy that does not run": {
        "environment": {"RAY_SERVE_HAPROXY_BINARY_PATH": "/bin/false"},
        "says": "/bin/false does not run",
    },
    "no keys": {"keys": "/nonexistent.json", "source": PYTHON_SUM, "says": "/nonexistent.json"},
    "few descriptors": {"limit": 64, "says": "ulimit -n 1024"},
    "still few descriptors": {
        "limit": 256,
        "says": "at least 1024 open files allowed for each process, got 256",
    },
}


@contextlib.contextmanager
def taken() -> Iterator[str]:
    """A port that somebody listens at."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield f"127.0.0.1:{other.getsockname()[1]}"


@pytest.mark.full
@pytest.mark.parametrize("case", quick(FAILS, "a model that raises", "no HAProxy", "few descriptors", "the http port"))
def test_a_start_that_fails_leaves_nothing_in_the_process(case: str, tmp_path: Path) -> None:
    """The launcher is a function, too: who calls it again and again runs out of nothing."""
    given = dict(FAILS[case])
    says, limit = given.pop("says"), given.pop("limit", 0)
    model = tmp_path / "b"
    if "source" in given:
        write_python(model, given.pop("source"))
    elif given.pop("broken", False):
        write_python(model)
        (model / "model" / "adder.py").write_bytes(b"# changed")
    environment = {"PYTHONPATH": str(SERVICES)} | given.pop("environment", {})
    with taken() as address:
        settings = {name: address if value == "taken" else value for name, value in given.items()}
        ended = subprocess.run(
            [sys.executable, "-W", "error", "-c", PROGRAM, json.dumps([str(model), settings, limit])],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env=os.environ | environment,
        )

    assert ended.stderr == ""
    status, said, counts = json.loads(ended.stdout)
    assert status != 0
    assert says in said
    assert counts[-1] == counts[1]
    assert counts[-1]["threads"] == ["MainThread"]
    assert counts[-1]["children"] == counts[-1]["directories"] == []


SLOW = """
import json, sys
from fivefold.online.local import lifecycle, ray_stages
from fivefold.online.settings import OnlineSettings

ray_stages.AGAIN["Ray"] = 0.01
model, = sys.argv[1:]
sys.exit(lifecycle.serve([model], OnlineSettings(http="127.0.0.1:0", grpc="127.0.0.1:0")))
"""


def test_a_ray_that_does_not_start_in_time_is_tried_again_and_then_explained(tmp_path: Path) -> None:
    """With what there is without Ray; a signal would still end it, and nothing is left."""
    model = write_python(tmp_path / "b").path
    ended = subprocess.run(
        [sys.executable, "-c", SLOW, str(model)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"PYTHONPATH": str(SERVICES)},
    )

    assert ended.returncode == 1
    assert ended.stdout.count("starting Ray\n") == 2
    assert "again, Ray did not start within 0.01 seconds" in ended.stdout
    assert "error: Ray did not start within 0.01 seconds" in ended.stderr
    assert "help: that was the second try. A run needs about" in ended.stderr
    assert "fivefold serve --dev" in ended.stderr


def test_the_logs_of_ray_outlive_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For their user alone, the end of each; and none are no directory."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    run = tmp_path / "run"
    logs = run / "ray" / "session_1" / "logs"
    logs.mkdir(parents=True)
    assert ray_stages.keep_logs(run) is None
    (logs / "gcs_server.out").write_bytes(b"x" * ray_stages.KEPT_BYTES + b"why")

    kept = ray_stages.keep_logs(run)

    assert kept is not None
    assert kept.stat().st_mode & 0o077 == 0
    assert (kept / "gcs_server.out").read_bytes()[-4:] == b"xwhy"
    assert (kept / "gcs_server.out").stat().st_size == ray_stages.KEPT_BYTES
    assert f"Ray's logs are in {tmp_path}/fivefold-ray-logs-" in ray_stages.explained("why", run)
