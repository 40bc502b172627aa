"""The load tools: wrk for HTTP, ghz for gRPC, each asking one server; any answer that is no success ends the run."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loadtest.bench.questions import HttpRequest
from loadtest.machine.measurement import Failed
from loadtest.machine.programs import direct, find

PATIENCE = 120
"""Seconds that one answer may take."""

CALL = "inference.GRPCInferenceService.ModelInfer"


class Slow(Failed):
    """Nothing was answered in the time that there was, and nothing went wrong."""


def script(path: Path, ask: HttpRequest) -> Path:
    """Write the request as a script of wrk's, which reads the body from a file beside it."""
    body = path.with_suffix(".body").resolve()
    body.write_bytes(ask.body)
    headers = "".join(f'wrk.headers["{name}"] = "{value}"\n' for name, value in ask.headers.items())
    name = json.dumps(str(body), ensure_ascii=False)
    path.write_text(f'wrk.method = "POST"\n{headers}wrk.body = assert(io.open({name}, "rb")):read("*a")\n')
    return path


def payload(path: Path, message: bytes) -> Path:
    """Write a message for ghz, behind its own length: ghz takes the first bytes for one wherever that is possible."""
    length, size = bytearray(), len(message)
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    length.append(size)
    path.write_bytes(bytes(length) + message)
    return path


def wrk(url: str, connections: int, seconds: int, lua: Path) -> float:
    """Requests a second; raises `Slow` where that is none."""
    out = _run(
        [find("wrk"), "-t1", "--timeout", f"{PATIENCE}s", f"-c{connections}", f"-d{seconds}s", "-s", str(lua), url]
    )
    rate = re.search(r"Requests/sec:\s+([\d.]+)", out)
    if "Non-2xx" in out or "Socket errors" in out or rate is None:
        raise Failed(f"{url} failed under load:\n{out}")
    if float(rate[1]) == 0:
        raise Slow(f"{url} answers nothing within {seconds} s")
    return float(rate[1])


def ghz(port: int, in_flight: int, seconds: int, request: Path, protos: Path) -> float:
    """Calls a second over one channel."""
    program = [find("ghz"), "--insecure", "--proto", "oip/inference.proto", "--import-paths", str(protos)]
    program += ["--call", CALL, "-B", str(request), "-c", str(in_flight), "-z", f"{seconds}s"]
    program += ["--duration-stop", "wait", "--timeout", f"{PATIENCE}s", "-O", "json", f"127.0.0.1:{port}"]
    out = _run(program, protos)
    try:
        found: dict[str, Any] = json.loads(out)
    except ValueError:
        raise Failed(f"ghz said:\n{out[:2000]}") from None
    if found.get("errorDistribution") or set(found.get("statusCodeDistribution") or {}) != {"OK"}:
        short = {name: found.get(name) for name in ("count", "errorDistribution", "statusCodeDistribution")}
        raise Failed(f"127.0.0.1:{port} failed under load: {json.dumps(short, indent=2)}")
    return float(found["rps"])


def _run(program: Sequence[str], directory: Path | None = None) -> str:
    done = subprocess.run(program, capture_output=True, text=True, check=False, env=direct(), cwd=directory)
    if done.returncode:
        raise Failed(f"{Path(program[0]).name} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout
