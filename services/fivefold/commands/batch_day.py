"""`fivefold batch submit --date`: a day once more, by the chart's CronJob."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

from fivefold.commands.words import USAGE, complain, print_json

if TYPE_CHECKING:
    from fivefold.cluster.kubernetes_api import Objects

FAILED, UNREACHABLE, INTERRUPTED = 1, 5, 130

_HELP = "fivefold batch submit --help"
_WHERE = "which cluster is asked, kubectl's configuration says: KUBECONFIG, --context NAME; kubectl config get-contexts"

_OWN = frozenset({"date", "job", "release", "namespace", "context", "again", "wait", "json", "run", "parser"})


def add_day(parser: argparse.ArgumentParser) -> None:
    """The options of a run by the chart's CronJob."""
    day = parser.add_argument_group("by a CronJob of the Helm chart, which says what is scored")
    day.add_argument(
        "--date", metavar="DAY", help="the day whose files are scored, as 2026-01-31; an hour: 2026-01-31T05"
    )
    day.add_argument("--job", metavar="NAME", help="which of batch.jobs, where there are several")
    day.add_argument("--release", metavar="NAME", help="of which release, where several are in the namespace")
    day.add_argument("--namespace", metavar="NAME", help="where the release is (default: kubectl's, or the pod's own)")
    day.add_argument("--context", metavar="NAME", help="of kubectl's configuration (default: the current one)")
    day.add_argument("--again", action="store_true", help="also a day whose run has succeeded")
    day.add_argument("--wait", action="store_true", help="until it has ended; exit 1 where that is a failure")
    parser.set_defaults(parser=parser)


def misplaced(arguments: argparse.Namespace) -> str | None:
    """The first option that says nothing beside or without `--date`, None where all of them do."""
    if arguments.date is None:
        given = [name for name in sorted(_OWN - {"date", "json", "run", "parser"}) if getattr(arguments, name)]
        return f"--{given[0]} is for a run with --date" if given else None
    parser: argparse.ArgumentParser = arguments.parser
    others = (name for name, value in vars(arguments).items() if name not in _OWN and value != parser.get_default(name))
    name = next(others, None)
    return f"--{name.replace('_', '-')} is what the CronJob says: leave it out beside --date" if name else None


def submit(arguments: argparse.Namespace) -> int:
    """Make the Job, or say which one is there, and watch it where that is asked for."""
    from fivefold.cluster import rerun
    from fivefold.cluster.kubernetes_api import ApiError
    from fivefold.cluster.period import Period

    if not Period.is_one(arguments.date):
        complain(f"--date: expected a day, 2026-01-31, or an hour, 2026-01-31T05, got {arguments.date!r}", _HELP)
        return USAGE
    try:
        api = _api(arguments)
        cron = rerun.cron_job(api, job=arguments.job or "", release=arguments.release or "")
        try:
            period = rerun.wanted(cron, arguments.date)
        except ValueError as error:
            complain(f"--date: {error}", "the day has to be over where the schedule's time zone says so")
            return USAGE
        made = rerun.submit(api, cron, period, again=arguments.again)
        if not arguments.json:
            print(_sentence(made), flush=True)
        status = _wait(api, made) if arguments.wait else 0
    except ApiError as error:
        rights = "whoever asks has to list CronJobs, RayJobs and Jobs, and to read and make Jobs"
        complain(str(error), rights if error.status in (401, 403) else _WHERE)
        return UNREACHABLE
    if arguments.json:
        state = made.state if not arguments.wait else "failed" if status else "done"
        print_json({"job": made.name, "date": made.period, "submitted": made.fresh, "state": state})
    return status


def _api(arguments: argparse.Namespace) -> Objects:
    """As the pod's own account in a cluster, otherwise by kubectl."""
    from dataclasses import replace

    from fivefold.cluster.kubectl import Kubectl
    from fivefold.cluster.kubernetes_api import ACCOUNT, Api

    if os.environ.get("KUBERNETES_SERVICE_HOST") and (ACCOUNT / "token").exists() and not arguments.context:
        found = Api.of_pod()
        return replace(found, namespace=arguments.namespace) if arguments.namespace else found
    return Kubectl.of(arguments.namespace or "", arguments.context or "")


def _sentence(made: Any) -> str:
    if made.fresh:
        return f"{made.name}: made, for {made.period}"
    if made.state == "done":
        return f"{made.name} has scored {made.period} already; --again runs it once more"
    return f"{made.name} is there already, for {made.period}: {made.state}"


def _wait(api: Objects, made: Any) -> int:
    """Say what becomes of it, on standard error beside JSON."""
    import sys

    from fivefold.cluster import rayjob, rerun

    if made.state == "done":
        return 0
    try:
        for sentence in rerun.watch(api, made.name):
            print(sentence, file=sys.stderr, flush=True)
    except rayjob.NotDone as error:
        complain(
            str(error),
            f"kubectl -n {api.namespace} logs job/{made.name} has what it said; the same command again goes on from it",
        )
        return FAILED
    except KeyboardInterrupt:
        complain(f"no longer watched: {made.name} goes on", "the same command again watches on")
        return INTERRUPTED
    return 0
