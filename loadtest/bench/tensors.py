"""The comparison by large tensors: an image, and sixteen at once, to a model that does next to nothing with them.

So what is compared is how the bytes are handled. Both forms are raw: V2's binary extension over HTTP, and
`raw_input_contents` over gRPC. MLServer is asked over gRPC alone, because over HTTP it reads JSON and nothing else.
Limits on sizes are everybody's own settings: Fivefold takes 64 MiB by itself (`FIVEFOLD_MAX_BODY_BYTES`), the others
are told.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from fivefold.core.bundle.bundle import Binding, Bundle, InputBinding, OutputBinding
from fivefold.core.contract.contract import Contract
from loadtest.bench import questions
from loadtest.bench.comparison import FIVEFOLD, BenchComparison, Contender, Goals, Workload
from loadtest.bench.questions import Question

IMAGE: Final = "image"
"""The bundle: one field X of shape [3, 224, 224], to the mean of each colour."""

SHAPE: Final = (3, 224, 224)
BATCH: Final = 16
GOLDEN_ROWS: Final = 4
MESSAGE_BYTES: Final = 64 << 20
"""What a server over gRPC is told to take, where it does not by itself; as much as Fivefold does."""

WORKLOADS: Final = (
    Workload("image", "One image a request (0.6 MB), binary", 1, connections=(1, 8)),
    Workload("image-batch", f"{BATCH} images a request (9.6 MB), binary", BATCH, connections=(1, 4)),
    Workload("grpc-image", "One image a request (0.6 MB), gRPC", 1, grpc=True, connections=(1, 8)),
    Workload("grpc-image-batch", f"{BATCH} images a request (9.6 MB), gRPC", BATCH, grpc=True, connections=(1, 4)),
)

_BINARY: Final = {each.name: questions.v2_binary for each in WORKLOADS if not each.grpc}


def _goals(least: float, *, grpc: bool) -> Goals:
    """One goal for all that comes over HTTP, or over gRPC."""
    return {(each.name, count): least for each in WORKLOADS if each.grpc is grpc for count in each.connections}


def make_bundle(directory: Path) -> Bundle:
    """Global average pooling as a bundle, with golden images of a fixed seed."""
    values = np.random.default_rng(0).integers(0, 256, (GOLDEN_ROWS, *SHAPE)) / 256
    contract = Contract.from_json(
        {
            "format": 1,
            "name": IMAGE,
            "version": "1.0.0",
            "inputs": [{"name": "X", "dtype": "float32", "shape": list(SHAPE), "minimum": 0, "maximum": 1}],
            "outputs": [{"name": "means", "dtype": "float32", "shape": [SHAPE[0]], "minimum": 0, "maximum": 1}],
        }
    )
    return Bundle.write(
        directory / IMAGE,
        contract=contract,
        model={"model.onnx": _pooling()},
        runtime="onnx",
        binding=Binding((InputBinding("X", ("X",), "float32"),), (OutputBinding("means", "means"),)),
        golden=(
            [{"X": row} for row in values.tolist()],
            [{"means": row} for row in values.mean(axis=(2, 3)).tolist()],
        ),
        tolerance=1e-5,
        facts={"kind": "onnx"},
    )


def _pooling() -> bytes:
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("GlobalAveragePool", ["X"], ["pooled"]), helper.make_node("Flatten", ["pooled"], ["means"])],
        "means",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["N", *SHAPE])],
        [helper.make_tensor_value_info("means", TensorProto.FLOAT, ["N", SHAPE[0]])],
    )
    made: Any = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


def _prepare(directory: Path) -> Question:
    return questions.golden(make_bundle(directory), BATCH)


TENSORS_BESIDE_OTHERS: Final = BenchComparison(
    "tensors",
    "tensors",
    WORKLOADS,
    (
        Contender(FIVEFOLD, "Fivefold", "", _BINARY, grpc=True, arguments=(IMAGE,), ray=True),
        Contender(
            "mlserver",
            "MLServer",
            "mlserver_.py",
            grpc=True,
            environment="mlserver",
            goals=_goals(2.0, grpc=True),
        ),
        Contender(
            "kserve",
            "KServe SDK",
            "kserve_.py",
            _BINARY,
            grpc=True,
            environment="kserve",
            arguments=("--grpc_max_receive_message_length", str(MESSAGE_BYTES)),
        ),
        Contender("asgi", "The limit: bare ASGI, msgspec", "asgi_.py", _BINARY, goals=_goals(0.8, grpc=False)),
        Contender("grpc", "The limit: a bare grpc.aio servicer", "grpc_.py", grpc=True, goals=_goals(0.8, grpc=True)),
        Contender("grpc-http1", "The limit: the same by HAProxy and HTTP/1.1", "grpc_http1_.py", grpc=True),
    ),
    _prepare,
    cpu=True,
)
