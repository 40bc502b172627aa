"""A run from its first file to `_SUCCESS`: plan, resume, work, account, publish.

    find the files ─> is it the run that stands here? ─> finished: say so
                                                      ─> begun: go on with what the ledger lacks
                                                      ─> another one: refuse
                                                      ─> none: plan it
    give fragments to workers ─> records ─> breaker ─> every row accounted for ─> run.json, _SUCCESS

The only state is in the output place, so a driver that dies loses nothing but the fragments in work, and two that do
the same share it. What is done to a fragment is `fragment_scorer`'s matter, who does it `actors`'s.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from fivefold.batch.formats.chunk import Check, nothing
from fivefold.batch.output import table_commit
from fivefold.batch.output.ledger import OTHER_OUTPUT, QUARANTINE, REPORT, SUCCESS, Ledger, Record, codes
from fivefold.batch.output.publish import publish, report, totals
from fivefold.batch.output.sinks import Layout
from fivefold.batch.plan import planning as planning
from fivefold.batch.plan.planning import Fragment, Plan
from fivefold.batch.plan.settings import BatchSettings
from fivefold.batch.run.breaker import Breaker
from fivefold.batch.run.losses import Losses
from fivefold.batch.run.progress import Progress
from fivefold.batch.storage import sources as inputs
from fivefold.batch.storage.names import undecodable
from fivefold.batch.storage.storage import place
from fivefold.batch.work.fragment_scorer import TOO_MANY
from fivefold.batch.work.task import Outcome, Task
from fivefold.core import redact
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import FivefoldError, Interrupted, ModelFailed, RunFailed
from fivefold.delivery.fetch import fetch
from fivefold.delivery.reference import Reference
from fivefold.delivery.settings import DeliverySettings
from fivefold.local.signals import Stop, stopping

if TYPE_CHECKING:
    from fivefold.batch.engine.actors import Crew
    from fivefold.batch.engine.inline import Alone

POLL_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be scored, and where to: a bundle's reference, patterns of files, an output directory or URL."""

    model: str
    inputs: tuple[str, ...]
    output: str

    def absolute(self) -> Order:
        """The same order for a process with another working directory."""
        model = str(Reference.parse(self.model).absolute())
        return Order(model, tuple(map(_absolute, self.inputs)), _absolute(self.output))


def _kept(order: Order) -> dict[str, Any]:
    """The order as the plan keeps it, for people to read: a model's address without what may be secret in it."""
    absolute = order.absolute()
    return asdict(absolute) | {"model": redact.text(absolute.model)}


@dataclass(frozen=True, slots=True)
class Result:
    """A finished run: the report that stands, and the rows that this start has scored (0 for one that was finished)."""

    report: dict[str, Any]
    scored_now: int


def prepare(
    order: Order, settings: BatchSettings, delivery: DeliverySettings, check: Check = nothing, *, expected: str = ""
) -> tuple[Ledger, Plan, Bundle]:
    """The plan of a run, kept beside its output; nothing is scored and nothing is started. `expected` is what
    `plan.asked` has to give for it, if anything.

    Raises `RunFailed` `run_conflict` where another run stands in the output place, and what `fetch`, `sources.find` and
    the formats raise for a bundle, patterns and files that are no good.
    """
    for path in (order.model, order.output, *order.inputs):
        undecodable(path)
    bundle = fetch(order.model, delivery, check=check)
    Layout.of(bundle.contract, bundle.name, settings.columns)
    found = inputs.search(order.inputs, digests=settings.digest_inputs, clear=settings.store_http)
    files = found.sources
    ledger = Ledger(place(order.output, clear=settings.store_http))
    table_commit.check(settings.format, ledger.place.url, table_url(settings.delta), settings.iceberg)
    inside = next((source.url for source in files if source.url.startswith(f"{ledger.place.url}/")), None)
    if inside is not None:
        raise RunFailed("run_conflict", "the output would be among the input", path=inside)
    if expected and planning.asked(bundle, files) != expected:
        raise RunFailed(
            "run_conflict",
            "the bundle or the input is not what it was when the run was submitted",
            path=ledger.place.url,
            help="submit it again: it is another run now",
        )
    facts = planning.facts(bundle, settings)
    standing = ledger.plan()
    if standing is None:
        foreign = ledger.foreign()
        if foreign is not None:
            raise RunFailed(
                "run_conflict",
                f"there is no plan, but {foreign}, which a reader would take for the run's",
                path=ledger.place.url,
                help=OTHER_OUTPUT,
            )
        made = replace(
            planning.make(files, facts, planning.needs(bundle, settings), check),
            passed_over=found.passed_over,
            order=_kept(order) | {"settings": asdict(settings)},
        )
        if ledger.keep(made):
            return ledger, made, bundle
        standing = ledger.plan()
        assert standing is not None
    other = planning.difference(standing, files, facts)
    if other is not None:
        raise RunFailed(
            "run_conflict",
            f"another run stands here: {other}",
            path=ledger.place.url,
            help=OTHER_OUTPUT,
        )
    return ledger, standing, bundle


def score(
    order: Order,
    settings: BatchSettings | None = None,
    delivery: DeliverySettings | None = None,
    *,
    out: IO[str],
    metrics: str = "",
    crew: Callable[[Task, int, int], Crew | Alone] | None = None,
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
        work = _Run(order, settings, delivery, ledger, plan, bundle, progress, stop)
        try:
            return work.run(crew)
        except RunFailed as error:
            if error.code == TOO_MANY and work.model_is_to_blame:
                # Rows that the model fails on are good data: the exit status tells who has to look.
                raise ModelFailed("model_failed", error.message, path=error.path, help=error.help) from error
            raise
        finally:
            progress.end()


def _go_on(stop: Stop) -> None:
    """Raise `Interrupted` before anything is scored."""
    if stop.asked:
        raise Interrupted("cancelled", "stopped while the input was looked through")


class _Run:
    """One start of a run."""

    def __init__(
        self,
        order: Order,
        settings: BatchSettings,
        delivery: DeliverySettings,
        ledger: Ledger,
        plan: Plan,
        bundle: Bundle,
        progress: Progress,
        stop: Stop,
    ) -> None:
        self._settings, self._ledger, self._plan = settings, ledger, plan
        self._progress, self._stop = progress, stop
        # A worker has another directory.
        delivery = replace(delivery, trusted_keys=tuple(str(Path(key).resolve()) for key in delivery.trusted_keys))
        model = str(Reference.parse(order.model).absolute())
        self._task = Task(model, bundle.digest, ledger.place.url, settings, delivery)
        self._breaker = Breaker(
            settings.max_bad_fraction,
            settings.max_bad_rows,
            plan.rows,
            settings.allow_torn,
            where=f"{ledger.place.url}/{QUARANTINE}",
        )
        layout = Layout.of(bundle.contract, bundle.name, settings.columns)
        self._fields = (*layout.kept, *layout.outputs)
        self._records: dict[str, Record] = {}
        self._losses = Losses(settings.attempts)
        self._stopped_at: dict[str, int] = {}
        """Rows by code of the fragment in which the limit was exceeded."""
        self._begun = time.monotonic()
        self._working = self._ended = 0.0

    def run(self, crew: Callable[[Task, int, int], Crew | Alone] | None) -> Result:
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
                self._score(missing, crew)
            finally:
                # What ended the run is worth more than what could not be removed.
                with contextlib.suppress(RunFailed):
                    self._tidy()
            working = self._ended - self._working
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
            output=self._ledger.place.url,
        )
        standing = publish(self._ledger, self._plan, self._records, made)
        self._progress.tell(self._records, last=True)
        return Result(standing, sum(self._records[fragment.id].scored for fragment in missing))

    @property
    def model_is_to_blame(self) -> bool:
        """Whether most of the refused rows are ones that the model failed on."""
        refused = Counter(codes(self._records.values())) + Counter(self._stopped_at)
        return 2 * refused["model_failed"] > self._bad + sum(self._stopped_at.values())

    def _work(self, crew: Crew | Alone, waiting: deque[Fragment]) -> None:
        crew.hire(min(crew.size, len(waiting)))
        suspects = self._losses.suspects
        while waiting or suspects or crew.busy:
            self._check_stop()
            if suspects and not waiting and not crew.busy:
                waiting.append(suspects.popleft())
            while waiting and crew.idle:
                self._give(crew, waiting)
            for fragment, outcome in crew.wait(POLL_SECONDS):
                self._take(crew, waiting, fragment, outcome)
            self._progress.tell(self._records)
        self._ended = time.monotonic()

    def _score(self, missing: list[Fragment], crew: Callable[[Task, int, int], Crew | Alone] | None) -> None:
        if self._settings.engine == "ray-data" and crew is None:
            self._stream(missing)
            return
        if crew is None:
            from fivefold.batch.engine.actors import Crew

            crew = Crew
        with crew(self._task, self._settings.workers, len(missing)) as hands:
            self._work(hands, deque(missing))

    def _tidy(self) -> None:
        """Remove what dead processes have left unfinished, which a new directory for such files does."""
        self._ledger.place.scratch().close()

    def _into_tables(self) -> None:
        settings, place = self._settings, self._ledger.place
        if settings.delta:
            options = {"allow_http": "true"} if settings.store_http else {}
            table_commit.to_delta(table_url(settings.delta), place, self._plan, self._records, options)
        if settings.iceberg:
            table_commit.to_iceberg(settings.iceberg, place, self._plan, self._records)

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
                    self._progress.tell(self._records)
            except RunFailed as error:
                if error.code != "worker_lost":
                    raise
                # Ray Data does not say over what its workers have died: the rest is done, or named, one by one.
                self._progress.event("worker_died", fragment="", engine=self._settings.engine)
                missing = deque(each for each in fragments if each.id not in self._records)
                with engine.crew(len(missing)) as crew:
                    self._work(crew, missing)
            self._ended = time.monotonic()

    def _give(self, crew: Crew | Alone, waiting: deque[Fragment]) -> None:
        fragment = waiting.popleft()
        # Another start of the same run may have done it meanwhile.
        record = self._ledger.record(fragment)
        if record is not None:
            self._count(record)
            return
        if not self._working:
            self._working = time.monotonic()
            self._progress.working()
        most = self._breaker.most
        crew.give(fragment, self._losses.attempt(fragment), None if most is None else most - self._bad)

    def _take(
        self, crew: Crew | Alone, waiting: deque[Fragment], fragment: Fragment | None, outcome: Outcome | None
    ) -> None:
        if outcome is None:
            self._replace(crew, waiting, fragment)
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

    def _replace(self, crew: Crew | Alone, waiting: deque[Fragment], fragment: Fragment | None) -> None:
        """A worker has died; over a fragment, or before it had one."""
        times = self._losses.count(fragment)
        self._progress.event("worker_died", fragment=fragment.id if fragment else "", times=times)
        self._losses.come_back(fragment, waiting)
        crew.hire(1)

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


def table_url(delta: str) -> str:
    """A Delta table's directory as an absolute path, a URL as it is."""
    return _absolute(delta.removeprefix("file://")) if delta else ""


def _absolute(path: str) -> str:
    return path if "://" in path else os.path.abspath(path)  # noqa: PTH100  # a pattern is no path yet


def _standing_report(ledger: Ledger, plan: Plan) -> dict[str, Any]:
    report = ledger.report(plan)
    if report is None:
        raise RunFailed(
            "run_conflict",
            "the run is published without a report",
            path=f"{ledger.place.url}/{REPORT}",
            help=f"remove {SUCCESS}, and run the same command again: the report is written anew from what is finished",
        )
    return report
