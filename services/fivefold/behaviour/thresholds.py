"""How much two models may differ, and the sentence about what is too much.

Rates and changes are held against a limit as they were counted, not by the ends of their intervals. What happens to a
release that is above one is left to whoever asked.
"""

from __future__ import annotations

from dataclasses import dataclass

from fivefold.behaviour.contrast import BehaviourDifference, OutputDifference, SlicedMeasure
from fivefold.behaviour.measures import Change, Disagreement


@dataclass(frozen=True, slots=True)
class BehaviourBounds:
    """What is allowed; None: anything. Raises `ValueError` for a bound that is none."""

    disagreement: float | None = None
    """The share of rows, 0 to 1, whose category may differ, and of those that the new model alone may refuse."""
    change: float | None = None
    """How far any number may move, in the output's own unit."""

    def __post_init__(self) -> None:
        if self.disagreement is not None and not 0 <= self.disagreement <= 1:
            raise ValueError(f"max-disagreement: expected a share of 0 to 1, got {self.disagreement}")
        if self.change is not None and not self.change >= 0:
            raise ValueError(f"max-change: expected a number of at least 0, got {self.change}")

    def broken(self, found: BehaviourDifference) -> list[str]:
        """A sentence for each bound that is broken, with its numbers and the worst slice."""
        out = []
        answered = found.rows + found.lost
        if self.disagreement is not None and answered and found.lost / answered > self.disagreement:
            worst = next((each for each in found.refused if each.side == "new"), None)
            most = f", most often {worst.code} at {worst.path or 'the whole row'}" if worst else ""
            out.append(
                f"the new model refuses {found.lost:,} of {answered:,} rows that the old one answers "
                f"({percent(found.lost / answered)}), more than {percent(self.disagreement)}{most}"
            )
        for output in found.outputs:
            whole = output.whole
            if isinstance(whole, Disagreement):
                if self.disagreement is not None and whole.rate is not None and whole.rate > self.disagreement:
                    out.append(
                        f"{output.name} differs in {whole.differ:,} of {whole.rows:,} rows ({percent(whole.rate)}), "
                        f"more than {percent(self.disagreement)}{_worst(output)}"
                    )
            elif self.change is not None and whole.unlike:
                out.append(
                    f"{output.name} is a number on one side alone in {whole.unlike:,} of {whole.rows:,} rows"
                    f"{_worst(output)}"
                )
            elif self.change is not None and whole.largest is not None and whole.largest > self.change:
                out.append(
                    f"{output.name} changes by up to {whole.largest:g}, more than {self.change:g}{_worst(output)}"
                )
        return out


def percent(share: float) -> str:
    """A share in words of three digits."""
    return f"{share * 100:.3g} %"


def _worst(output: OutputDifference) -> str:
    worst = output.worst
    return "" if worst is None else f"; worst where {_place(worst)}"


def _place(worst: SlicedMeasure) -> str:
    measure = worst.measure
    if isinstance(measure, Change):
        if measure.unlike:
            says = f"{measure.unlike:,} of {measure.rows:,} rows"
        else:
            says = f"up to {measure.largest:g} in {measure.rows:,} rows"
    else:
        says = f"{measure.differ:,} of {measure.rows:,} rows, {percent(measure.rate or 0)}"
    return f"{worst.slicing} is {worst.slice} ({says})"
