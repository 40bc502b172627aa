"""The process that holds a local run's Ray: starts it with Serve and the application, and ends them.

    python -m fivefold.online.local.ray_process EVENTS_FD

It is started by `lifecycle`, which prepares the environment, talks to the user and cleans up whatever is left. It loads
Ray at once, waits for one JSON line on standard input (`RayOrder`), reports its progress as JSON lines on the given
descriptor, goes over to other bundles at each further line (`ServedBundles`), and stops when standard input ends: so it
stops, too, when `lifecycle` is killed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import logging
import os
import queue
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

import msgspec

from fivefold.local import processes
from fivefold.local import ray_start as local_ray
from fivefold.online.local import environment
from fivefold.online.ray import loopback
from fivefold.online.ray.served_file import ServedBundles, ServedFile

if TYPE_CHECKING:
    from fivefold.online.ray.arguments import Arguments

SERVE_WORKERS = 3
"""The processes that Serve needs beside the replicas: controller, fallback proxy, HAProxy's manager."""


ALIVE = "alive"
"""The event that tells of a Ray that answers, every `BEAT_SECONDS`."""

REPLACED, KEPT = "replaced", "kept"
"""The events at the end of a replacement: all replicas have gone over; they serve what they did before, and why."""

BEAT_SECONDS = 2.0

PASS_ON_SECONDS = 1.0
"""How long HAProxy may take to pass on an answer that a replica has given, once a run ends."""


@dataclasses.dataclass(frozen=True)
class RayOrder:
    """What to start: `build`'s arguments, Ray's directory and the ports of the two endpoints."""

    arguments: dict[str, Any]
    directory: str
    http_port: int
    grpc_port: int
    drain_seconds: float
    parent: int
    """The process that gave the order."""

    def to_json(self) -> str:
        """One line."""
        return json.dumps(dataclasses.asdict(self))


def main(argv: list[str]) -> None:
    """Run until standard input ends; the exit status is 0, or 1 for a start that failed."""
    processes.adopt_orphans()
    environment.raise_descriptors()
    with os.fdopen(int(argv[0]), "w", buffering=1) as events:
        import ray  # noqa: F401  # loaded while `lifecycle` checks the bundles

        line = sys.stdin.readline()
        if not line:
            return
        order = RayOrder(**json.loads(line))
        stopping, ready = threading.Event(), threading.Event()
        lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=_wait_for_end, args=(order, stopping, ready, lines), daemon=True).start()
        status = 0
        try:
            _start(order, events)
            ready.set()
            _emit(events, "ready")
            threading.Thread(target=_beat, args=(events, stopping), daemon=True).start()
            while (line := lines.get()) is not None:
                _replace(order, line, events)
            _drain(order)
        except Exception as error:
            _emit(events, "failed", error=_reason(error))
            status = 1
    _end(order, status)


def _reason(error: Exception) -> str:
    """What went wrong, with the last line of what Serve says of the replicas that did not start."""
    reason = str(error).strip()
    with contextlib.suppress(Exception):  # there may be no Serve to ask
        from ray import serve

        from fivefold.online.ray import deployment

        found = serve.status().applications[deployment.NAME].deployments[deployment.DEPLOYMENT]
        lines = [line.strip() for line in found.message.splitlines() if line.strip()]
        if lines:
            reason += f"\n{lines[-1]}"
    return reason


def _wait_for_end(
    order: RayOrder, stopping: threading.Event, ready: threading.Event, lines: queue.SimpleQueue[str | None]
) -> None:
    while line := sys.stdin.readline():
        lines.put(line)
    stopping.set()
    lines.put(None)
    if not ready.is_set():
        # Ray's start cannot be interrupted, and nobody is being answered yet.
        _end(order, 0)


def _replace(order: RayOrder, line: str, events: IO[str]) -> None:
    """Have all replicas go over to other bundles in place; where one of them cannot, have all of them go back."""
    wanted = msgspec.json.decode(line, type=ServedBundles)
    file = ServedFile(order.arguments["served_file"])
    before = file.read()
    turn = before.turn + 1
    try:
        error = _go_over(order, msgspec.structs.replace(wanted, turn=turn))
    except Exception as failed:
        error = _reason(failed)
    if not error:
        _emit(events, REPLACED)
        return
    try:
        back = _go_over(order, msgspec.structs.replace(before, turn=turn + 1))
    except Exception as failed:
        back = _reason(failed)
    _emit(events, KEPT, error=f"{error}; and going back failed: {back}" if back else error)


def _go_over(order: RayOrder, served: ServedBundles) -> str:
    """Serve those bundles; what the first replica that could not says, or nothing."""
    from ray import serve

    from fivefold.online.ray import deployment
    from fivefold.online.ray.arguments import Arguments

    file = ServedFile(order.arguments["served_file"])
    file.write(served)
    arguments = Arguments.model_validate(order.arguments | {"turn": served.turn})
    # Returns when Serve has told all replicas.
    serve.run(deployment.build(arguments), name=deployment.NAME, route_prefix="/")
    return next((report.error for report in file.reports() if report.turn == served.turn and report.error), "")


def _beat(events: IO[str], stopping: threading.Event) -> None:
    """Say again and again that Ray answers, as long as it does: its servers may hang without ending."""
    import ray

    while not stopping.wait(BEAT_SECONDS):
        with contextlib.suppress(Exception):  # told by saying nothing
            if any(node["Alive"] for node in ray.nodes()):  # type: ignore[no-untyped-call]  # Ray's
                _emit(events, ALIVE)


def _end(order: RayOrder, status: int) -> NoReturn:
    """Leave without Ray's own farewell: nothing it would keep is wanted, and it takes seconds to say it."""
    processes.sweep()
    if os.getppid() != order.parent:
        # Killed, so it cannot clean up itself.
        shutil.rmtree(Path(order.directory).parent, ignore_errors=True)
    os._exit(status)


def _start(order: RayOrder, events: IO[str]) -> None:
    from fivefold.online.ray.arguments import Arguments

    arguments = Arguments.model_validate(order.arguments)
    # Serve is more than a second of imports, and Ray's start mostly waits.
    loading = threading.Thread(target=importlib.import_module, args=("ray.serve",), daemon=True)
    loading.start()
    _start_ray(order, arguments)
    loading.join()
    _emit(events, "ray")
    _start_serve(order, arguments, events)


def _start_serve(order: RayOrder, arguments: Arguments, events: IO[str]) -> None:
    from ray import serve
    from ray.serve._private import client
    from ray.serve.config import HTTPOptions, ProxyLocation, gRPCOptions

    from fivefold.online.ray import deployment

    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    # Serve asks once a second whether the application runs.
    client.CLIENT_POLLING_INTERVAL_S = 0.1  # type: ignore[attr-defined]  # not exported by name
    options: dict[str, Any] = {
        "http_options": HTTPOptions(host=loopback.HOST, port=order.http_port),
        "grpc_options": gRPCOptions(
            port=order.grpc_port, grpc_servicer_functions=[deployment.GRPC_SERVICES], enable_reflection=True
        ),
        "proxy_location": ProxyLocation.HeadOnly,
        "logging_config": {"enable_access_log": False, "log_level": "WARNING"},
    }
    failures: list[Exception] = []

    def start_serve() -> None:
        try:
            serve.start(**options)
        except Exception as error:  # told by the thread that waits
            failures.append(error)

    # Serve's start waits for its proxies; the replicas need not wait for those.
    starting = threading.Thread(target=start_serve, daemon=True)
    starting.start()
    while not _controller_is_up() and not failures:
        time.sleep(0.05)
    if not failures:
        _emit(events, "serve")
        serve.run(deployment.build(arguments), name=deployment.NAME, route_prefix="/")
    starting.join()
    if failures:
        raise failures[0]


def _start_ray(order: RayOrder, arguments: Arguments) -> None:
    # What Ray starts in advance is a Python process for each of these.
    local_ray.start(SERVE_WORKERS + arguments.settings.min_replicas, order.directory)


def _controller_is_up() -> bool:
    from ray.serve.context import _get_global_client

    return _get_global_client(raise_if_no_controller_running=False) is not None


def _drain(order: RayOrder) -> None:
    """Let HAProxy and the replicas finish what they have begun, at most `drain_seconds`, and begin nothing new.

    Serve's own shutdown kills HAProxy first, and with it every answer that is still on its way.
    """
    import ray
    from ray.serve._private.common import ReplicaID
    from ray.serve._private.constants import SERVE_NAMESPACE

    deadline = time.monotonic() + order.drain_seconds
    proxies = [pid for pid in processes.descendants() if _is_haproxy(pid, order.directory)]
    for pid in proxies:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGUSR1)  # close the listeners, finish, exit
    # What was accepted a moment ago still has to reach its replica.
    time.sleep(0.05)
    replicas = [
        ray.get_actor(actor["name"], namespace=SERVE_NAMESPACE)
        for actor in ray.util.list_named_actors(all_namespaces=True)
        if ReplicaID.is_full_id_str(actor["name"])
    ]
    finishing: list[Any] = [replica.perform_graceful_shutdown.remote() for replica in replicas]
    ray.wait(finishing, num_returns=len(finishing), timeout=max(0.0, deadline - time.monotonic()))
    # Every answer has left its replica. HAProxy passes on the last of them and would then wait for idle clients to go.
    deadline = min(deadline, time.monotonic() + PASS_ON_SECONDS)
    while time.monotonic() < deadline and any(_is_haproxy(pid, order.directory) for pid in proxies):
        time.sleep(0.02)


def _is_haproxy(pid: int, directory: str) -> bool:
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    # … -db -f CONFIG, which lies in the run's directory.
    return any(part.startswith(os.fsencode(Path(directory).parent)) for part in arguments[1:4])


def _emit(events: IO[str], event: str, **rest: str) -> None:
    # Nobody reads any more once `lifecycle` is dead.
    with contextlib.suppress(OSError):
        events.write(json.dumps({"event": event, **rest}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
