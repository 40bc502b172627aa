"""Starting a Ray of this process's own: on loopback, without what a single machine's run does not need.

Ray resolves a node address of 127.0.0.1 to the machine's own, and starts a dashboard, a monitor and a reader of log
files; the functions that do so are replaced in the process that calls `start`. The processes die with it. Joining a
cluster that is there already is left to the caller.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"

OBJECT_STORE_BYTES = 80 * 1024 * 1024
"""Close to the least that Ray accepts; neither requests nor files pass through the store."""


@contextlib.contextmanager
def environment() -> Iterator[None]:
    """For the length of a `with`, what Ray and its workers are to find in this process's environment; then the
    variables are what they were before, whatever Ray has set meanwhile.

    Ray variables of the user's own do not apply to a Ray of one's own.
    """
    before = {name: value for name, value in os.environ.items() if _is_rays(name)}
    package = str(Path(__file__).parents[2])
    ours = {
        "PYTHONPATH": os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH")))),
        # Ray's ports ask for this; other users of the machine do not have it.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",
    }
    try:
        _set(ours)
        yield
    finally:
        _set(before)


def _is_rays(name: str) -> bool:
    return name.startswith("RAY_") or name == "PYTHONPATH"


def _set(values: dict[str, str]) -> None:
    for name in [name for name in os.environ if _is_rays(name)]:
        del os.environ[name]
    os.environ.update(values)


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
