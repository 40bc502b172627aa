"""What a bundle that takes another one's place does to the callers of the one before, in a sentence each.

Callers that name a contract version are answered under it, through adapters; callers that name none get answers as
they are. Whether a break is accepted, and what follows from it, is left to whoever asks.
"""

from __future__ import annotations

from dataclasses import replace

from fivefold.core.contract.contract import Contract
from fivefold.core.view import Views
from fivefold.evolution.verdict import judge


def first_break(served: Views, successor: Views) -> str | None:
    """The first thing that callers of the served bundle lose with its successor; None where they lose nothing."""
    before, after = served.default.contract, successor.default.contract
    broken = None if before == after else unnamed_break(before, after)
    if broken is not None:
        return f"callers that name no version break: {broken}"
    for version, view in served.items():
        new = successor.get(version)
        if new is None:
            return f"version {version} is answered now, the new bundle answers {', '.join(successor)}"
        broken = None if new.contract == view.contract else named_break(view.contract, new.contract)
        if broken is not None:
            return f"version {version} changes under its name: {broken}"
    return None


def unnamed_break(served: Contract, released: Contract) -> str | None:
    """The worst that the new default does to callers that name no version; None where they do not break."""
    return _worst(_unadapted(served), _unadapted(released), strict=True)


def named_break(served: Contract, released: Contract) -> str | None:
    """The worst that the released contract does to callers that name the served one; None where they do not break."""
    return _worst(served, released, strict=False)


def _unadapted(contract: Contract) -> Contract:
    """The contract to callers for whom nothing is adapted: they get answers as they are, by their one name."""
    return replace(contract, outputs=tuple(replace(field, unknown=None, aliases=()) for field in contract.outputs))


def _worst(served: Contract, released: Contract, *, strict: bool) -> str | None:
    findings = judge(served, released, strict=strict, examples=False).of("backward")
    worst = next((each for each in findings if each.severity == "error"), None)
    return None if worst is None else f"{worst.says} ({worst.rule.id})"
