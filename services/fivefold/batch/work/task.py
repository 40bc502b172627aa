"""What a worker is given once: the model, the plan's facts and the output; and the worker itself.

A worker is a plain class, and every engine's: `actors` makes Ray actors of it, `local_process` starts one in a process,
tests call it as it is. It opens the model by itself, and dies with the process that started it.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from fivefold.batch.output.ledger import Ledger, Record
from fivefold.batch.output.sinks import Layout
from fivefold.batch.plan import planning
from fivefold.batch.plan.contract_choice import view_of
from fivefold.batch.plan.planning import Fragment
from fivefold.batch.plan.settings import BatchSettings
from fivefold.batch.storage.output_storage import open_storage
from fivefold.batch.work.fragment_scorer import TOO_MANY, FragmentScorer
from fivefold.core import redact
from fivefold.core.errors import FivefoldError, InternalError, RunFailed
from fivefold.delivery.settings import DeliverySettings


@dataclass(frozen=True, slots=True)
class RunTask:
    """One run, as its workers know it. `model` is a reference, `bundle` the digest that it must have."""

    model: str
    bundle: str
    output: str
    settings: BatchSettings
    delivery: DeliverySettings


@dataclass(frozen=True, slots=True)
class FragmentOutcome:
    """What became of a fragment: a record, or an error, with the traceback of one that nobody foresaw."""

    record: Record | None = None
    error: FivefoldError | None = None
    trace: str = ""
    codes: dict[str, int] = field(default_factory=dict)
    """Rows by code where the limit of bad rows was exceeded in it."""
    row_seconds: float = 0.0
    """What a row of a whole chunk costs the model, as measured when it was opened; of that outcome alone."""


class FragmentWorker:
    """Opens the model once and scores the fragments it is given, one after another."""

    def __init__(self, task: RunTask) -> None:
        self._task = task
        self._scorer: FragmentScorer | None = None
        self._row_seconds = 0.0

    def open(self) -> FragmentOutcome:
        """Open the model and prove it; gives an outcome without a record, or with the error."""
        return replace(_outcome(self._open), row_seconds=self._row_seconds)

    def score(self, fragment: Fragment, attempt: int, most_bad: int | None) -> FragmentOutcome:
        """Score one fragment."""

        def work() -> Record:
            assert self._scorer is not None
            return self._scorer.score(fragment, attempt=attempt, most_bad=most_bad)

        outcome = _outcome(work)
        if outcome.error is None or outcome.error.code != TOO_MANY or self._scorer is None:
            return outcome
        return replace(outcome, codes=self._scorer.refused)

    def close(self) -> None:
        """Let go of the model and of unfinished files."""
        if self._scorer is not None:
            self._scorer.close()
            self._scorer = None

    def _open(self) -> None:
        from fivefold.core.runtime.scorer import Scorer
        from fivefold.delivery.fetch import fetch

        task = self._task
        bundle = fetch(task.model, task.delivery)
        if bundle.digest != task.bundle:
            raise RunFailed(
                "run_conflict",
                f"expected the bundle {task.bundle}, got {bundle.digest}",
                path=task.model,
                help="the bundle was replaced while the run started: start it again",
            )
        output = open_storage(task.output, allow_http=task.settings.store_http)
        view = view_of(bundle, task.settings)
        scorer = Scorer.open(bundle)
        rows = task.settings.chunk_rows
        self._row_seconds = scorer.seconds(rows) / rows
        self._scorer = FragmentScorer(
            scorer,
            view,
            Ledger(output),
            output.scratch(),
            planning.read_request(view, task.settings),
            Layout.of(view, f"{bundle.name}@{bundle.version}", task.settings.columns),
            task.settings.format,
        )


class TiedWorker(FragmentWorker):
    """A worker that the system kills when the process dies that started it, so that nothing writes for a dead run."""

    def __init__(self, task: RunTask, local: bool) -> None:
        if local:
            from fivefold.local import processes

            processes.die_with_parent()
        super().__init__(task)


def _outcome(work: Callable[[], Record | None]) -> FragmentOutcome:
    try:
        return FragmentOutcome(work())
    except FivefoldError as error:
        cause = error.__cause__
        error.__cause__ = None
        return FragmentOutcome(None, error, redact.text("".join(traceback.format_exception(cause))) if cause else "")
    except Exception:
        defect = InternalError("internal", "a defect of fivefold stopped the run")
        return FragmentOutcome(None, defect, redact.text(traceback.format_exc()))
