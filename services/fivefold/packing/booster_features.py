"""What a booster calls its features, and the categories of those that were fitted on pandas categories."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from fivefold.packing.estimators import walk
from fivefold.packing.frames import pandas_categories

_named: ContextVar[Mapping[int, tuple[Any, Any]] | None] = ContextVar("named", default=None)


@contextlib.contextmanager
def anonymous(model: Any) -> Iterator[None]:
    """While it holds, XGBoost's boosters forget their features' names: the converter only reads f0, f1, …

    `described` still knows them.
    """
    steps = [step for step in walk(model) if hasattr(step, "get_booster")]
    token = _named.set({id(step): (step.get_booster().feature_names, pandas_categories(step)) for step in steps})
    boosters = [step.get_booster() for step in steps]
    names = [(booster, booster.feature_names, booster.feature_types) for booster in boosters]
    try:
        for booster, _, kinds in names:
            booster.feature_names = None
            booster.feature_types = None
            if kinds is not None and "c" in kinds:
                # Without its types XGBoost does not write down a split by categories.
                booster.feature_names = [f"f{index}" for index in range(len(kinds))]
                booster.feature_types = kinds
        yield
    finally:
        _named.reset(token)
        for booster, name, kind in names:
            booster.feature_names = name
            booster.feature_types = kind


def described(model: Any) -> tuple[list[str], Mapping[str, tuple[Any, ...]]]:
    """The names of a booster's features, and the categories of those that were fitted on pandas categories."""
    known = (_named.get() or {}).get(id(model))
    names, found = known or (getattr(model, "feature_names_in_", None), pandas_categories(model))
    return [str(name) for name in (range(int(model.n_features_in_)) if names is None else names)], found
