"""What keeps a bundle out of the browser, said before anything is written.

What can be read off the bundle is refused here; whether the browser's runtime loads the model and gives its golden
answers is asked of that very runtime, under Node, where there is one. The page asks itself again on every device.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.bundle.manifest import MODEL
from fivefold.core.errors import BundleInvalid
from fivefold.exports.web_runtime import SCRIPT, VERSION, WASM, WebRuntime

DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
"""The operators that ONNX Runtime Web has kernels of, by their domain."""

_SITE = Path(__file__).parent / "site"
_SECONDS = 300


def refuse_unsupported(bundle: Bundle) -> None:
    """Raise `BundleInvalid` with the reason for a bundle that no browser runs."""
    if bundle.manifest.runtime != "onnx":
        raise BundleInvalid(
            f"{bundle.name} is a {bundle.manifest.runtime} model, and a browser runs ONNX models alone",
            path="bundle.json",
            help="pack the model itself, so that it is converted: fivefold pack MODEL",
        )
    if "browser" not in bundle.manifest.targets:
        raise BundleInvalid(f"the bundle is for {', '.join(bundle.manifest.targets)} alone", path="bundle.json")
    for domain, operator in sorted(set(operators(bundle.read(MODEL)))):
        if domain not in DOMAINS:
            raise BundleInvalid(f"the operator {domain}.{operator} has no kernel in the browser's runtime", path=MODEL)
        if operator == "ZipMap":
            raise BundleInvalid(
                "the model answers by ZipMap, a list of maps, which the browser's runtime cannot give",
                path=MODEL,
                help="convert the classifier with zipmap=False, and pack it again",
            )


def operators(model: bytes) -> Iterator[tuple[str, str]]:
    """Domain and name of every operator in an ONNX file, those of inner graphs and functions too.

    Read off the protobuf's wire format (onnx.proto: ModelProto.graph 7 and .functions 25, GraphProto.node 1,
    FunctionProto.node 7, NodeProto.op_type 4, .attribute 5, .domain 7, AttributeProto.g 6 and .graphs 11): a device has
    no onnx package. Raises `BundleInvalid` for what is no protobuf.
    """
    view = memoryview(model)
    for number, value in _fields(view):
        if number == 7:
            yield from _nodes(value, 1)
        elif number == 25:
            yield from _nodes(value, 7)


def _nodes(graph: memoryview, member: int) -> Iterator[tuple[str, str]]:
    for number, node in _fields(graph):
        if number != member:
            continue
        names = {4: "", 7: ""}
        for part, value in _fields(node):
            if part in names:
                names[part] = bytes(value).decode("utf-8", "replace")
            elif part == 5:
                for inner, held in _fields(value):
                    if inner in (6, 11):
                        yield from _nodes(held, 1)
        yield names[7], names[4]


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and bytes of each length-delimited field of a message; the others are passed over."""
    at = 0
    try:
        while at < len(message):
            key, at = _varint(message, at)
            kind = key & 7
            if kind == 0:
                _, at = _varint(message, at)
            elif kind in (1, 5):
                at += 8 if kind == 1 else 4
            elif kind == 2:
                size, at = _varint(message, at)
                if at + size > len(message):
                    raise IndexError
                yield key >> 3, message[at : at + size]
                at += size
            else:
                raise IndexError
    except IndexError:
        raise BundleInvalid("the model is no protobuf", path=MODEL) from None


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def prove(bundle: Bundle, runtime: WebRuntime) -> float | None:
    """Score the golden rows on the browser's runtime under Node: the largest difference of any float from what was
    recorded, None without Node. All else is equal, or the bundle is refused.

    Raises `BundleInvalid` with the runtime's own reason where it refuses the model, or answers otherwise.
    """
    node = shutil.which("node")
    if node is None:
        return None
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        (root / SCRIPT).write_bytes(runtime.script)
        (root / WASM).write_bytes(runtime.wasm)
        for name in bundle.names():
            place = root / "bundle" / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(bundle.read(name))
        program = root / "prove.mjs"
        program.write_text(_PROGRAM)
        command = [node, str(program), str(_SITE / "scoring.js"), scratch, bundle.digest, json.dumps(bundle.names())]
        try:
            done = subprocess.run(  # noqa: S603  # a program of the user's own PATH, with our arguments
                command, capture_output=True, text=True, timeout=_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            message = f"the golden rows were not scored on ONNX Runtime Web {VERSION} within {_SECONDS} s"
            raise BundleInvalid(message, path=MODEL) from None
    try:
        told = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        # An old Node, or one without WebAssembly SIMD: no word about the model.
        return None
    if "message" in told:
        raise BundleInvalid(f"in a browser: {told['message']}", path=told.get("path") or MODEL, help=told.get("help"))
    return float(told["largest"])


_PROGRAM = """\
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [scoring, place, digest, names] = process.argv.slice(2);
const { prepare, Scorer, verified } = await import(pathToFileURL(scoring).href);
const runtime = await import(pathToFileURL(`${place}/ort.wasm.bundle.min.mjs`).href);
prepare(runtime, readFileSync(`${place}/ort-wasm-simd-threaded.wasm`));
const read = (name) => [name, new Uint8Array(readFileSync(`${place}/bundle/${name}`))];
const files = new Map(JSON.parse(names).map(read));
try {
  const scorer = await Scorer.open(runtime, await verified(digest, files));
  console.log(JSON.stringify({ largest: scorer.largest }));
} catch (error) {
  if (error.code === undefined) throw error;
  console.log(JSON.stringify({ message: error.message, path: error.path, help: error.help }));
}
"""
