"""The models of bundles, fetched, verified and self-tested: what every process that answers begins with.

Fetching is `fivefold.delivery`'s, the self-test the scorer's; what a process does with a model that is refused is its
own matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fivefold.core.runtime.scorer import Scorer
from fivefold.delivery.fetch import fetch
from fivefold.serving.repository import Model

if TYPE_CHECKING:
    from fivefold.delivery.settings import DeliverySettings


def open_models(references: Sequence[str], delivery: DeliverySettings, seconds: float | None = None) -> list[Model]:
    """Fetch, verify and self-test bundles, each within so many seconds.

    Raises as `fivefold.delivery.fetch` and `Scorer.open` do.
    """
    bundles = [fetch(reference, delivery) for reference in references]
    return [Model(bundle, Scorer.open(bundle, within_seconds=seconds)) for bundle in bundles]
