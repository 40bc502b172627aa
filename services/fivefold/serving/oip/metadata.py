"""What the servers say of a model in the Open Inference Protocol's words, for HTTP and gRPC alike.

The protocol's names and its raw tensors are `fivefold.core.oip_tensors`'s, given again here so that an adapter needs
one import.
"""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, Any, Final

from fivefold.core.oip_tensors import CONTENTS, CONTRACT, DATATYPES, ITEM_BYTES, NAMES, RAW_ONLY, dtype_of, pack, unpack

if TYPE_CHECKING:
    from fivefold.core.fields.field import Field
    from fivefold.core.view import View
    from fivefold.serving.dataplane import Dataplane
    from fivefold.serving.repository import Model

__all__ = [
    "CONTENTS",
    "CONTRACT",
    "DATATYPES",
    "EXTENSIONS",
    "ITEM_BYTES",
    "NAMES",
    "PLATFORMS",
    "RAW_ONLY",
    "dtype_of",
    "model_metadata",
    "pack",
    "repository_index",
    "server_metadata",
    "tensor_metadata",
    "unpack",
]

EXTENSIONS: Final = ("binary_tensor_data", "model_configuration", "statistics")
"""The protocol extensions that this server has in full, as it lists them."""

PLATFORMS: Final[dict[str, str]] = {"onnx": "onnx_onnxv1", "python": "fivefold_python"}
"""The bundle's runtime -> the protocol's platform."""


def server_metadata() -> dict[str, Any]:
    """The protocol's server metadata: `{name, version, extensions}`."""
    try:
        version = metadata.version("fivefold")
    except metadata.PackageNotFoundError:
        # Run from a checkout that nobody has installed.
        version = "0"
    return {"name": "fivefold", "version": version, "extensions": list(EXTENSIONS)}


def tensor_metadata(field: Field) -> dict[str, Any]:
    """`{name, datatype, shape}` of a field; -1 stands for the number of rows."""
    return {"name": field.name, "datatype": NAMES[field.dtype], "shape": [-1, *field.shape]}


def model_metadata(model: Model, view: View, versions: list[str]) -> dict[str, Any]:
    """The protocol's model metadata: `{name, versions, platform, inputs, outputs}`."""
    return {
        "name": model.name,
        "versions": versions,
        "platform": PLATFORMS[model.bundle.manifest.runtime],
        "inputs": [tensor_metadata(field) for field in view.inputs],
        "outputs": [tensor_metadata(field) for field in view.outputs],
    }


def model_config(model: Model, view: View, max_rows: int) -> dict[str, Any]:
    """Triton's model configuration, as far as it has a meaning here."""
    return {
        "name": model.name,
        "platform": PLATFORMS[model.bundle.manifest.runtime],
        "backend": "fivefold",
        "max_batch_size": max_rows,
        "version_policy": {"specific": {"versions": [model.version]}},
        "input": [_config_tensor(field) for field in view.inputs],
        "output": [_config_tensor(field) for field in view.outputs],
        "parameters": {
            "bundle": {"string_value": model.metadata["bundle"]},
            "device": {"string_value": model.scorer.device},
            "contract": {"string_value": view.name},
            "contracts": {"string_value": ",".join(model.views)},
            CONTRACT: {"string_value": view.contract.to_bytes().decode()},
        },
    }


def _config_tensor(field: Field) -> dict[str, Any]:
    # Triton's configuration names the BYTES datatype TYPE_STRING, and leaves the batch dimension out.
    name = NAMES[field.dtype]
    return {
        "name": field.name,
        "data_type": "TYPE_STRING" if name == "BYTES" else f"TYPE_{name}",
        "dims": list(field.shape) or [1],
        "optional": not field.required,
    }


def model_statistics(model: Model) -> dict[str, Any]:
    """Triton's statistics of a model in this process; durations in nanoseconds, batch statistics left empty."""
    counted = model.statistics
    done = counted.succeeded
    return {
        "name": model.name,
        "version": model.version,
        "last_inference": counted.last,
        "inference_count": counted.rows,
        "execution_count": done,
        "inference_stats": {
            "success": {"count": done, "ns": counted.success_ns},
            "fail": {"count": counted.failed, "ns": counted.fail_ns},
            "queue": {"count": done, "ns": counted.queue_ns},
            "compute_input": {"count": done, "ns": counted.check_ns},
            "compute_infer": {"count": done, "ns": counted.score_ns},
            "compute_output": {"count": done, "ns": counted.encode_ns},
            "cache_hit": {"count": 0, "ns": 0},
            "cache_miss": {"count": 0, "ns": 0},
        },
        "batch_stats": [],
    }


def repository_index(dataplane: Dataplane) -> list[dict[str, str]]:
    """Every model and version with its state."""
    state = "READY" if dataplane.ready else "UNAVAILABLE"
    reason = "" if dataplane.ready else "the server is draining"
    return [
        {"name": model.name, "version": model.version, "state": state, "reason": reason} for model in dataplane.models
    ]
