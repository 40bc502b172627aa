"""Every way to ask a bundle on this machine, one file each; `REGISTERED` has them in the order of the report.

A runtime's file is imported when it is asked for, and what it imports may be missing: then the runtime is, and says so.
"""

from __future__ import annotations

import importlib
from typing import Final

from fivefold.parity.runtimes.asked_runtime import AskedBundle, NotHere, Runtime

__all__ = ["REGISTERED", "AskedBundle", "NotHere", "Runtime", "opened"]

REGISTERED: Final[dict[str, tuple[str, str]]] = {
    "core": ("core_runtime:CoreRuntime", ""),
    "http-v1": ("http_rows:HttpRecords", "http"),
    "http-v2": ("http_tensors:HttpTensors", "http"),
    "grpc": ("grpc_tensors:GrpcTensors", "online"),
    "batch-jsonl": ("batch_files:BatchJsonLines", "batch"),
    "batch-parquet": ("batch_files:BatchParquet", "batch"),
    "stream": ("local_stream:LocalStream", "stream"),
    "gateway": ("gateway_rows:GatewayRows", "edge"),
    "wasm-node": ("wasm_node:WasmNode", "edge"),
    "wasm-chromium": ("chromium_page:ChromiumPage", "edge"),
    "jvm": ("jvm_rows:JvmRows", "edge"),
}
"""Name -> `module:Class` below this package, and the extra that it needs."""


def opened(name: str, asked: AskedBundle) -> Runtime | NotHere:
    """The runtime of that name for this bundle, or why there is none here. Raises KeyError."""
    place, extra = REGISTERED[name]
    module, _, kind = place.partition(":")
    try:
        runtime: Runtime = getattr(importlib.import_module(f"{__name__}.{module}"), kind)(asked)
        missing = runtime.available()
        if missing is not None:
            runtime.close()
        return missing or runtime
    except ModuleNotFoundError as error:
        if (error.name or "fivefold").startswith("fivefold"):
            raise
        return NotHere(f"needs {error.name}, which is not installed", f"pip install 'fivefold[{extra or 'all'}]'")
