"""A real `bentoml serve` for tests: BentoML in an environment of its own, Fivefold from the wheel that was exported."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from fivefold.local import processes
from tests.support import programs

BIN = programs.environment("bentoml", "the exported BentoML service")


@dataclass
class Bento:
    """A running service: where it answers, its process, and the file with all that it prints."""

    url: str
    process: subprocess.Popen[bytes]
    output: Path


def environment(home: Path, site: Path | None = None, **variables: str) -> dict[str, str]:
    """Nothing is sent home, nothing is stored outside `home`; Fivefold comes from `site` alone."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FIVEFOLD_", "BENTO", "PYTHON"))}
    given = {"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    return {**kept, **given, **({"PYTHONPATH": str(site)} if site else {}), **variables}


def install(service: Path, site: Path) -> Path:
    """Install the service's wheel as its container does, apart from what the environment has already."""
    assert BIN is not None
    (wheel,) = service.glob("wheels/*.whl")
    pip: list[str | Path] = [
        BIN / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-index",
        "--no-deps",
    ]
    subprocess.run([*pip, "--no-compile", "--target", site, wheel], check=True, env=environment(site))
    return site


def bentoml(*arguments: str | Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command of BentoML to its end."""
    assert BIN is not None
    command: Sequence[str | Path] = [BIN / "bentoml", *arguments]
    return subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)


@contextlib.contextmanager
def running(service: Path, directory: Path, env: Mapping[str, str]) -> Iterator[Bento]:
    """A service that answers, for the length of a `with`; Ctrl-C must then end all of it, with status 0."""
    assert BIN is not None
    port = _free_port()
    directory.mkdir(parents=True, exist_ok=True)
    output = directory / "bentoml.txt"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [BIN / "bentoml", "serve", "--port", str(port), service],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
    bento = Bento(f"http://127.0.0.1:{port}", process, output)
    try:
        _until_ready(bento)
        yield bento
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0, output.read_text()
    finally:
        # Workers have sessions of their own, so they are ended one by one where a test left them.
        for pid in [*processes.descendants(process.pid), process.pid] if process.poll() is None else []:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def _until_ready(bento: Bento, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{bento.url}/readyz").status_code == 200:
                return
        if bento.process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"no service (exit {bento.process.poll()}):\n{bento.output.read_text()}")
        time.sleep(0.1)
