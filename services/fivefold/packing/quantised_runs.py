"""The same rows through a model in several runtimes: native, native with exact sums of products, and WASM in Node.

Tensors in, tensors out: what they mean is the binding's, what follows from a difference is `quantisation_gate`'s.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime

from fivefold.core.bundle.manifest import MODEL
from fivefold.core.errors import BundleInvalid, RunFailed

Tensor = np.ndarray[Any, Any]

WEB_RUNTIME: Final = "FIVEFOLD_ORT_WEB"
"""A variable: the directory with onnxruntime-web's files, where it is not that of a source tree."""
_LIBRARY: Final = "ort.wasm.bundle.min.mjs"
_BINARY: Final = "ort-wasm-simd-threaded.wasm"
_SECONDS: Final = 300.0

_TYPES: Final = {
    "float32": "float32",
    "float64": "float64",
    "int32": "int32",
    "int64": "int64",
    "uint8": "uint8",
    "int8": "int8",
    "bool": "bool",
}

_SCRIPT: Final = """
import { readFileSync, writeFileSync } from "node:fs";
const [library, work] = process.argv.slice(2);
const ort = await import(`file://${library}/ort.wasm.bundle.min.mjs`);
ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmBinary = readFileSync(`${library}/ort-wasm-simd-threaded.wasm`);
const kinds = { float32: Float32Array, float64: Float64Array, int32: Int32Array, int64: BigInt64Array,
  uint8: Uint8Array, int8: Int8Array, bool: Uint8Array };
const asked = JSON.parse(readFileSync(`${work}/asked.json`, "utf8"));
const session = await ort.InferenceSession.create(readFileSync(`${work}/model.onnx`));
const feeds = {};
asked.inputs.forEach(({ name, type, shape, text }, index) => {
  if (text) { feeds[name] = new ort.Tensor("string", text, shape); return; }
  const raw = readFileSync(`${work}/in-${index}`);
  const data = new kinds[type](raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.byteLength));
  feeds[name] = new ort.Tensor(type, data, shape);
});
const found = await session.run(feeds, asked.outputs);
const out = asked.outputs.map((name, index) => {
  const { type, dims, data } = found[name];
  if (type === "string") return { type, shape: dims, text: Array.from(data) };
  writeFileSync(`${work}/out-${index}`, Buffer.from(data.buffer, data.byteOffset, data.byteLength));
  return { type, shape: dims };
});
writeFileSync(`${work}/answered.json`, JSON.stringify(out));
"""


def native(model: bytes, feeds: Mapping[str, Tensor], outputs: Sequence[str], *, exact: bool = False) -> list[Tensor]:
    """The outputs by ONNX Runtime on this processor; `exact` adds products of eight bits without saturating, and takes
    the nodes as they are, without putting any together."""
    session = _session(model, exact=exact)
    return list(session.run(list(outputs), dict(feeds)))


def native_each(model: bytes, requests: Sequence[Mapping[str, Tensor]], outputs: Sequence[str]) -> list[list[Tensor]]:
    """The outputs of several requests, one after another."""
    session = _session(model, exact=False)
    return [list(session.run(list(outputs), dict(feeds))) for feeds in requests]


def milliseconds(model: bytes, feeds: Mapping[str, Tensor], calls: int = 200) -> tuple[float, float]:
    """The 50th and the 99th percentile of a native call's time."""
    session = _session(model, exact=False)
    times = []
    for _ in range(calls + 10):
        begun = time.perf_counter()
        session.run(None, dict(feeds))
        times.append((time.perf_counter() - begun) * 1000)
    p50, p99 = np.percentile(times[10:], (50, 99))
    return float(p50), float(p99)


def no_wasm() -> str | None:
    """Why there is no run in WASM on this machine; None where there is one."""
    if shutil.which("node") is None:
        return "there is no node on this machine"
    if web_runtime() is None:
        return f"there is no onnxruntime-web here; {WEB_RUNTIME} names the directory with its {_LIBRARY}"
    return None


def web_runtime() -> Path | None:
    """The directory with onnxruntime-web's files."""
    tree = Path(__file__).resolve().parents[2] / "browser" / "node_modules" / "onnxruntime-web" / "dist"
    place = Path(os.environ.get(WEB_RUNTIME) or tree)
    return place if (place / _LIBRARY).is_file() and (place / _BINARY).is_file() else None


def wasm(model: bytes, feeds: Mapping[str, Tensor], outputs: Sequence[str]) -> list[Tensor]:
    """The outputs by onnxruntime-web in Node, one thread. Raises `RunFailed` where it ends without an answer."""
    place, node = web_runtime(), shutil.which("node")
    if place is None or node is None:
        raise RunFailed("worker_lost", no_wasm() or "no WASM")
    with tempfile.TemporaryDirectory(prefix="fivefold-wasm-") as directory:
        work = Path(directory)
        (work / MODEL).write_bytes(model)
        (work / "run.mjs").write_text(_SCRIPT)
        inputs = [_given(work / f"in-{index}", name, feeds[name]) for index, name in enumerate(feeds)]
        (work / "asked.json").write_text(json.dumps({"inputs": inputs, "outputs": list(outputs)}))
        command = [node, str(work / "run.mjs"), str(place), str(work)]
        try:
            done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)  # noqa: S603  # our script
        except subprocess.TimeoutExpired:
            raise RunFailed("worker_lost", f"node did not answer in {_SECONDS:g} s") from None
        if done.returncode or not (work / "answered.json").is_file():
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            reason = next((line for line in said if "Error" in line), said[-1] if said else "no word")
            raise RunFailed("worker_lost", f"WASM cannot run the model: {reason[:300]}")
        answered = json.loads((work / "answered.json").read_text())
        return [_answered(work / f"out-{index}", each) for index, each in enumerate(answered)]


def _given(path: Path, name: str, tensor: Tensor) -> dict[str, Any]:
    out: dict[str, Any] = {"name": name, "shape": list(tensor.shape)}
    if tensor.dtype.kind in "OU":
        return {**out, "type": "string", "text": [str(each) for each in tensor.ravel()]}
    if tensor.dtype.name not in _TYPES:
        raise RunFailed(
            "worker_lost", f"the model's input {name!r} is {tensor.dtype.name}, which Node has no array for"
        )
    path.write_bytes(np.ascontiguousarray(tensor).tobytes())
    return {**out, "type": tensor.dtype.name}


def _answered(path: Path, told: Mapping[str, Any]) -> Tensor:
    if told["type"] == "string":
        return np.array(told["text"], object).reshape(told["shape"])
    if told["type"] not in _TYPES:
        raise RunFailed("worker_lost", f"the model answers {told['type']}, which is not read from Node")
    return np.frombuffer(path.read_bytes(), np.dtype(told["type"])).reshape(told["shape"])


def _session(model: bytes, *, exact: bool) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    if exact:
        options.add_session_config_entry("session.x64quantprecision", "1")
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as err:  # the runtime raises a dozen unrelated classes
        raise BundleInvalid(f"ONNX Runtime refuses the model: {str(err).splitlines()[0][:300]}", path=MODEL) from err
