"""A hub from its first line to its last: the store, the server, forwarding, and the end by a signal.

What is answered is on the disk, so a hub may be killed at any moment; ending it nicely only spares devices a retry.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Final

import uvicorn

from fivefold.core.errors import RunFailed
from fivefold.core.settings import address, dialable, is_loopback
from fivefold.core.telemetry import Telemetry, log_to
from fivefold.edge.hub.batch_commit import BatchCommit
from fivefold.edge.hub.database import HubDatabase
from fivefold.edge.hub.device_routes import DeviceRoutes
from fivefold.edge.hub.forward_loop import EventForwarder, ForwardLoop
from fivefold.edge.hub.hub_app import build_app
from fivefold.edge.hub.hub_limits import HubSettings
from fivefold.edge.hub.hub_metrics import DAY, HubMetrics
from fivefold.edge.hub.operator_routes import OperatorRoutes
from fivefold.edge.hub.prune_loop import PruneLoop
from fivefold.edge.hub.publish_routes import PublishRoutes
from fivefold.edge.hub.release_routes import ReleaseRoutes
from fivefold.edge.hub.request_access import RequestAccess
from fivefold.guard.callers import Guard
from fivefold.local.health_server import HealthServer
from fivefold.local.signals import StopSignals, stopping
from fivefold.serving.dataplane import Dataplane
from fivefold.serving.http.framing import Framed
from fivefold.serving.origins import Origins
from fivefold.serving.repository import Repository

GRACE_SECONDS: Final = 10
CONNECTIONS: Final = 4096
"""Connections that are open at once; devices come back later."""

OpenForwarder = Callable[[str], EventForwarder]
"""The log that events go on to, for a hub of that id."""


def serve_hub(
    database: HubDatabase, settings: HubSettings, forwarder: OpenForwarder | None = None, target: str = ""
) -> int:
    """Answer until a signal; gives the exit status. `target` is the address that `forwarder` writes to.

    Raises `SettingsError`, `RunFailed` where the address cannot be listened at, and what the log raises.
    """
    log_to(sys.stderr)
    with stopping() as stop, listening(settings.http) as listener:
        return asyncio.run(answer_until(stop, database, settings, listener, forwarder, target))


@contextlib.contextmanager
def listening(text: str) -> Iterator[socket.socket]:
    """A socket that is bound to HOST:PORT; raises `RunFailed` where that is not to be had."""
    host, port = address(text, "http")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        made = socket.create_server((host, port), family=family, backlog=1024)
    except OSError as err:
        raise RunFailed("storage_failed", f"cannot listen at {text}: {err.strerror or err}", path="http") from err
    with made:
        made.setblocking(False)
        yield made


async def answer_until(
    stop: StopSignals,
    database: HubDatabase,
    settings: HubSettings,
    listener: socket.socket,
    forwarder: OpenForwarder | None = None,
    target: str = "",
) -> int:
    """Answer on a socket until the end is asked for; see `serve_hub`."""
    host, port = listener.getsockname()[:2]
    limits = settings.limits()
    guard = Guard.of(limits)
    telemetry = Telemetry("hub", log_sample=limits.log_sample)
    origins = Origins(limits, local=False) if limits.cors_origins else None
    plane = Dataplane(Repository([]), limits, telemetry, guard, origins=origins)
    commit = BatchCommit(database)
    forwarding = None
    if forwarder is not None:
        forwarding = ForwardLoop(database, forwarder(database.hub), commit.stored_event)
    pruning = PruneLoop(database, settings.keep_days * DAY) if settings.keep_days else None
    telemetry.registry.register(HubMetrics(database, commit, forwarding))
    access = RequestAccess(database, limits, guard)
    devices = DeviceRoutes(plane, database, commit, access)
    operators = OperatorRoutes(plane, database, access, devices, forwarding, target)
    config = uvicorn.Config(
        build_app(
            plane,
            [
                *devices.routes(),
                *ReleaseRoutes(database, devices).routes(),
                *operators.routes(),
                *PublishRoutes(plane, database, access, devices).routes(),
            ],
        ),
        # One for each server: a connection refuses what is no HTTP in the words of this plane.
        http=type("HubConnectionProtocol", (Framed,), {"dataplane": plane}),
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=GRACE_SECONDS,
        ssl_certfile=settings.certificate or None,
        ssl_keyfile=settings.private_key or None,
    )
    server = _HubServer(config)
    if guard is not None:
        guard.start()
    loop = asyncio.get_running_loop()
    loop.add_reader(stop.fileno, lambda: setattr(server, "should_exit", True))
    try:
        with stop.waking(loop), _metrics_server(settings, plane):
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            while not server.started and not serving.done():
                await asyncio.sleep(0)
            # A signal may have come before the start was over: then the socket is closed already.
            if server.started and not server.should_exit:
                _say(host, port, database, settings, target)
            await serving
    finally:
        loop.remove_reader(stop.fileno)
        plane.drain()
        await asyncio.to_thread(_close, commit, forwarding, pruning, devices, plane, guard)
    return 0


def _metrics_server(settings: HubSettings, plane: Dataplane) -> contextlib.AbstractContextManager[object]:
    """What answers metrics at an address of their own, where the settings name one; raises `RunFailed`."""
    if not settings.metrics:
        return contextlib.nullcontext()
    host, port = address(settings.metrics, "metrics")
    try:
        return HealthServer(host, port, ready=lambda: plane.ready, registry=plane.telemetry.registry)
    except OSError as err:
        raise RunFailed(
            "storage_failed", f"cannot listen at {settings.metrics}: {err.strerror or err}", path="metrics"
        ) from err


def _close(
    commit: BatchCommit,
    forwarding: ForwardLoop | None,
    pruning: PruneLoop | None,
    devices: DeviceRoutes,
    plane: Dataplane,
    guard: Guard | None,
) -> None:
    commit.close()
    for loop in (forwarding, pruning):
        if loop is not None:
            loop.close()
    devices.threads.shutdown(wait=True, cancel_futures=True)
    plane.close()
    if guard is not None:
        guard.close()


def _say(host: str, port: int, database: HubDatabase, settings: HubSettings, target: str) -> None:
    """What a person wants to know at the start."""
    where = dialable(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    scheme = "https" if settings.certificate else "http"
    lines = [f"hub       {scheme}://{where}", f"store     {database.where}"]
    if target:
        lines.append(f"forward   {target}")
    if settings.keep_days:
        lines.append(f"prune     what was forwarded, {settings.keep_days} days after it came")
    who = "operators' keys" if settings.guarded else "this machine alone"
    if settings.metrics:
        lines.append(f"metrics   http://{settings.metrics}/metrics for whoever reaches it")
    lines.append(f"page      {scheme}://{where}/ for {who}")
    if not is_loopback(host) and not settings.certificate:
        lines.append("warning   devices' keys travel unencrypted up to the proxy in front")
    print("\n".join(lines), file=sys.stderr, flush=True)


class _HubServer(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the process around it."""
        yield
