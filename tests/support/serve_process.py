"""A real `fivefold serve` for tests: started as a user would, on free ports, and ended with all that it started."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fivefold.local import processes

SERVICES = Path(__file__).parents[2] / "services"

_PROGRAM = """
import json, sys
from fivefold.core.errors import FivefoldError
from fivefold.online.settings import OnlineSettings
models, defaults, settings, dev = json.loads(sys.argv[1])
try:
    if dev is None:
        from fivefold.online.local.lifecycle import serve
        sys.exit(serve(models, OnlineSettings(**settings), defaults=defaults))
    from fivefold.online.dev.dev_process import serve_dev
    sys.exit(serve_dev(models, OnlineSettings(**settings), defaults=defaults, **dev))
except FivefoldError as error:
    sys.exit(f"{error.code}: {error}")
"""

_LEFT = re.compile(rb"raylet|gcs_server|haproxy|ray::|fivefold\.online|default_worker|ray/dashboard")


@dataclass
class Host:
    """A running `fivefold serve`: its addresses (HOST:PORT), its process and what it has printed."""

    process: subprocess.Popen[bytes]
    output: Path
    http: str = ""
    grpc: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where REST is."""
        return f"http://{self.http}"

    def printed(self) -> str:
        """Everything on its standard output and error so far."""
        return self.output.read_text(errors="replace")

    def wait(self, seconds: float = 60) -> int:
        """The exit status of a host that is ending."""
        return self.process.wait(seconds)

    def stop(self, signum: int = signal.SIGTERM, seconds: float = 60) -> int:
        """End it as a user does; its exit status."""
        self.process.send_signal(signum)
        return self.wait(seconds)


def launch(
    models: Sequence[str | Path],
    directory: Path,
    *,
    defaults: dict[str, str] | None = None,
    environment: dict[str, str] | None = None,
    dev: dict[str, Any] | None = None,
    **settings: Any,
) -> Host:
    """Start one and return at once; without `http` and `grpc` in the settings the ports are free ones.

    With `dev`, what `serve_dev` takes beside, it is one process without Ray.
    """
    settings = {"http": "127.0.0.1:0", "grpc": "127.0.0.1:0"} | settings
    directory.mkdir(parents=True, exist_ok=True)
    output = directory / "serve.txt"
    path = os.pathsep.join(filter(None, (str(SERVICES), os.environ.get("PYTHONPATH"))))
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, json.dumps([list(map(str, models)), defaults or {}, settings, dev])],
            stdout=file,
            stderr=file,
            stdin=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"} | (environment or {}),
        )
    return Host(process, output)


def until_ready(host: Host, seconds: float = 150) -> Host:
    """Wait until it says that it answers, and fill in the addresses."""
    deadline = time.monotonic() + seconds
    while "Ctrl-C stops it" not in (printed := host.printed()):
        if host.process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"no server (exit {host.process.poll()}):\n{printed}")
        time.sleep(0.05)
    host.http = re.search(r"REST  http://(\S+?)/", printed)[1]  # type: ignore[index]
    host.grpc = re.search(r"gRPC  (\S+)", printed)[1]  # type: ignore[index]
    return host


@contextlib.contextmanager
def running(models: Sequence[str | Path], directory: Path, **given: Any) -> Iterator[Host]:
    """A host that answers, for the length of a `with`; it must end by itself when asked to, leaving nothing."""
    host = launch(models, directory, **given)
    try:
        yield until_ready(host)
    finally:
        below = processes.descendants(host.process.pid)
        if host.process.poll() is None:
            host.process.send_signal(signal.SIGTERM)
        try:
            host.process.wait(60)
        finally:
            host.process.kill()
        assert not alive(below), host.printed()


def alive(pids: Sequence[int]) -> dict[int, str]:
    """Those of the processes that are (still) part of a run, with their command lines."""
    found = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            if _LEFT.search(command):
                found[pid] = command.replace(b"\0", b" ").decode(errors="replace")
    return found


def until_gone(pids: Sequence[int], seconds: float = 30) -> None:
    """Wait until none of a run's processes is left."""
    deadline = time.monotonic() + seconds
    while left := alive(pids):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
