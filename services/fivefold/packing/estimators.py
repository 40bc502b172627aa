"""Estimators with the scikit-learn interface: those inside of one, and the versions of the libraries they come from."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from fivefold.packing.libraries import versions as installed

_DISTRIBUTIONS = {"sklearn": ("scikit-learn",), "lightgbm": ("lightgbm",), "xgboost": ("xgboost", "xgboost-cpu")}
_PARTS = ("steps", "estimators_", "estimators", "transformers_", "calibrated_classifiers_", "transformer_list")
_PART = ("estimator", "base_estimator", "best_estimator_", "final_estimator_", "regressor_", "estimator_")


def library_versions(libraries: Sequence[str]) -> dict[str, str]:
    """The installed versions, whichever distribution a library comes from."""
    out = {}
    for library in libraries:
        for distribution in _DISTRIBUTIONS[library]:
            with contextlib.suppress(ModuleNotFoundError):  # importlib.metadata's PackageNotFoundError is one
                out.update({library: installed(distribution)[distribution]})
    return out


def walk(model: Any) -> Iterator[Any]:
    """The estimator and every estimator inside it: steps, columns, members, calibrated classifiers."""
    yield model
    for name in (*_PARTS, *_PART):
        yield from _inside(getattr(model, name, None))


def _inside(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _inside(item)
    elif not isinstance(value, type) and (hasattr(value, "get_params") or hasattr(value, "calibrators")):
        yield from walk(value)
