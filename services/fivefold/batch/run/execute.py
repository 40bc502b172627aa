"""A run from its first file to `_SUCCESS`: plan, resume, work, account, publish.

    find the files ─> is it the run that stands here? ─> finished: say so
                                                      ─> begun: go on with what the ledger lacks
                                                      ─> another one: refuse
                                                      ─> none: plan it
    give fragments to workers ─> records ─> breaker ─> every row accounted for ─> run.json, _SUCCESS

The only state is in the output, so a driver that dies loses nothing but the fragments in work, and two that do
the same share it. What is done to a fragment is `fragment_scorer`'s matter, who does it `engine.engine_choice`'s.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from fivefold.batch.output import table_commit
from fivefold.batch.output.ledger import QUARANTINE, REPORT, SUCCESS, Ledger, Record, codes
from fivefold.batch.output.publish import publish, report, totals
from fivefold.batch.output.sinks import Layout
from fivefold.batch.plan.contract_choice import view_of
from fivefold.batch.plan.planning import Fragment, Plan
from fivefold.batch.plan.settings import BatchSettings
from fivefold.batch.run.breaker import Breaker
from fivefold.batch.run.losses import Losses
from fivefold.batch.run.preparation import RunOrder, prepare, table_url
from fivefold.batch.run.progress import Progress
from fivefold.batch.work.fragment_scorer import TOO_MANY
from fivefold.batch.work.task import FragmentOutcome, RunTask
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import FivefoldError, Interrupted, ModelFailed, RunFailed
from fivefold.delivery.reference import Reference
from fivefold.delivery.settings import DeliverySettings
from fivefold.local.signals import StopSignals, stopping

if TYPE_CHECKING:
    from fivefold.batch.engine.workers import Workers

POLL_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Result:
    """A finished run: the report that stands, and the rows that this start has scored (0 for one that was finished)."""

    report: dict[str, Any]
    scored_now: int


def score(
    order: RunOrder,
    settings: BatchSettings | None = None,
    delivery: DeliverySettings | None = None,
    *,
    out: IO[str],
    metrics: str = "",
    actors: Callable[[RunTask, int, int], Workers] | None = None,
    expected: str = "",
) -> Result:
    """Run until the output is published; `out` gets the progress.

    Raises `RunFailed` where the run cannot go on, `Interrupted` `cancelled` after SIGINT, SIGTERM or SIGHUP, and what
    `prepare` raises. What is finished by then stays, and the same call goes on from there. Only the main thread may
    call this: it sets signal handlers.
    """
    settings, delivery = settings or BatchSettings(), delivery or DeliverySettings()
    with stopping() as stop:
        ledger, plan, bundle = prepare(order, settings, delivery, partial(_go_on, stop), expected=expected)
        if ledger.published:
            return Result(_standing_report(ledger, plan), 0)
        progress = Progress(plan, out, metrics)
        work = _RunStart(order, settings, delivery, ledger, plan, bundle, progress, stop)
        try:
            return work.run(actors)
        except RunFailed as error:
            if error.code == TOO_MANY and work.model_is_to_blame:
                # Rows that the model fails on are good data: the exit status tells who has to look.
                raise ModelFailed("model_failed", error.message, path=error.path, help=error.help) from error
            raise
        finally:
            progress.end()


def _go_on(stop: StopSignals) -> None:
    """Raise `Interrupted` before anything is scored."""
    if stop.asked:
        raise Interrupted("cancelled", "stopped while the input was looked through")


class _RunStart:
    """One start of a run."""

    def __init__(
        self,
        order: RunOrder,
        settings: BatchSettings,
        delivery: DeliverySettings,
        ledger: Ledger,
        plan: Plan,
        bundle: Bundle,
        progress: Progress,
        stop: StopSignals,
    ) -> None:
        self._settings, self._ledger, self._plan = settings, ledger, plan
        self._progress, self._stop = progress, stop
        # A worker has another directory.
        delivery = replace(delivery, trusted_keys=tuple(str(Path(key).resolve()) for key in delivery.trusted_keys))
        model = str(Reference.parse(order.model).absolute())
        self._task = RunTask(model, bundle.digest, ledger.storage.url, settings, delivery)
        self._breaker = Breaker(
            settings.max_bad_fraction,
            settings.max_bad_rows,
            plan.rows,
            settings.allow_torn,
            where=f"{ledger.storage.url}/{QUARANTINE}",
        )
        layout = Layout.of(view_of(bundle, settings), bundle.name, settings.columns)
        self._fields = (*layout.kept, *layout.outputs)
        self._records: dict[str, Record] = {}
        self._losses = Losses(settings.attempts)
        self._stopped_at: dict[str, int] = {}
        """Rows by code of the fragment in which the limit was exceeded."""
        self._begun = time.monotonic()
        self._working: float | None = None
        """When this start gave a fragment to a worker first; None where others have done them all."""
        self._ended = 0.0

    def run(self, actors: Callable[[RunTask, int, int], Workers] | None) -> Result:
        """Do what the ledger lacks, and publish."""
        self._tidy()
        self._records = self._ledger.records(self._plan)
        resumed = sum(record.rows for record in self._records.values())
        missing = [fragment for fragment in self._plan.fragments if fragment.id not in self._records]
        self._progress.event(
            "resumed" if resumed else "started",
            fragments=len(self._plan.fragments),
            finished=len(self._records),
            rows=self._plan.rows,
            ignored_columns=list(self._plan.ignored),
            passed_over=len(self._plan.passed_over),
        )
        self._breaker.meanwhile(self._bad)
        working = 0.0
        if missing:
            try:
                self._score(missing, actors)
            finally:
                # What ended the run is worth more than what could not be removed.
                with contextlib.suppress(RunFailed):
                    self._tidy()
            working = 0.0 if self._working is None else self._ended - self._working
        counts = totals(self._plan, self._records)
        lost = counts["quarantined"] - self._bad
        self._breaker.at_the_end(self._bad, counts["rows"] - lost)
        self._breaker.broken([each for fragment in self._plan.fragments for each in self._records[fragment.id].broken])
        seconds = time.monotonic() - self._begun
        self._into_tables()
        made = report(
            self._plan,
            self._records,
            fields=self._fields,
            resumed=resumed,
            seconds=seconds,
            working=working,
            output=self._ledger.storage.url,
        )
        standing = publish(self._ledger, self._plan, self._records, made)
        self._progress.show(self._records, last=True)
        return Result(standing, sum(self._records[fragment.id].scored for fragment in missing))

    @property
    def model_is_to_blame(self) -> bool:
        """Whether most of the refused rows are ones that the model failed on."""
        refused = Counter(codes(self._records.values())) + Counter(self._stopped_at)
        return 2 * refused["model_failed"] > self._bad + sum(self._stopped_at.values())

    def _work(self, actors: Workers, waiting: deque[Fragment]) -> None:
        actors.start(min(actors.size, len(waiting)))
        suspects = self._losses.suspects
        while waiting or suspects or actors.busy:
            self._check_stop()
            if suspects and not waiting and not actors.busy:
                waiting.append(suspects.popleft())
            while waiting and actors.idle:
                self._give(actors, waiting)
            for fragment, outcome in actors.wait(POLL_SECONDS):
                self._take(actors, waiting, fragment, outcome)
            self._progress.show(self._records)
        self._ended = time.monotonic()

    def _score(self, missing: list[Fragment], actors: Callable[[RunTask, int, int], Workers] | None) -> None:
        if self._settings.engine == "ray-data" and actors is None:
            self._stream(missing)
            return
        if actors is None:
            from fivefold.batch.engine.engine_choice import workers_of

            chosen = workers_of(self._task, self._plan, missing)
        else:
            chosen = actors(self._task, self._settings.workers, len(missing))
        with chosen as workers:
            self._work(workers, deque(missing))

    def _tidy(self) -> None:
        """Remove what dead processes have left unfinished, which a new directory for such files does."""
        self._ledger.storage.scratch().close()

    def _into_tables(self) -> None:
        settings, storage = self._settings, self._ledger.storage
        if settings.delta:
            options = {"allow_http": "true"} if settings.store_http else {}
            table_commit.to_delta(table_url(settings.delta), storage, self._plan, self._records, options)
        if settings.iceberg:
            table_commit.to_iceberg(settings.iceberg, storage, self._plan, self._records)

    def _stream(self, fragments: list[Fragment]) -> None:
        from fivefold.batch.engine.ray_data import RayData

        with RayData(self._task, self._settings.workers, len(fragments)) as engine:
            self._working = time.monotonic()
            self._progress.working()
            try:
                for record in engine.work(fragments):
                    self._check_stop()
                    if record is not None:
                        self._count(record)
                    self._progress.show(self._records)
            except RunFailed as error:
                if error.code != "worker_lost":
                    raise
                # Ray Data does not say over what its workers have died: the rest is done, or named, one by one.
                self._progress.event("worker_died", fragment="", engine=self._settings.engine)
                missing = deque(each for each in fragments if each.id not in self._records)
                with engine.actors(len(missing)) as actors:
                    self._work(actors, missing)
            self._ended = time.monotonic()

    def _give(self, actors: Workers, waiting: deque[Fragment]) -> None:
        fragment = waiting.popleft()
        # Another start of the same run may have done it meanwhile.
        record = self._ledger.record(fragment)
        if record is not None:
            self._count(record)
            return
        if self._working is None:
            self._working = time.monotonic()
            self._progress.working()
        most = self._breaker.most
        actors.give(fragment, self._losses.attempt(fragment), None if most is None else most - self._bad)

    def _take(
        self, actors: Workers, waiting: deque[Fragment], fragment: Fragment | None, outcome: FragmentOutcome | None
    ) -> None:
        if outcome is None:
            self._replace(actors, waiting, fragment)
        elif outcome.error is not None:
            self._stopped_at = outcome.codes
            if outcome.trace:
                self._progress.event("failed", fragment=fragment.id if fragment else "", exception=outcome.trace)
            raise self._whole(outcome.error)
        elif outcome.record is not None:
            self._count(outcome.record)

    def _whole(self, error: FivefoldError) -> FivefoldError:
        """A worker's error as the run's: one fragment knows neither the run's limit nor what others have refused."""
        most = self._breaker.most
        if error.code != TOO_MANY or most is None:
            return error
        return self._breaker.too_many(most + 1)

    def _replace(self, actors: Workers, waiting: deque[Fragment], fragment: Fragment | None) -> None:
        """A worker has died; over a fragment, or before it had one."""
        times = self._losses.count(fragment)
        self._progress.event("worker_died", fragment=fragment.id if fragment else "", times=times)
        self._losses.come_back(fragment, waiting)
        actors.start(1)

    def _count(self, record: Record) -> None:
        self._records[record.fragment] = record
        self._progress.finished(record, self._records)
        self._breaker.meanwhile(self._bad)

    @property
    def _bad(self) -> int:
        return sum(record.bad for record in self._records.values())

    def _check_stop(self) -> None:
        if self._stop.asked:
            raise Interrupted(
                "cancelled",
                f"stopped with {len(self._records)} of {len(self._plan.fragments)} fragments finished",
                help="run the same command again: it goes on from there",
            )


def _standing_report(ledger: Ledger, plan: Plan) -> dict[str, Any]:
    report = ledger.report(plan)
    if report is None:
        raise RunFailed(
            "run_conflict",
            "the run is published without a report",
            path=f"{ledger.storage.url}/{REPORT}",
            help=f"remove {SUCCESS}, and run the same command again: the report is written anew from what is finished",
        )
    return report
