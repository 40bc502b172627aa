"""What a runner is: one opened model that turns columns into raw answers, one array an output field.

A runner raises whatever its model raises; saying that neutrally, and holding the answers against the contract, is left
to `fivefold.core.runtime.scorer`. The runners themselves are `onnx_runner` and `python_runner`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from fivefold.core.columns import Array, Columns


class Runner(Protocol):
    """One model, ready to be called from several threads."""

    foreseeable: bool
    """Whether the number of rows tells how long a call takes; code of the bundle's own does whatever it likes."""

    serial: bool
    """Whether calls run one at a time, and others wait."""

    device: str
    """Where it runs, as `devices.open_session` says it; `devices.OWN_CODE` where the model's code decides."""

    def run(self, columns: Columns) -> Mapping[str, Array]:
        """The model's raw answers for at least one row: output field to array of shape [rows, *field.shape]."""

    def close(self) -> None:
        """Let go of the model; calls that already run finish."""


def fold(array: Array, rows: int, shape: tuple[int, ...]) -> Array:
    """The array as [rows, *shape] where only sizes of 1 differ ([rows, 1] for a scalar), else as it is."""
    if array.shape == (rows, *shape) or array.ndim == 0 or array.shape[0] != rows:
        return array
    return array.reshape(rows, *shape) if core(array.shape[1:]) == core(shape) else array


def core(shape: Sequence[int]) -> list[int]:
    """A row's shape without the sizes of 1, which are only spelling."""
    return [size for size in shape if size != 1]
