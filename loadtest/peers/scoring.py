"""The model of every peer, opened in one way: the same session options, so that no server is slower for its model.

It stands in each peer's own environment, so it knows ONNX Runtime and numpy alone.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

MODEL, NAME, INPUT, OUTPUT = "PEER_MODEL", "PEER_MODEL_NAME", "PEER_MODEL_INPUT", "PEER_MODEL_OUTPUT"
"""Environment variables: the .onnx file, the name to serve it under, the model's input and its output."""

HTTP, GRPC = "PEER_HTTP", "PEER_GRPC"
"""Environment variables: the ports. Some servers read the command line themselves."""


class Scorer:
    """One thread, none that spins: what `fivefold` itself sets.

    `shape` is that of one row, as the model has it, and `output` the name of its answer.
    """

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        model = Path(os.environ[MODEL]).read_bytes()
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._run, self._input, self.output = session.run, os.environ[INPUT], os.environ[OUTPUT]
        self._outputs = [self.output]
        given = next(item for item in session.get_inputs() if item.name == self._input)
        self.shape: tuple[int, ...] = tuple(given.shape[1:])

    def rows(self, raw: bytes, offset: int = 0) -> np.ndarray[Any, Any]:
        """Raw little-endian float32 from `offset` on as rows, shape [rows, *shape]; nothing is copied."""
        return np.frombuffer(raw, "<f4", offset=offset).reshape(-1, *self.shape)

    def __call__(self, block: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The answer, float32 of shape [rows, …], of float32 rows of shape [rows, *shape]."""
        return self._run(self._outputs, {self._input: block})[0]  # type: ignore[no-any-return]  # ONNX runtime is untyped


def ports() -> tuple[int, int]:
    """The ports of HTTP and gRPC: 0 where the peer has no such transport."""
    return int(os.environ[HTTP]), int(os.environ[GRPC])
