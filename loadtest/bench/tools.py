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

CALL = "inference.GRPCInferenceService.ModelInfer"


def script(path: Path, ask: HttpRequest) -> Path:
    """Write the request as a script of wrk's, binary bodies too."""
    body = "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\{byte:03d}" for byte in ask.body)
    headers = "".join(f'wrk.headers["{name}"] = "{value}"\n' for name, value in ask.headers.items())
    path.write_text(f'wrk.method = "POST"\n{headers}wrk.body = "{body}"\n')
    return path


def wrk(url: str, connections: int, seconds: int, lua: Path) -> float:
    """Requests a second."""
    out = _run([find("wrk"), "-t1", "--timeout", "30s", f"-c{connections}", f"-d{seconds}s", "-s", str(lua), url])
    rate = re.search(r"Requests/sec:\s+([\d.]+)", out)
    if "Non-2xx" in out or "Socket errors" in out or rate is None or float(rate[1]) == 0:
        raise Failed(f"{url} failed under load:\n{out}")
    return float(rate[1])


def ghz(port: int, in_flight: int, seconds: int, request: Path, protos: Path) -> float:
    """Calls a second over one channel."""
    program = [find("ghz"), "--insecure", "--proto", "oip/inference.proto", "--import-paths", str(protos)]
    program += ["--call", CALL, "-B", str(request), "-c", str(in_flight), "-z", f"{seconds}s"]
    program += ["--duration-stop", "wait", "--timeout", "30s", "-O", "json", f"127.0.0.1:{port}"]
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
