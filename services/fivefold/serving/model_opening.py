"""The models of bundles, fetched, verified and self-tested: what every process that answers begins with.

Fetching is `fivefold.delivery`'s, the self-test the scorer's; what a process does with a model that is refused is its
own matter.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from fivefold.core.runtime.scorer import Scorer
from fivefold.delivery.fetch import fetch
from fivefold.serving.repository import Model

if TYPE_CHECKING:
    from fivefold.core.bundle.bundle import Bundle
    from fivefold.delivery.settings import DeliverySettings


FETCHED_AT_ONCE: Final = 4
"""Bundles that are on their way together: waiting for a store is what takes long. Each has its own time limit, and all
share the line, so they are few."""


def open_models(references: Sequence[str], delivery: DeliverySettings, seconds: float | None = None) -> list[Model]:
    """Fetch, verify and self-test bundles, each within so many seconds; several are fetched at once.

    Models are opened one after the other: what a row costs is measured then, and would be wrong beside others. Raises
    as `fivefold.delivery.fetch` and `Scorer.open` do: of several bundles that cannot be had, for the first that is
    given, once those that are on their way have come; no others are begun.
    """
    return [Model(bundle, Scorer.open(bundle, within_seconds=seconds)) for bundle in fetch_all(references, delivery)]


def fetch_all(references: Sequence[str], delivery: DeliverySettings) -> list[Bundle]:
    """The verified bundles, in the order of their references; raises as `open_models` does."""
    if len(references) < 2:
        return [fetch(reference, delivery) for reference in references]
    with ThreadPoolExecutor(FETCHED_AT_ONCE, thread_name_prefix="fivefold-fetch") as pool:
        return list(pool.map(fetch, references, itertools.repeat(delivery)))


def open_beside(bundles: Iterable[Bundle], served: Iterable[Model], seconds: float | None = None) -> list[Model]:
    """The models of bundles that take the place of `served`, self-tested, each within so many seconds; those that are
    served already are the same objects. Raises as `Scorer.open` does, and then has opened nothing."""
    known = {(model.name, model.bundle.digest): model for model in served}
    models: list[Model] = []
    try:
        for bundle in bundles:
            model = known.get((bundle.name, bundle.digest))
            models.append(model or Model(bundle, Scorer.open(bundle, within_seconds=seconds)))
    except BaseException:
        close_beside(models, known.values())
        raise
    return models


def close_beside(models: Iterable[Model], served: Iterable[Model]) -> None:
    """Close the models that `open_beside` has opened and nobody serves."""
    kept = set(served)
    for model in models:
        if model not in kept:
            model.scorer.close()
