"""Whether the model of a release answers as the one before it did, as far as that is asked for.

The comparison is `fivefold.behaviour`'s; here are the bundles that it needs, and a finding's words.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fivefold.behaviour.contrast import BehaviourDifference, contrast
from fivefold.behaviour.measures import Disagreement
from fivefold.behaviour.thresholds import BehaviourBounds, percent
from fivefold.core import redact
from fivefold.core.errors import BundleInvalid, FivefoldError
from fivefold.delivery.fetch import fetch
from fivefold.delivery.reference import Reference
from fivefold.delivery.settings import DeliverySettings
from fivefold.serving.repository import Repository


@dataclass(frozen=True, slots=True, kw_only=True)
class BehaviourCheck:
    """What to hold a release's model against: the bundle before it, on its golden rows and those of files."""

    old: str
    """A reference, as those of the release."""
    rows: tuple[str, ...] = ()
    bounds: BehaviourBounds = field(default_factory=BehaviourBounds)


def compare_behaviour(
    models: Repository, asked: BehaviourCheck, delivery: DeliverySettings
) -> tuple[str, str, FivefoldError | None]:
    """The subject of the finding, what it says, and the error where the release is refused.

    Compared is the version that will answer by default under the old model's name.
    """
    subject = redact.address(asked.old)
    try:
        reference = Reference.parse(asked.old)
        subject = reference.shown
        old = fetch(reference, delivery)
        new = models.find(old.name)
        subject = f"{new.name}@{new.version}"
        found = contrast(old, new.bundle, asked.rows)
    except FivefoldError as err:
        return subject, str(err), err
    broken = asked.bounds.broken(found)
    if broken:
        help = "fivefold difference shows the rows; if that is meant, allow more"
        refusal = BundleInvalid(f"against {old.name}@{old.version}: {'; '.join(broken)}", help=help)
        return subject, str(refusal), refusal
    return subject, f"against {old.name}@{old.version}: {_numbers(found)}", None


def _numbers(found: BehaviourDifference) -> str:
    said = []
    for output in found.outputs:
        whole = output.whole
        if isinstance(whole, Disagreement):
            said.append(
                f"{output.name} differs in {whole.differ:,} of {whole.rows:,} rows ({percent(whole.rate or 0)})"
            )
        else:
            moved = "nowhere" if not whole.changed else f"in {whole.changed:,} of {whole.rows:,} rows"
            most = "" if not whole.changed or whole.largest is None else f", by up to {whole.largest:g}"
            said.append(f"{output.name} changes {moved}{most}")
    refused = f"; {found.lost:,} rows refused by the new model alone" if found.lost else ""
    return "; ".join(said) + refused
