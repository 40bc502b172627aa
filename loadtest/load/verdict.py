"""What an outcome is worth: void, missed or met. Void comes first: a figure that cannot be trusted is no figure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from loadtest.load.calibrate import SHARE, Limit
from loadtest.load.k6 import Outcome
from loadtest.load.scenario import Scenario

State = Literal["met", "missed", "void"]


@dataclass(frozen=True)
class LoadVerdict:
    """The state and the sentences that say why."""

    state: State
    reasons: tuple[str, ...]
    generator: bool = False
    """Void, and nothing points at the server: the generator gave out."""

    @property
    def met(self) -> bool:
        """Whether the service level was met, in a run that counts."""
        return self.state == "met"


def void(scenario: Scenario, outcome: Outcome, limit: Limit) -> list[str]:
    """Why the outcome's percentiles cannot be trusted; nothing where they can."""
    reasons = []
    if outcome.dropped:
        reasons.append(
            f"{outcome.dropped} requests were due and never sent: all {outcome.waiting} virtual users were waiting"
        )
    if outcome.unsent > max(3, outcome.requests // 100):
        reasons.append(f"{outcome.unsent} requests were due and the generator never came to them")
    late = outcome.lateness.p(99)
    if late > scenario.slo_p99_ms / 2:
        reasons.append(
            f"the generator was late itself: 1 request in 100 began {late:.0f} ms or more after it was due; give it "
            "cores of its own"
        )
    peak = max(rate for _, rate in scenario.stages())
    if peak > limit.usable:
        reasons.append(
            f"{peak:,.0f} requests a second are {peak / limit.rate:.0%} of what this generator reaches against a "
            f"server that does nothing ({limit.rate:,.0f}/s); above {SHARE:.0%} it measures itself"
        )
    if not outcome.requests:
        reasons.append("nothing was answered")
    return reasons


def judge(scenario: Scenario, outcome: Outcome, limit: Limit) -> LoadVerdict:
    """The outcome against the scenario's service level."""
    if reasons := void(scenario, outcome, limit):
        return LoadVerdict("void", tuple(reasons), generator=not outcome.dropped and bool(outcome.requests))
    p99 = outcome.latency.p(99)
    missed = []
    if p99 > scenario.slo_p99_ms:
        missed.append(f"p99 is {p99:.1f} ms, above {scenario.slo_p99_ms:g} ms")
    if outcome.error_share > scenario.slo_errors:
        worst = ", ".join(f"{n} {code}" for code, n in sorted(outcome.codes.items(), key=lambda pair: -pair[1])[:3])
        missed.append(f"{outcome.error_share:.2%} of answers are wrong ({worst}), above {scenario.slo_errors:.2%}")
    if missed:
        return LoadVerdict("missed", tuple(missed))
    return LoadVerdict("met", (f"p99 {p99:.1f} ms, {outcome.errors} wrong answers of {outcome.requests:,}",))
