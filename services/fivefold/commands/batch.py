"""`fivefold batch`: run, submit, status, verify, resume, backfill and diff."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from fivefold.commands import batch_day
from fivefold.commands import score as scoring
from fivefold.commands.words import USAGE, add, add_group, add_json, complain, print_json

if TYPE_CHECKING:
    from fivefold.batch.plan.settings import BatchSettings

DAMAGED = 3
"""Exit status of an output that is not what its ledger says."""


def _allow_http() -> bool:
    from fivefold.batch.plan.settings import BatchSettings
    from fivefold.core.settings import read

    return read(BatchSettings).store_http


def _submit(arguments: argparse.Namespace) -> int | None:
    from fivefold.batch.run import submit

    wrong = batch_day.misplaced(arguments)
    missing = [f"--{name}" for name in ("model", "input", "output") if not getattr(arguments, name)]
    if wrong is None and arguments.date is None and missing:
        wrong = f"the following arguments are required: {', '.join(missing)}, or --date"
    if wrong is not None:
        complain(wrong, "fivefold batch submit --help")
        return USAGE
    if arguments.date is not None:
        return batch_day.submit(arguments)
    what = scoring.asked(arguments)
    if what is None:
        return USAGE
    order, settings, delivery = what
    name, asked = submit.named(order, settings, delivery)
    metadata = {"run": name, "output": order.output}
    job = submit.submit(name, ("batch", "job", asked.to_json()), address=arguments.address, metadata=metadata)
    if arguments.json:
        print_json({"submission_id": job.id, "submitted": job.fresh, "status": job.state})
    else:
        print(job.id if job.fresh else f"{job.id} is there already: {job.state.lower()}")
    return None


def _job(arguments: argparse.Namespace) -> None:
    from fivefold.batch.run.execute import score
    from fivefold.batch.run.job import Job
    from fivefold.core.settings import read
    from fivefold.delivery.settings import DeliverySettings

    job = Job.from_json(arguments.job)
    delivery = read(DeliverySettings)
    out = sys.stderr
    result = score(job.order, job.settings, delivery, out=out, metrics=arguments.metrics or "", expected=job.expected)
    scoring.print_result(result, arguments.json)


def _status(arguments: argparse.Namespace) -> None:
    from dataclasses import asdict

    from fivefold.batch.tools.status import status

    found = status(arguments.output, allow_http=_allow_http())
    if arguments.json:
        print_json({**asdict(found), "report": None if found.report is None else {"file": "run.json"}})
        return
    print(f"{found.state}: run {found.run_id[:16]}, {found.fragments:,} of {found.of:,} fragments")
    total = f" of {found.rows_total:,}" if found.rows_total is not None else ""
    print(f"rows      {found.rows:,}{total}, {found.scored:,} scored, {found.quarantined:,} quarantined")
    if found.codes:
        print("refused   " + ", ".join(f"{code} {count:,}" for code, count in sorted(found.codes.items())))


def _verify(arguments: argparse.Namespace) -> int:
    from dataclasses import asdict

    from fivefold.batch.output.verify import verify

    found = verify(arguments.output, allow_http=_allow_http())
    if arguments.json:
        print_json({**asdict(found), "ok": found.ok})
    else:
        for problem in found.problems:
            print(f"{problem.problem:<12}{problem.file}: {problem.message}")
        word = "verified" if found.ok else "not what it should be"
        print(f"{word}: run {found.run_id[:16]}, {found.files:,} files, {len(found.problems):,} problems")
    return 0 if found.ok else DAMAGED


def _resume(arguments: argparse.Namespace) -> None:
    from fivefold.batch.run.execute import score
    from fivefold.batch.run.preparation import RunOrder
    from fivefold.batch.tools.status import status
    from fivefold.core.errors import RunFailed
    from fivefold.core.settings import read
    from fivefold.delivery.settings import DeliverySettings

    found = status(arguments.output, allow_http=_allow_http())
    try:
        order = RunOrder(found.order["model"], tuple(found.order["inputs"]), found.order["output"])
        settings = _as_kept(found.order["settings"], arguments)
    except (KeyError, TypeError, ValueError) as err:
        raise RunFailed(
            "run_conflict",
            f"the plan does not say what was asked for: {err!r}",
            path=arguments.output,
            help="run the same fivefold score command again instead",
        ) from err
    result = score(order, settings, read(DeliverySettings), out=sys.stderr, metrics=arguments.metrics or "")
    scoring.print_result(result, arguments.json)


def _as_kept(kept: dict[str, Any], arguments: argparse.Namespace) -> BatchSettings:
    from dataclasses import asdict, fields

    import msgspec

    from fivefold.batch.plan.settings import BatchSettings

    given = {name: getattr(arguments, name) for name in ("max_bad_fraction", "max_bad_rows", "allow_torn", "workers")}
    changed = {name: value for name, value in given.items() if value is not None}
    # What another version of fivefold has kept beside this is not asked for; that it is another one, the plan will say.
    known = {field.name: kept[field.name] for field in fields(BatchSettings) if field.name in kept}
    settings = msgspec.convert(known, BatchSettings)
    return BatchSettings(**{**asdict(settings), **changed})


def _backfill(arguments: argparse.Namespace) -> int:
    from fivefold.batch.run.job import Job
    from fivefold.batch.tools import backfill
    from fivefold.delivery.fetch import fetch
    from fivefold.local.signals import stopping

    what = scoring.asked(arguments)
    if what is None:
        return USAGE
    order, settings, delivery = what
    mark = f"{{{arguments.partition}}}"
    try:
        names = backfill.days(arguments.first, arguments.last)
    except ValueError as err:
        complain(f"--from, --to: {err}", "days are written 2026-01-31")
        return USAGE
    if mark not in order.output or not any(mark in pattern for pattern in order.inputs):
        complain(f"--input and --output have no {mark}", f"for example --output 'scores/{arguments.partition}={mark}'")
        return USAGE
    print(backfill.HEAD)
    with stopping() as stop:
        work = backfill.Backfill(
            names,
            ("batch", "job", Job(order, settings).to_json()),
            order.output,
            partition=arguments.partition,
            max_parallel=arguments.max_parallel,
            only_missing=arguments.only_missing,
            allow_http=settings.store_http,
            log=sys.stderr,
            stopped=lambda: stop.asked,
            inputs=order.inputs,
            bundle=fetch(order.model, delivery).digest,
        )
        work.run()
    for day in work.days.values():
        print(backfill.row(day))
    if stop.asked:
        complain("stopped", "run the same command again: it goes on from there")
        return 130
    missing = [day.name for day in work.days.values() if day.state == backfill.NO_INPUT]
    if missing and (arguments.fail_on_missing or len(missing) == len(work.days)):
        complain(
            f"no file matches for {len(missing):,} of {len(work.days):,} days, the first is {missing[0]}",
            f"look at --input {' '.join(order.inputs)}; the partition is written {mark}",
        )
    return work.status(fail_on_missing=arguments.fail_on_missing)


def _diff(arguments: argparse.Namespace) -> int:
    from dataclasses import asdict

    from fivefold.batch.tools.comparison import compare
    from fivefold.core.outcome import showable

    found = compare(arguments.first, arguments.second, allow_http=_allow_http())
    if arguments.json:
        print_json({**showable(asdict(found)), "same": found.same})
        return 0 if found.same else 1
    only = f", {found.only_first:,} only in the first, {found.only_second:,} only in the second"
    print(f"rows      {found.both:,} in both{only if found.only_first or found.only_second else ''}")
    print(f"differ    {found.differing:,}")
    for name, column in found.columns.items():
        print(f"column    {name}: {column.rows:,} rows, at most by {column.largest:g}")
    if found.only_columns:
        print(f"columns   in only one: {', '.join(found.only_columns)}")
    if found.first:
        one, other = found.first["values"]
        place = f"{found.first['file']} row {found.first['row']}, {found.first['column']}"
        print(f"first     {place}: {one!r}, {other!r}")
    return 0 if found.same else 1


def add_batch(commands: Any) -> None:
    group = add_group(
        commands,
        "batch",
        "run, submit, watch and compare runs over files",
        "fivefold batch status scores",
        "fivefold batch resume scores",
    )
    run = add(group, "run", scoring.score, "the same as fivefold score", *scoring.EXAMPLES[:1])
    scoring.add_what(run)
    scoring.add_how(run)
    submit = add(
        group,
        "submit",
        _submit,
        "run it as a job of a Ray cluster, or a day by a CronJob of the Helm chart; the same run is one job, however "
        "often it is submitted",
        "fivefold batch submit --address http://127.0.0.1:8265 --model s3://models/demo.tar#sha256=DIGEST "
        "--input 's3://data/*.parquet' --output s3://scores/today",
        "fivefold batch submit --date 2026-11-01 --namespace scores --wait",
        "fivefold batch submit --date 2026-11-01T05 --job admissions      an hour, of one of several jobs",
    )
    scoring.add_what(submit, required=False)
    submit.add_argument("--address", metavar="URL", help="the cluster's dashboard; or RAY_API_SERVER_ADDRESS")
    batch_day.add_day(submit)
    add_json(submit)
    job = add(
        group,
        "job",
        _job,
        "run what submit and backfill tell as data: an order and every setting, as one JSON object",
        """fivefold batch job '{"format":1,"order":{"model":"bundles/demo","inputs":["data"],"output":"scores"}}'""",
    )
    job.add_argument("job", metavar="JSON", help="the run; a member that this version does not know is refused")
    scoring.add_how(job)
    status = add(group, "status", _status, "how far a run is", "fivefold batch status scores --json")
    status.add_argument("output", metavar="OUTPUT", help="the run's output directory or URL")
    add_json(status)
    verify = add(
        group,
        "verify",
        _verify,
        "read every file of a run and compare it with the ledger; exit 3 where one is not what it should be",
        "fivefold batch verify scores",
        "fivefold batch verify s3://scores/today --json",
    )
    verify.add_argument("output", metavar="OUTPUT", help="the run's output directory or URL")
    add_json(verify)
    resume = add(
        group,
        "resume",
        _resume,
        "go on with a run as it was asked for at first",
        "fivefold batch resume scores",
        "fivefold batch resume scores --max-bad-fraction 0.05      more may be quarantined than it said then",
    )
    resume.add_argument("output", metavar="OUTPUT", help="the run's output directory or URL")
    resume.add_argument("--max-bad-fraction", metavar="SHARE", type=float, help="instead of what it was")
    resume.add_argument(
        "--allow-torn", action="store_true", default=None, help="publish also where the input breaks off"
    )
    resume.add_argument("--max-bad-rows", metavar="N", type=int, help="instead of what it was")
    resume.add_argument("--workers", metavar="N", type=int, help="instead of what it was")
    scoring.add_how(resume)
    _add_backfill(group)
    diff = add(
        group,
        "diff",
        _diff,
        "compare two runs over the same files, row by row; exit 1 where they differ",
        "fivefold batch diff scores/old scores/new",
    )
    diff.add_argument("first", metavar="FIRST")
    diff.add_argument("second", metavar="SECOND")
    add_json(diff)


def _add_backfill(group: Any) -> None:
    backfill = add(
        group,
        "backfill",
        _backfill,
        "a run for each day of a range, and a table of what became of them",
        "fivefold batch backfill --from 2026-01-01 --to 2026-01-31 --partition ds --model bundles/demo "
        "--input 'data/ds={ds}/*.parquet' --output 'scores/ds={ds}'",
    )
    scoring.add_what(backfill)
    backfill.add_argument("--from", dest="first", metavar="DAY", required=True, help="the first day, as 2026-01-01")
    backfill.add_argument("--to", dest="last", metavar="DAY", required=True, help="the last day")
    backfill.add_argument(
        "--partition", metavar="NAME", default="ds", help="{NAME} in --input and --output is the day (default ds)"
    )
    backfill.add_argument("--max-parallel", metavar="N", type=int, default=1, help="days at the same time (default 1)")
    backfill.add_argument("--only-missing", action="store_true", help="leave days alone that are published")
    backfill.add_argument(
        "--fail-on-missing", action="store_true", help="exit 3 where one day has no input, not only where all have none"
    )
