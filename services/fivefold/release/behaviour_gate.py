"""Whether the model of a release answers as the one before it did, as far as that is asked for.

The comparison is `fivefold.behaviour`'s; here are the bundles that it needs, and a finding's words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from fivefold.behaviour.contrast import BehaviourDifference, contrast
from fivefold.behaviour.measures import Disagreement
from fivefold.behaviour.thresholds import BehaviourBounds, percent
from fivefold.core import redact
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import BundleInvalid, FivefoldError
from fivefold.delivery.fetch import fetch
from fivefold.delivery.reference import Reference
from fivefold.delivery.settings import DeliverySettings
from fivefold.serving.repository import Repository


@dataclass(frozen=True, slots=True, kw_only=True)
class BehaviourCheck:
    """What to hold a release's models against: the bundles before them, on their golden rows and those of files."""

    old: tuple[str, ...]
    """References, as those of the release."""
    served: bool = False
    """Each has to be what the live service answers with by default: a comparison with another one proves nothing."""
    rows: tuple[str, ...] = ()
    bounds: BehaviourBounds = field(default_factory=BehaviourBounds)


def compare_behaviour(
    models: Repository,
    old_reference: str,
    asked: BehaviourCheck,
    delivery: DeliverySettings,
    served: Callable[[str], str | None],
) -> tuple[str, str, FivefoldError | None]:
    """The subject of the finding, what it says, and the error where the release is refused.

    Compared is the version that will answer by default under the old model's name. `served` gives the digest of what is
    answered with under a name now, None where nobody can say and that is accepted; it raises where it is not.
    """
    subject = redact.address(old_reference)
    try:
        reference = Reference.parse(old_reference)
        subject = reference.shown
        old = fetch(reference, delivery)
        if asked.served:
            _is_served(old, served(old.name))
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


def _is_served(old: Bundle, digest: str | None) -> None:
    """Raises `BundleInvalid` where another bundle answers now."""
    if digest is not None and digest != old.digest:
        answers = f"{digest[:16]}… answers" if digest else "the service does not say what answers"
        raise BundleInvalid(
            f"{old.name}@{old.version} ({old.digest[:16]}…) is not what is served: {answers} as {old.name} now",
            help="--old names the bundle that is served, the one before this release",
        )


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
