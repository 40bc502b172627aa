"""Which workers a run takes: those that were asked for, or those that finish it first.

A job of a cluster works on the cluster. On a machine alone one process begins within a second, and Ray takes seconds to
start: it is started where it is known, or turns out, to save more than that.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from fivefold.batch.engine.cost import Cost, ray_pays
from fivefold.batch.engine.ray_cluster import ADDRESS
from fivefold.batch.engine.workers import Workers
from fivefold.batch.plan.planning import Fragment, Plan
from fivefold.batch.work.task import RunTask
from fivefold.local import processes


def workers_of(task: RunTask, plan: Plan, missing: Sequence[Fragment]) -> Workers:
    """Workers for the fragments of a plan that are missing."""
    settings = task.settings
    most = min(settings.workers or processes.cores(), len(missing))
    cost = Cost(plan.fragments)
    engine = settings.engine
    if engine == "auto" and (os.environ.get(ADDRESS) or ray_pays(cost.of(missing), most)):
        engine = "ray"
    if engine == "ray":
        from fivefold.batch.engine.actors import Actors

        return Actors(task, settings.workers, len(missing))
    if engine == "local" or most == 1:
        from fivefold.batch.engine.local_process import LocalProcess

        return LocalProcess(task)
    from fivefold.batch.engine.local_first import LocalFirst

    return LocalFirst(task, most, cost, missing)
