"""Fivefold beside Ray Serve's default FastAPI ingress: the same model, the same row, the same machine, turn by turn.

    python loadtest/compare_ray_default.py [--rounds 5] [--seconds 5] [--connections 1 8 32]

Both servers run at the same time and are measured alternately, so that whatever else the machine does hits both; what
counts is the median of each round's ratio. The default ingress is what Ray's documentation shows: a FastAPI app whose
body is a pydantic model, Serve and HTTP options as they come. Fivefold is `fivefold serve` with its own defaults, its
contract check, metrics and log included. Needs wrk; prints a Markdown table.
"""

# Annotations stay real objects here: FastAPI reads those of a class that only a function knows.
import argparse
import json
import os
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "services"), str(ROOT)]

from tests.host import running  # noqa: E402

from fivefold.online import processes  # noqa: E402
from fivefold.packing.demo import demo  # noqa: E402

WARM_SECONDS = 3


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=5, help="seconds for each measurement")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--bundle", help="a bundle with one record per row; the demo model without it")
    parser.add_argument("--serve-default", nargs=2, metavar=("BUNDLE", "PORT"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve_default:
        return serve_default(given.serve_default[0], int(given.serve_default[1]))
    if not shutil.which("wrk"):
        sys.exit("wrk is not installed")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    processes.adopt_orphans()
    directory = Path(tempfile.mkdtemp(prefix="ff-bench-", dir="/tmp"))
    try:
        compare(Path(given.bundle or demo(directory / "demo")), directory, given)
    finally:
        processes.sweep()
        shutil.rmtree(directory, ignore_errors=True)
    return 0


def compare(bundle: Path, directory: Path, given: argparse.Namespace) -> None:
    """Start both, check that they answer alike, measure."""
    from fivefold.core.bundle import Bundle

    opened = Bundle.open(bundle)
    body = {"instances": opened.golden()[0].slice(0, 1).to_records()}
    script = directory / "post.lua"
    script.write_text(
        'wrk.method = "POST"\nwrk.headers["content-type"] = "application/json"\n'
        f"wrk.body = [==[{json.dumps(body)}]==]\n"
    )
    port = free_port()
    log = (directory / "default.txt").open("wb")
    subprocess.Popen(
        [sys.executable, __file__, "--serve-default", str(bundle), str(port)],
        stdout=log,
        stderr=log,
        env={name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        | {"PYTHONPATH": str(ROOT / "services")},
    )
    default = f"http://127.0.0.1:{port}/predict"
    until_answers(default, body, directory / "default.txt")
    with running([bundle], directory / "fivefold") as ours:
        fivefold = f"{ours.url}/v1/models/{opened.name}:predict"
        servers = {"default": default, "fivefold": fivefold}
        answers = {name: post(url, body)["predictions"] for name, url in servers.items()}
        if not same(*answers.values()):
            raise SystemExit(f"the answers differ: {answers}")
        print(table(measure(servers, script, given), given))


def measure(servers: dict[str, str], script: Path, given: argparse.Namespace) -> dict[tuple[str, int], list[float]]:
    """Requests a second of each server and number of connections, one figure a round."""
    for url in servers.values():
        wrk(url, 8, WARM_SECONDS, script)
    rates: dict[tuple[str, int], list[float]] = {}
    for round_ in range(given.rounds):
        for connections in given.connections:
            # The order alternates, so that neither is always the one measured after the other.
            for name in sorted(servers, reverse=bool(round_ % 2)):
                rate = wrk(servers[name], connections, given.seconds, script)
                rates.setdefault((name, connections), []).append(rate)
                print(f"round {round_ + 1}: {name} {connections}: {rate:,.0f}/s", file=sys.stderr, flush=True)
    return rates


def table(rates: dict[tuple[str, int], list[float]], given: argparse.Namespace) -> str:
    """The figures as Markdown: medians over the rounds, and the median, lowest and highest ratio."""
    lines = [
        "| connections | Ray Serve default, requests/s | Fivefold, requests/s | ratio, median | lowest to highest |",
        "|--:|--:|--:|--:|--:|",
    ]
    for connections in given.connections:
        default, fivefold = rates["default", connections], rates["fivefold", connections]
        ratios = [ours / theirs for ours, theirs in zip(fivefold, default, strict=True)]
        lines.append(
            f"| {connections} | {statistics.median(default):,.0f} | {statistics.median(fivefold):,.0f} "
            f"| {statistics.median(ratios):.1f} | {min(ratios):.1f} to {max(ratios):.1f} |"
        )
    from ray import __version__

    lines.append("")
    lines.append(
        f"{given.rounds} rounds of {given.seconds} s each, interleaved; {os.cpu_count()} cores "
        f"({platform.machine()}), Python {platform.python_version()}, Ray {__version__}; wrk on the same cores."
    )
    return "\n".join(lines)


def wrk(url: str, connections: int, seconds: int, script: Path) -> float:
    """Requests a second; an answer that is not a success ends the run."""
    out = subprocess.run(
        ["wrk", "-t1", "--timeout", "30s", f"-c{connections}", f"-d{seconds}s", "-s", str(script), url],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        raise SystemExit(f"{url} failed under load:\n{out}")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])  # type: ignore[index]


def post(url: str, body: object) -> dict[str, list[dict[str, object]]]:
    """One request's answer."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
        return json.load(answer)  # type: ignore[no-any-return]


def same(ours: list[dict[str, object]], theirs: list[dict[str, object]]) -> bool:
    """Whether the predictions agree to six digits."""
    digits = lambda value: re.sub(r"\d+\.\d+", lambda number: f"{float(number[0]):.5f}", json.dumps(value))  # noqa: E731
    return digits(ours) == digits(theirs)


def until_answers(url: str, body: object, log: Path, seconds: float = 120) -> None:
    """Wait for the first answer."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            post(url, body)
            return
        except OSError:
            if time.monotonic() > deadline:
                raise SystemExit(f"no answer from {url}:\n{log.read_text(errors='replace')}") from None
            time.sleep(0.2)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def serve_default(path: str, port: int) -> int:
    """Ray Serve as its documentation shows it: FastAPI, a pydantic body, default options. Runs until it is killed."""
    import numpy as np
    import onnxruntime
    import ray
    from fastapi import FastAPI
    from pydantic import create_model
    from ray import serve

    from fivefold.core.bundle import Bundle

    bundle = Bundle.open(path)
    (binding,) = bundle.manifest.binding.inputs  # type: ignore[union-attr]
    outputs = bundle.manifest.binding.outputs  # type: ignore[union-attr]
    model, fields, dtype = bundle.read("model.onnx"), list(binding.fields), binding.dtype
    names = [(output.field, output.model_output, output.column) for output in outputs]
    row = create_model("Row", **dict.fromkeys(fields, (float, ...)))
    request = create_model("Request", instances=(list[row], ...))  # type: ignore[valid-type]
    app = FastAPI()

    @serve.deployment
    @serve.ingress(app)
    class Default:
        def __init__(self) -> None:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

        @app.post("/predict")
        async def predict(self, body: request) -> dict:  # type: ignore[valid-type,type-arg]
            block = np.array([[getattr(one, name) for name in fields] for one in body.instances], dtype)
            wanted = list(dict.fromkeys(output for _, output, _ in names))
            answers = dict(zip(wanted, self.session.run(wanted, {binding.model_input: block}), strict=True))
            return {
                "predictions": [
                    {
                        field: (answers[output][at] if column is None else answers[output][at, column]).tolist()
                        if not isinstance(answers[output][at], str)
                        else answers[output][at]
                        for field, output, column in names
                    }
                    for at in range(len(body.instances))
                ]
            }

    ray.init(address="local", include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(Default.bind(), route_prefix="/")
    signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main())
