"""Ties of a classifier: rows whose label hangs on rounding, by what the original takes its label from.

Probabilities may be equal where the label is certain: those of one against the rest end at 1, and a modified Huber loss
makes them uniform wherever no class is likely. A label that is taken from the scores hangs on rounding only where these
are equal too.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fivefold.core.columns import Columns
from fivefold.packing import asking, measure
from fivefold.packing.asking import Witness


def undecided(original: Witness, columns: Columns, tolerance: float) -> measure.Mask:
    """Rows whose two best classes are as good as equal; the original has probabilities."""
    answer = original.ask("predict_proba", columns)
    several = answer if isinstance(answer, list) else [answer]
    ties = np.any([measure.undecided(np.asarray(one), tolerance) for one in several], axis=0)
    if ties.any() and (close := _close(original, columns, tolerance)) is not None:
        ties &= close
    return np.asarray(ties)


def _close(original: Witness, columns: Columns, tolerance: float) -> measure.Mask | None:
    """Rows whose two best scores are as good as equal; None where the label is not that of the best score."""
    known = asking.classes(original.model)
    if known is None or len(known) != 1 or not hasattr(original.model, "decision_function"):
        return None
    scores = np.asarray(original.ask("decision_function", columns))
    if scores.ndim == 1:
        scores = np.stack([np.zeros_like(scores), scores], axis=1)
    (names,) = known
    if scores.ndim != 2 or scores.shape[1] != len(names):
        return None
    close = measure.undecided_scores(scores, tolerance)
    certain = ~close
    best = names[np.argmax(scores, axis=1)]
    by_score = np.array_equal(best[certain], np.asarray(original.ask("predict", columns))[certain])
    return close if by_score else None


def labelled_by_scores(model: Any) -> bool:
    """Whether the label is that of the best score and the converter takes that of the best probability: with more than
    two classes these may be equal where the scores are far apart."""
    classes = asking.classes(model)
    return (
        type(model).__name__ in ("OneVsRestClassifier", "SGDClassifier")
        and hasattr(model, "predict_proba")
        and hasattr(model, "decision_function")
        and classes is not None
        and len(classes[0]) > 2
        and not getattr(model, "multilabel_", False)
    )
