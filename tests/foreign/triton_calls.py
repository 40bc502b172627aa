"""What the steps of Triton's client over HTTP and over gRPC share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from steps import Tensor, told
from tritonclient.utils import InferenceServerException

SECONDS = 30.0
DEMO = "breast-cancer"
ABSENT = "nobody"
LARGE: Tensor = {"name": "s", "datatype": "BYTES", "shape": [1], "data": ["YWFh" * 2_000_000]}
"""Six million letters for the text field of `kinds`."""


def answer(result: Any, names: list[str]) -> dict[str, Any]:
    return {name: told(result.as_numpy(name)) for name in names}


def refusal(call: Callable[[], Any]) -> list[Any]:
    """The status and the sentence of a call that the server must refuse."""
    try:
        call()
    except InferenceServerException as error:
        return [error.status(), error.message()]
    raise AssertionError("the server accepted it")


def number(value: float, shape: tuple[int, ...] = (1,)) -> Tensor:
    """The field `i` of the model `kinds`, or too much for it."""
    return {"name": "i", "datatype": "INT64", "shape": list(shape), "data": [value] * int(np.prod(shape))}
