"""Which conversion of a model is packed: all of them are tried until one is good enough, the closest one wins.

Each try runs in the sandbox; one that hangs or crashes there is a reason like any other and costs the next one nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from fivefold.core.columns import Columns
from fivefold.core.errors import BundleInvalid, first_line
from fivefold.packing.measure import Difference
from fivefold.packing.probe import Probe
from fivefold.packing.sandbox import Sandbox, SandboxEnded
from fivefold.packing.source_model import ConversionPlan, Unconverted, Unrunnable
from fivefold.packing.trials import Description, Trial, TrialTask

GOOD_ENOUGH = 1e-6
"""A float32 conversion this close to the original is taken without trying float64, slower and twice as large."""
CLEARLY_BETTER = 10.0
"""How many times closer a later conversion must be to be preferred."""


@dataclass(frozen=True)
class Attempt:
    """One conversion that was tried: its trial, or why there is none."""

    plan: ConversionPlan
    trial: Trial | None
    reason: BundleInvalid | None

    def describe(self, asked: Probe) -> str:
        """The attempt as a line for people."""
        if self.trial is None:
            return f"{self.plan.name}: {self.reason}"
        difference = self.trial.difference
        parts = [f"{difference.wrong} of {asked.rows} rows get another label"] if difference.wrong else []
        parts.append(f"largest difference {difference.largest:.3g}")
        return f"{self.plan.name}: {', '.join(parts)}{_place(difference, asked)}"


@dataclass(frozen=True)
class Choice:
    """The conversion that is packed, and everything that was tried on the way to it."""

    best: Trial
    attempts: tuple[Attempt, ...]
    asked: Probe

    @classmethod
    def of(cls, sandbox: Sandbox, task: TrialTask, described: Description, say: Callable[[str], None]) -> Choice:
        """Try the source's conversions; `BundleInvalid` where none can be opened or the closest is too far away."""
        plans: tuple[ConversionPlan, ...] = _call(sandbox, "preparing the conversions", "prepare", task)
        if described.entry is None:
            say("looking for where the model decides")
        beside: Columns | None = _call(sandbox, "looking for where the model decides", "decisions")
        if beside is not None:
            task = replace(task, asked=task.asked.beside_decisions(beside))
            plans = _call(sandbox, "preparing the conversions", "prepare", task)
        attempts: list[Attempt] = []
        best: Trial | None = None
        for plan in plans:
            say(f"converting and measuring: {plan.name}" if described.entry is None else "measuring")
            began = time.monotonic()
            attempt = _attempt(sandbox, task, plan, described)
            attempts.append(attempt)
            say(f"  {attempt.describe(task.asked)} ({time.monotonic() - began:.1f} s)")
            if attempt.trial is None:
                continue
            if best is None or _better(attempt.trial.difference, best.difference):
                best = attempt.trial
            if best.difference.wrong == 0 and best.difference.largest <= GOOD_ENOUGH:
                break
        if best is None:
            raise _none(attempts, task.asked)
        if not best.difference.within(task.tolerance):
            raise _too_far(best.difference, task, described, attempts)
        return cls(best, tuple(attempts), task.asked)

    def describe(self) -> tuple[str, ...]:
        """Each attempt as a line for people."""
        return tuple(attempt.describe(self.asked) for attempt in self.attempts)


def _call(sandbox: Sandbox, stage: str, method: str, *arguments: Any) -> Any:
    try:
        return sandbox.call(method, *arguments)
    except SandboxEnded as err:
        raise Unconverted(f"{stage}: {err}") from err
    except RuntimeError as err:  # how the sandbox carries an exception that is not the product's
        raise Unconverted(f"{stage} failed: {first_line(err)}") from err


def _attempt(sandbox: Sandbox, task: TrialTask, plan: ConversionPlan, described: Description) -> Attempt:
    try:
        if not sandbox.running:
            sandbox.call("prepare", task)
        return Attempt(plan, sandbox.call("run", plan), None)
    except SandboxEnded as err:
        what, help = "the conversion", "the converter or the runtime cannot do this model"
        if described.entry is not None:
            what, help = "asking the model", "its own code or a library of it ends the process, or takes too long"
        return Attempt(plan, None, Unconverted(f"{what} did not come to an end: {err}", help=help))
    except BundleInvalid as err:
        return Attempt(plan, None, err)
    except RuntimeError as err:  # how the sandbox carries an exception that is not the product's
        return Attempt(plan, None, Unconverted(f"measuring failed: {first_line(err)}"))


def _better(one: Difference, other: Difference) -> bool:
    if one.wrong != other.wrong:
        return one.wrong < other.wrong
    return one.largest * CLEARLY_BETTER < other.largest


def _place(difference: Difference, asked: Probe) -> str:
    """Where the worst of a difference is: the cell, what became of it, and what sort of row that is."""
    if not difference.where:
        return ""
    sort = asked.sort_of(difference.row)
    return f" ({difference.where}{f'; a row {sort}' if sort else ''})"


def _none(attempts: list[Attempt], asked: Probe) -> BundleInvalid:
    """The refusal where no conversion could be measured: what is wrong with the model or the contract speaks before
    what a converter cannot do, and that before what only the runtime lacks for one of the ways; of several such reasons
    the last, whose way was the most general one."""
    reasons = [attempt.reason for attempt in attempts if attempt.reason is not None]
    reported = [reason for reason in reasons if not isinstance(reason, Unconverted)]
    reported = reported or [reason for reason in reasons if not isinstance(reason, Unrunnable)] or reasons
    last = reported[-1]
    if len({str(reason) for reason in reasons}) == 1:
        return last
    kind = Unconverted if isinstance(last, Unconverted) else BundleInvalid
    tried = "; ".join(attempt.describe(asked) for attempt in attempts if attempt.reason is not last)
    return kind(last.message, path=last.path, help=f"{last.help or 'see what else was tried'} (tried: {tried})")


def _too_far(difference: Difference, task: TrialTask, described: Description, attempts: list[Attempt]) -> BundleInvalid:
    asked = task.asked
    parts = []
    if difference.wrong:
        parts.append(f"{difference.wrong} of {asked.rows} rows get another label")
    if difference.largest > task.tolerance:
        parts.append(f"the largest difference is {difference.largest:.3g}, the tolerance {task.tolerance:g}")
    if described.wrapped:
        who = "the bundle answers otherwise than the model itself"
        fix = "its predict is to depend on the row only, and on no state of the process it was loaded in"
    elif described.entry is not None:
        who = "two instances of the class disagree"
        fix = "make predict depend on its columns only (fix every seed, keep no state)"
    else:
        who = "the converted model disagrees with the original"
        fix = "raise --tolerance where the difference is harmless"
        if len(attempts) > 1:
            fix += f" (tried: {'; '.join(attempt.describe(asked) for attempt in attempts)})"
    kind = BundleInvalid if described.entry is not None else Unconverted
    return kind(f"{who}: {'; '.join(parts)}{_place(difference, asked)}", help=fix)
