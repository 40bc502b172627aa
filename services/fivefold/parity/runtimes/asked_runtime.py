"""The seam of a runtime: whether it is here, which rows it can say, and what it answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.view import View
from fivefold.parity.question_rows import Question
from fivefold.parity.row_answers import RowAnswer, RowRefused

GROUP = 256
"""Rows that are asked together where nobody is meant to be refused."""


@dataclass(frozen=True, slots=True)
class NotHere:
    """Why a runtime cannot be asked on this machine, and the way to get it."""

    reason: str
    help: str


@dataclass(frozen=True, slots=True)
class AskedBundle:
    """The verified bundle, a directory that holds its very bytes, and an empty one for what a runtime writes."""

    bundle: Bundle
    directory: Path
    scratch: Path

    @property
    def view(self) -> View:
        """All rows are asked under the model's own contract version."""
        return self.bundle.views.own


class Runtime(ABC):
    """One way to ask. Made for one bundle, asked once, and closed."""

    def __init__(self, asked: AskedBundle) -> None:
        self.bundle, self.directory, self.scratch = asked.bundle, asked.directory, asked.scratch
        self.view = asked.view

    def available(self) -> NotHere | None:
        """Why it cannot be asked here, None where it can."""
        return None

    def can_say(self, question: Question) -> bool:  # noqa: ARG002  # the seam's
        """Whether its form of a request has this row."""
        return True

    @abstractmethod
    def ask(self, asked: Sequence[Question]) -> list[RowAnswer]:
        """The answer to each row, in order."""

    def close(self) -> None:  # noqa: B027  # most have nothing to close
        """Let go of what answers."""


def in_groups(
    asked: Sequence[Question],
    ask: Callable[[Sequence[Question]], list[RowAnswer] | RowRefused],
    kind: Callable[[Question], Hashable] = lambda _: None,
) -> list[RowAnswer]:
    """Ask rows together that are of one kind, and those alone that were made to be refused: a refusal names one row.

    Rows of a group that is refused after all are asked one by one.
    """
    out: dict[int, RowAnswer] = {}
    for group in _groups(asked, kind):
        answers = ask(group)
        if isinstance(answers, RowRefused):
            answers = [answers] if len(group) == 1 else [_alone(ask([question])) for question in group]
        if len(answers) != len(group):
            raise ValueError(f"{len(answers):,} answers to {len(group):,} rows")
        out |= {question.number: answer for question, answer in zip(group, answers, strict=True)}
    return [out[question.number] for question in asked]


def _alone(answer: list[RowAnswer] | RowRefused) -> RowAnswer:
    if isinstance(answer, RowRefused):
        return answer
    (only,) = answer
    return only


def _groups(asked: Sequence[Question], kind: Callable[[Question], Hashable]) -> Iterator[list[Question]]:
    together: dict[Hashable, list[Question]] = {}
    for question in asked:
        if question.origin == "refused":
            yield [question]
        else:
            group = together.setdefault(kind(question), [])
            group.append(question)
            if len(group) == GROUP:
                yield group
                together[kind(question)] = []
    yield from (group for group in together.values() if group)
