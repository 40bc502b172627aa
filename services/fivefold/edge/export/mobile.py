"""`fivefold export --to mobile`: a directory of files for an app on Android or iOS that brings ONNX Runtime itself.

    model.onnx contract.json golden.jsonl bundle.json …    the bundle, byte for byte
    model.ort                      with `--ort`: the same model in ONNX Runtime's own format, proven on the golden rows
    required_operators.config      the operators of a reduced build of ONNX Runtime
    README.md                      the packages, the model's tensors and where they come from, a proof on the device

Reading values under the contract is left to the library of `services/jvm` on Android, and to the app on iOS: the rules
are in contract.json, and what they mean in the cases that Fivefold's readers pass.
"""

from __future__ import annotations

import errno
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from fivefold.core import atomic
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.bundle.manifest import MODEL
from fivefold.core.errors import BundleInvalid, RunFailed
from fivefold.core.runtime.scorer import Scorer

ORT_MODEL: Final = "model.ort"
OPERATORS: Final = "required_operators.config"
README: Final = "README.md"

_UNSIGNED: Final = ("uint16", "uint32", "uint64")
"""What ONNX Runtime for Java has no values of."""

_CONVERT_SECONDS = 900


def write(bundle: Bundle, directory: Path, *, ort: bool = False) -> list[str]:
    """Write the directory, all of it or nothing; gives what there is to say about it.

    Raises `BundleInvalid` for a bundle that no phone runs, or whose `.ort` form leaves the golden answers,
    `FileExistsError` for a directory that is there and not empty, `RunFailed` where the conversion fails.
    """
    if bundle.manifest.runtime != "onnx":
        raise BundleInvalid(
            f"{bundle.name} is a {bundle.manifest.runtime} model, and ONNX Runtime on phones runs ONNX models alone",
            path="bundle.json",
            help="pack the model itself, so that it is converted: fivefold pack MODEL",
        )
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise FileExistsError(errno.EEXIST, "is there already and not empty; name another one", str(directory))
    model = bundle.read(MODEL)
    _prove(bundle)
    files = {name: bundle.read(name) for name in bundle.names()}
    files[OPERATORS] = _required_operators(model)
    said = [f"{directory}: {bundle.name}@{bundle.version} for phones, {len(model):,} bytes of model"]
    if ort:
        files[ORT_MODEL], files[OPERATORS] = _converted(model)
        # Nothing but the model's bytes is another: the contract, the binding and the golden rows are the bundle's.
        _prove(replace(bundle, _files={**files, MODEL: files[ORT_MODEL]}))
        ratio = len(files[ORT_MODEL]) / len(model)
        said.append(f"{ORT_MODEL}: {len(files[ORT_MODEL]):,} bytes, {ratio:.1f} times the size of {MODEL}")
    files[README] = _readme(bundle, ort).encode()
    atomic.replace_directory(directory.resolve(), files)
    rows = bundle.golden()[0].rows
    said.append(f"{rows} golden rows answered within {bundle.manifest.tolerance:g} on this machine")
    said.append(_android(bundle))
    return said


def _android(bundle: Bundle) -> str:
    """What an app on Android needs beside the directory, or what keeps the model from it."""
    binding = bundle.manifest.binding
    assert binding is not None
    lacking = [f"{each.model_input} ({each.dtype})" for each in binding.inputs if each.dtype in _UNSIGNED]
    if lacking:
        return f"not on Android: ONNX Runtime for Java has no values for the model's input {', '.join(lacking)}"
    return f"an app on Android needs fivefold.jar (services/jvm) and onnxruntime-android: {README} shows how"


def _prove(bundle: Bundle) -> None:
    """Open the model, which scores its golden rows; raises `BundleInvalid`."""
    with Scorer.open(bundle):
        pass


def _required_operators(model: bytes) -> bytes:
    """A line for each domain, `domain;opset;operators`, as ONNX Runtime's `--include_ops_by_config` reads it.

    The opset is the one that the model names: the build looks up which version of an operator that is
    (https://onnxruntime.ai/docs/reference/operators/reduced-operator-config-file.html).
    """
    import onnx

    parsed = onnx.load_model_from_string(model)
    opsets = {_domain(each.domain): each.version for each in parsed.opset_import}
    used: dict[str, set[str]] = {}
    for graph in (parsed.graph, *parsed.functions):
        for domain, name in _operators(graph):
            used.setdefault(domain, set()).add(name)
    lines = [f"{domain};{opsets[domain]};{','.join(sorted(used[domain]))}" for domain in sorted(used)]
    return ("\n".join(lines) + "\n").encode()


def _operators(graph: Any) -> Iterator[tuple[str, str]]:
    """Domain and name of each node, those of inner graphs too."""
    for node in graph.node:
        yield _domain(node.domain), node.op_type
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else ())):
                yield from _operators(inner)


def _domain(name: str) -> str:
    return name or "ai.onnx"


def _converted(model: bytes) -> tuple[bytes, bytes]:
    """The model in ONNX Runtime's format, and the operators and types that it needs, by ONNX Runtime's own tool."""
    tool = "onnxruntime.tools.convert_onnx_models_to_ort"
    with tempfile.TemporaryDirectory(prefix="fivefold-ort-") as scratch:
        home = Path(scratch)
        (home / MODEL).write_bytes(model)
        command = [sys.executable, "-m", tool, scratch, "--optimization_style", "Fixed", "--enable_type_reduction"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_CONVERT_SECONDS)  # noqa: S603
        except subprocess.TimeoutExpired:
            raise RunFailed("worker_lost", f"the conversion took longer than {_CONVERT_SECONDS} s") from None
        made, config = home / ORT_MODEL, next(iter(sorted(home.glob("*required_operators*.config"))), None)
        if done.returncode or not made.is_file() or config is None:
            lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            help = f"python -m {tool} shows why; without --ort the directory has model.onnx, which every package runs"
            message = f"ONNX Runtime's tool did not convert the model: {lines[-1][:300]}"
            raise RunFailed("worker_lost", message, help=help)
        # Its comments name the directory that is gone.
        lines = [line for line in config.read_text().splitlines() if line and not line.startswith("#")]
        return made.read_bytes(), ("\n".join(lines) + "\n").encode()


def _readme(bundle: Bundle, ort: bool) -> str:
    binding = bundle.manifest.binding
    assert binding is not None
    first = json.loads(bundle.read("golden.jsonl").split(b"\n", 1)[0])
    shown = json.dumps(_short(first["in"]), ensure_ascii=False)
    inputs = "\n".join(
        f"| `{each.model_input}` | {each.dtype} | {_fields(each.fields)} | "
        f"{f'[rows, {len(each.fields)}], fields in this order' if each.stack else 'the field with its shape'} |"
        for each in binding.inputs
    )
    outputs = "\n".join(
        f"| `{each.field}` | `{each.model_output}`{'' if each.column is None else f', column {each.column}'} |"
        for each in binding.outputs
    )
    return f"""\
# {bundle.name}@{bundle.version} on phones

`model.onnx` runs in the full packages: `com.microsoft.onnxruntime:onnxruntime-android` on Android, `onnxruntime-c` or
`onnxruntime-objc` on iOS. `onnxruntime-mobile` ended with 1.18 and lacks operators; do not use it.

## On Android, and on any JVM

Fivefold's library for Java 8 and newer holds each row to `contract.json`, makes the tensors, proves the model and
writes the answer as the server does. It is `fivefold.jar` (`make .cache/jvm/fivefold.jar` in Fivefold's repository, or
its source, `services/jvm/src/main/java`) and needs nothing but ONNX Runtime:

```java
Bundle bundle = Bundle.open(name -> Bundle.readAll(assets.open("{bundle.name}/" + name)), Trust.digest(DIGEST));
try (Scorer scorer = Scorer.open(bundle)) {{
  String answer = scorer.predict("{{\\"instances\\": [" + record + "]}}");
}}
```

`DIGEST` is `"{bundle.digest}"`, and a file that is another is refused.

## Elsewhere

Each row is held to `contract.json` first, by the app: the model itself refuses nothing. Then the fields become tensors:

| model input | type | fields | shape |
| -- | -- | -- | -- |
{inputs}

| contract output | model output |
| -- | -- |
{outputs}

Floats are rounded once from 64 bits; null is NaN in a float. Whole rules: `binding` in `bundle.json`.

## Prove it on the device

`golden.jsonl` has a row a line, `{{"in": …, "out": …}}`. Score every `in` when the model is first opened: floats may be
apart by `{bundle.manifest.tolerance:g} * max(1, |out|)`, everything else is equal. The first row begins with `{shown}`.
sha256 of `bundle.json` is `{bundle.digest}`, and it has that of the bundle's other files.

## A smaller ONNX Runtime

{_ort_words() if ort else _onnx_words()}
"""


def _onnx_words() -> str:
    return f"""\
`{OPERATORS}` names what the model needs: `build.sh --include_ops_by_config {OPERATORS}` with the source
of ONNX Runtime. Turn graph optimisation off in such a build: it may put in operators that are not in the list. A build
with `--minimal_build` reads no `{MODEL}` at all: export with `--ort` for that."""


def _ort_words() -> str:
    return f"""\
`{ORT_MODEL}` is the same model for builds that read nothing else, and `{OPERATORS}` names what it needs:
`build.sh --minimal_build extended --enable_reduced_operator_type_support --include_ops_by_config {OPERATORS}`
with the source of ONNX Runtime. It is optimised already, for processors like the one that it was made on, and may be
larger than `{MODEL}`: use it where the smaller runtime outweighs that."""


def _fields(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _short(record: Mapping[str, Any]) -> dict[str, Any]:
    """The first two members: enough to know the row by."""
    return dict(list(record.items())[:2])
