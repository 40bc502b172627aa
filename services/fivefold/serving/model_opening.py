"""The models of bundles, fetched, verified and self-tested: what every process that answers begins with.

Fetching is `fivefold.delivery`'s, the self-test the scorer's; what a process does with a model that is refused is its
own matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from fivefold.core.runtime.scorer import Scorer
from fivefold.delivery.fetch import fetch
from fivefold.serving.repository import Model

if TYPE_CHECKING:
    from fivefold.core.bundle.bundle import Bundle
    from fivefold.delivery.settings import DeliverySettings


def open_models(references: Sequence[str], delivery: DeliverySettings, seconds: float | None = None) -> list[Model]:
    """Fetch, verify and self-test bundles, each within so many seconds.

    Raises as `fivefold.delivery.fetch` and `Scorer.open` do.
    """
    bundles = [fetch(reference, delivery) for reference in references]
    return [Model(bundle, Scorer.open(bundle, within_seconds=seconds)) for bundle in bundles]


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
