"""Small real models and contracts for packing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from fivefold.core.contract.contract import Contract

ContractOf = Callable[..., Contract]


@pytest.fixture(scope="session")
def iris() -> tuple[Any, Any]:
    """150 flowers, four measures, three kinds."""
    data, target = load_iris(return_X_y=True)
    return data, target


@pytest.fixture
def tree(iris: tuple[Any, Any]) -> Any:
    """A small tree: converts and runs in milliseconds."""
    return DecisionTreeClassifier(max_depth=3, random_state=0).fit(*iris)


@pytest.fixture
def logistic(iris: tuple[Any, Any]) -> Any:
    """A model whose float32 form is not exact."""
    return LogisticRegression(max_iter=500).fit(*iris)


@pytest.fixture(scope="session")
def contract_of() -> ContractOf:
    """A contract for the flowers; `outputs` and `inputs` replace its own."""

    def make(**given: Any) -> Contract:
        measures = [{"name": name, "dtype": "float64", "minimum": 0, "maximum": 10} for name in "abcd"]
        outputs = [
            {"name": "label", "dtype": "int64", "enum": [0, 1, 2]},
            {"name": "probability", "dtype": "float32", "shape": [3], "minimum": 0, "maximum": 1},
        ]
        base = {"format": 1, "name": "iris", "version": "1.0.0", "inputs": measures, "outputs": outputs}
        return Contract.from_json({**base, **given})

    return make


@pytest.fixture(scope="session")
def rows(iris: tuple[Any, Any]) -> list[dict[str, float]]:
    """The flowers as records of the contract."""
    return [dict(zip("abcd", map(float, row), strict=True)) for row in np.asarray(iris[0])]
