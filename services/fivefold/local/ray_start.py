"""Starting a Ray of this process's own: on loopback, without what a single machine's run does not need.

Ray resolves a node address of 127.0.0.1 to the machine's own, and starts a dashboard, a monitor and a reader of log
files; the functions that do so are replaced in the process that calls `start`. The processes die with it. What they
find in their environment, and joining a cluster that is there already, is left to the caller.
"""

from __future__ import annotations

import logging
from typing import Any

HOST = "127.0.0.1"

OBJECT_STORE_BYTES = 80 * 1024 * 1024
"""Close to the least that Ray accepts; neither requests nor files pass through the store."""


def start(cpus: int, directory: str) -> None:
    """Start Ray with so many CPUs; its files and sockets lie in `directory`, whose path has to be short."""
    import ray
    from ray._private import node, services, utils

    services.resolve_ip_for_localhost = _as_given
    # A single machine's run has no dashboard, no autoscaling of machines, and its log files are read by nobody.
    for part in ("start_api_server", "start_monitor", "start_log_monitor"):
        setattr(node.Node, part, _leave_out)
    # Without what the dashboard needs, Ray starts its agents in their smallest form.
    utils.get_dashboard_dependency_error = _dashboard_is_left_out
    ray.init(
        address="local",
        num_cpus=cpus,
        num_gpus=0,
        object_store_memory=OBJECT_STORE_BYTES,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _node_ip_address=HOST,
        _temp_dir=directory,
    )


def _as_given(host: str) -> str:
    return host


def _leave_out(*_: Any, **__: Any) -> None:
    return None


def _dashboard_is_left_out() -> ImportError:
    return ImportError("a local run has no dashboard")
