"""One run: make the rows, ask the core, ask every runtime in turn, compare.

A runtime that breaks while it is asked is a result, `failed`, and the next one is asked all the same.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import Interrupted, ProtocolError, first_line
from fivefold.core.fields.suggestion import nearest
from fivefold.core.runtime.scorer import Scorer
from fivefold.core.telemetry import LOGGER
from fivefold.core.view import View
from fivefold.parity import expected_answers
from fivefold.parity.agreement_limit import limit_of
from fivefold.parity.question_rows import SEED, Question, origins, questions
from fivefold.parity.row_agreement import RowComparison, RuntimeAgreement
from fivefold.parity.row_answers import RowAnswer, RowRefused
from fivefold.parity.runtimes import REGISTERED, AskedBundle, NotHere, opened


@dataclass(slots=True)
class ParityResult:
    """What was asked, and what became of each runtime; `limit` is how far floats may be apart."""

    bundle: str
    contract: str
    digest: str
    rows: dict[str, int]
    refused: int
    limit: float
    runtimes: list[RuntimeAgreement] = field(default_factory=list)
    required: tuple[str, ...] = ()

    @property
    def asked(self) -> list[RuntimeAgreement]:
        """The runtimes that there are on this machine."""
        return [each for each in self.runtimes if each.status != "absent"]

    @property
    def broken(self) -> list[str]:
        """A sentence on each runtime that does not agree, or is missing and required."""
        out = []
        for each in self.runtimes:
            if each.status == "differs":
                out.append(f"{each.name} differs in {each.differing:,} of {each.asked:,} rows")
            elif each.status == "failed":
                out.append(f"{each.name} failed: {each.reason}")
            elif each.status == "absent" and each.name in self.required:
                out.append(f"{each.name} is required and not here: {each.reason}")
        return out

    @property
    def largest(self) -> float:
        """The largest difference of all."""
        return max((each.largest for each in self.asked), default=0.0)

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "ok": not self.broken,
            "broken": self.broken,
            "bundle": self.bundle,
            "digest": self.digest,
            "contract": self.contract,
            "rows": self.rows,
            "refused": self.refused,
            "limit": self.limit,
            "largest_difference": self.largest if np.isfinite(self.largest) else None,
            "runtimes": [each.to_json() for each in self.runtimes],
        }


def chosen(only: Sequence[str], required: Sequence[str]) -> list[str]:
    """The runtimes to ask, in their order. Raises `ProtocolError` for a name that is none."""
    for name in (*only, *required):
        if name not in REGISTERED:
            help = nearest(name, REGISTERED) or f"one of {', '.join(REGISTERED)}"
            raise ProtocolError("not_acceptable", f"there is no runtime {name!r}", help=help)
    wanted = {*only, *required} if only else set(REGISTERED)
    return [name for name in REGISTERED if name in wanted]


def run(
    bundle: Bundle,
    rows: int,
    names: Sequence[str],
    *,
    required: Sequence[str] = (),
    seed: str = SEED,
    say: Callable[[str], None] = lambda _: None,
) -> ParityResult:
    """Ask the runtimes of these names the golden rows and `rows` generated ones; `say` hears whose turn it is.

    Raises what opening the bundle's model raises. Only the main thread may call this: batch sets signal handlers.
    """
    asked = questions(bundle, rows, seed)
    view = bundle.views.own
    with Scorer.open(bundle) as scorer:
        wanted = expected_answers.expected(scorer, view, asked)
        golden = expected_answers.golden(scorer, wanted)
    limit = limit_of(bundle)
    refused = sum(isinstance(each, RowRefused) for each in wanted)
    result = ParityResult(
        f"{bundle.name}@{bundle.version}", view.name, bundle.digest, origins(asked), refused, limit, [], tuple(required)
    )
    with _no_word_of_refusals(), tempfile.TemporaryDirectory(prefix="fivefold-parity-") as scratch:
        home = Path(scratch)
        copy = bundle.copy(home / "bundle").path
        for name in names:
            say(name)
            place = home / name
            place.mkdir()
            # The core is asked about the golden answers; whoever agrees with the core then agrees with them.
            against = golden if name == "core" else wanted
            result.runtimes.append(_ask(name, AskedBundle(bundle, copy, place), view, asked, against, limit))
    return result


@contextlib.contextmanager
def _no_word_of_refusals() -> Iterator[None]:
    """Servers log what they refuse and what a model fails on, and here they are asked such rows; all are compared."""
    before = LOGGER.level
    LOGGER.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        LOGGER.setLevel(before)


def _ask(
    name: str,
    bundle: AskedBundle,
    view: View,
    asked: Sequence[Question],
    wanted: Sequence[RowAnswer],
    limit: float,
) -> RuntimeAgreement:
    found = RuntimeAgreement(name)
    begun = time.monotonic()
    try:
        runtime = opened(name, bundle)
        if isinstance(runtime, NotHere):
            return RuntimeAgreement(name, "absent", runtime.reason, runtime.help)
        try:
            said = [question for question in asked if runtime.can_say(question)]
            found.unsaid = len(asked) - len(said)
            if not said:
                return RuntimeAgreement(name, "absent", "none of the rows has a spelling here")
            answers = runtime.ask(said)
        finally:
            runtime.close()
    except Exception as error:
        if isinstance(error, Interrupted) and error.code == "cancelled":
            # Batch hears of signals by itself, and would tell how to go on.
            raise KeyboardInterrupt from None
        found.status, found.reason = "failed", f"{type(error).__name__}: {first_line(error)}"
        found.seconds = time.monotonic() - begun
        return found
    found.seconds = time.monotonic() - begun
    RowComparison(view.outputs, limit).compare(found, said, [wanted[each.number] for each in said], answers)
    return found
