"""`fivefold serve`: one machine's run of the host, from the check of the ports to the last process.

    fivefold serve ──starts──> engine ──starts──> Ray, Serve, HAProxy, replicas
         │  adopts whatever the engine leaves                     │ HAProxy dies with its manager
         └─ bundles, ports, signals, what the user reads          └ Ray's processes die with the engine

Both this process and the engine adopt their descendants' orphans, so killing either of them, even both, leaves nothing.
The engine loads Ray while the bundles are checked here; nothing is started before bundles and ports are known to be
good. Ray and Serve are `engine`'s, the application is `host`'s, arguments and variables are the command line's.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

from fivefold.core import redact
from fivefold.core.settings import SettingsError, address
from fivefold.delivery import cache
from fivefold.delivery.reference import Reference
from fivefold.delivery.settings import DeliverySettings
from fivefold.local import processes
from fivefold.local.scratch import short
from fivefold.online import banner, claims, handover
from fivefold.online.engine import Order

if TYPE_CHECKING:
    from fivefold.online.models import Model
    from fivefold.online.settings import OnlineSettings

START_SECONDS = 180.0
"""A run that does not answer by then is given up."""

LOG_BYTES = 1024 * 1024
"""The replicas' log lines are read as they come; a file of this size is emptied."""

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class EngineFailed(Exception):
    """Ray, Serve or a replica did not start, or ended by itself; the message says what it said."""


class Stopped(Exception):
    """The user asked for the end before the run answered."""


def serve(
    models: Sequence[str | os.PathLike[str]],
    settings: OnlineSettings,
    *,
    defaults: Mapping[str, str] | None = None,
    delivery: DeliverySettings | None = None,
    out: IO[str] | None = None,
    err: IO[str] | None = None,
) -> int:
    """Serve bundles until SIGINT, SIGTERM or SIGHUP, and give the exit status: 0 for a run that was asked to end.

    `models` are references: paths, or URLs with digests, which `delivery` says how to fetch. 1 is a port that is taken
    or a start that failed. A bundle that must not be served raises `BundleInvalid`, a contract `ContractInvalid`, and
    one that cannot be had what `fivefold.delivery.fetch` raises, all before Ray starts. A second signal stops without
    waiting for what is being answered. Only the main thread may call this: it sets signal handlers, and it kills and
    collects every child of the process.
    """
    out, err = out or sys.stdout, err or sys.stderr
    with _signals() as stop, contextlib.ExitStack() as stack:
        try:
            run = Run(models, settings, delivery or DeliverySettings(), dict(defaults or {}), out, err, stop)
            stack.callback(run.end)
            run.start()
            run.wait()
        except Stopped:
            pass
        except (claims.PortTaken, EngineFailed) as error:
            # What Ray and its workers have said may quote a reference.
            print(f"error: {redact.text(str(error))}", file=err, flush=True)
            return 1
    return 0


class Run:
    """One run: its ports, its directory, its engine. `start`, `wait` and `end` in that order; `end` always."""

    def __init__(
        self,
        models: Sequence[str | os.PathLike[str]],
        settings: OnlineSettings,
        delivery: DeliverySettings,
        defaults: dict[str, str],
        out: IO[str],
        err: IO[str],
        stop: Stop,
    ) -> None:
        """Raises `claims.PortTaken`, and `BundleInvalid` for what is no reference."""
        self._models = [Reference.parse(os.fspath(model)).absolute() for model in models]
        # A replica has other variables and another directory, and must find what was fetched here.
        self._delivery = replace(
            delivery,
            bundle_cache=str(Path(delivery.bundle_cache or cache.default()).resolve()),
            trusted_keys=tuple(str(Path(key).resolve()) for key in delivery.trusted_keys),
        )
        self._defaults, self._out, self._err, self._stop = defaults, out, err, stop
        self._settings = replace(
            settings,
            http=claims.free_address(settings.http, "--http"),
            grpc=claims.free_address(settings.grpc, "--grpc"),
            # The replicas work in another directory.
            keys=str(Path(settings.keys).resolve()) if settings.keys else "",
        )
        if self._settings.http == self._settings.grpc:
            raise claims.PortTaken(f"{self._settings.http} cannot be both --http and --grpc")
        self._begun = time.monotonic()
        self._mark, self._base = claims.port_block({address(self._settings.http)[1], address(self._settings.grpc)[1]})
        self._scratch = short()
        self._directory = self._scratch.path
        self._log_path = self._directory / "requests.log"
        self._log = self._log_path.open("a+", encoding="utf-8", errors="replace")
        self._keeper: handover.Keeper | None = None
        self._engine: subprocess.Popen[bytes] | None = None
        self._events: IO[bytes] | None = None
        self._environment = claims.environment(self._directory, self._base, self._settings)

    def start(self) -> None:
        """Check the bundles, start the engine, and return when the first request can be answered.

        Raises `BundleInvalid`, `ContractInvalid`, `EngineFailed`, `claims.PortTaken`, `Stopped`.
        """
        if claims.direct(self._settings):
            self._keeper = handover.Keeper(claims.listener(self._settings.http), self._directory / "http.sock")
        self._launch()
        self._say("checking", ", ".join(model.name for model in self._models))
        models = self._check()
        self._order()
        self._say("starting", "Ray")
        told = {"ray": "Ray Serve", "serve": "replicas and HAProxy"}
        deadline = time.monotonic() + START_SECONDS
        while (event := self._next_event(deadline))["event"] != "ready":
            if event["event"] == "failed":
                raise EngineFailed(event["error"])
            if event["event"] in told:
                self._say("starting", told[event["event"]])
        self._until_ready(deadline)
        seconds = time.monotonic() - self._begun
        self._out.write(banner.text(models, self._settings, seconds))
        self._out.flush()

    def wait(self) -> None:
        """Pass the replicas' log lines on until a signal comes; raises `EngineFailed` if the engine ends by itself."""
        assert self._engine is not None
        while not self._stop.wait(0.25):
            self._pass_log_on()
            if self._engine.poll() is not None:
                raise EngineFailed(f"the server ended by itself{self._engine_said()}")
        print("\nstopping; once more to stop at once", file=self._out, flush=True)
        assert self._engine.stdin is not None
        self._let_go()
        with contextlib.suppress(OSError):
            self._engine.stdin.close()
        deadline = time.monotonic() + self._settings.drain_seconds + 10
        while self._engine.poll() is None and time.monotonic() < deadline and self._stop.count < 2:
            self._stop.wait(0.05, count=2)
            self._pass_log_on()

    def end(self) -> None:
        """Kill what is left of the run and remove its files."""
        left = processes.sweep()
        self._let_go()
        if not left:
            self._pass_log_on()
        self._log.close()
        if self._events is not None:
            self._events.close()
        self._mark.close()
        self._scratch.close()
        if left:
            print(f"could not end: {', '.join(map(str, left))}", file=self._err, flush=True)

    def _launch(self) -> None:
        processes.adopt_orphans()
        read, write = os.pipe()
        with (self._directory / "engine.log").open("wb") as log:
            self._engine = subprocess.Popen(  # noqa: S603  # our own interpreter and module
                [sys.executable, "-m", "fivefold.online.engine", str(write)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=(write,),
                env=self._environment,
                # Ctrl-C in a terminal reaches the foreground's whole group; only this process is to act on it.
                start_new_session=True,
            )
        os.close(write)
        self._events = os.fdopen(read, "rb", buffering=0)

    def _check(self) -> list[Model]:
        from fivefold.guard import Guard
        from fivefold.online.host import open_models
        from fivefold.online.models import Models

        try:
            Guard.of(self._settings)
        except SettingsError as error:
            raise EngineFailed(str(error)) from None
        models = open_models([str(model) for model in self._models], self._delivery, check=self._check_stop)
        try:
            Models(models, defaults=self._defaults)
        except ValueError as error:
            raise EngineFailed(str(error)) from None
        finally:
            for model in models:
                model.scorer.close()
        self._check_stop()
        return models

    def _check_stop(self) -> None:
        if self._stop.count:
            raise Stopped

    def _let_go(self) -> None:
        """Leave the HTTP port to the replica: it is free as soon as that has stopped."""
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None

    def _order(self) -> None:
        http, grpc = claims.proxy_addresses(self._settings, self._base)
        order = Order(
            arguments={
                "models": [str(model) for model in self._models],
                "defaults": self._defaults,
                "settings": asdict(self._settings),
                "delivery": asdict(self._delivery),
                # Replicas share the machine's cores with everything else on it.
                "num_cpus": 0.0,
                "grpc_listen": self._settings.grpc if claims.direct(self._settings) else "",
                "http_socket": str(self._directory / "http.sock") if claims.direct(self._settings) else "",
                "log": str(self._log_path),
            },
            # Ray opens its directory to every user of the machine; ours around it stays shut.
            directory=str(self._directory / "ray"),
            http_port=address(http)[1],
            grpc_port=address(grpc)[1],
            drain_seconds=self._settings.drain_seconds,
            parent=os.getpid(),
        )
        assert self._engine is not None
        assert self._engine.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._engine.stdin.write(order.to_json().encode() + b"\n")
            self._engine.stdin.flush()

    def _next_event(self, deadline: float) -> dict[str, str]:
        assert self._events is not None
        line = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._events, selectors.EVENT_READ)
            selector.register(self._stop.fileno, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                ready = selector.select(max(0.0, deadline - time.monotonic()))
                self._pass_log_on()
                if self._stop.count:
                    raise Stopped
                if not ready:
                    raise EngineFailed(f"no answer within {START_SECONDS:.0f} seconds{self._engine_said()}")
                if any(key.fileobj is self._events for key, _ in ready):
                    byte = self._events.read(1)
                    if not byte:
                        raise EngineFailed(f"the server could not start{self._engine_said()}")
                    line += byte
        event: dict[str, str] = json.loads(line)
        return event

    def _until_ready(self, deadline: float) -> None:
        host, port = address(self._settings.http)
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # not bound here
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}/readyz"
        ask = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while True:
            with contextlib.suppress(OSError), ask.open(url, timeout=5) as answer:
                if answer.status == 200:
                    return
            if self._stop.wait(0.05):
                raise Stopped
            if time.monotonic() > deadline:
                raise EngineFailed(f"{url} does not say ready{self._engine_said()}")

    def _engine_said(self) -> str:
        said = (self._directory / "engine.log").read_text(encoding="utf-8", errors="replace")[-4000:].strip()
        return f":\n{said}" if said else ""

    def _pass_log_on(self) -> None:
        lines = self._log.read()
        if lines:
            self._err.write(lines)
            self._err.flush()
        if self._log.tell() > LOG_BYTES:
            # The writers append, so they go on at the new end.
            os.truncate(self._log_path, 0)
            self._log.seek(0)

    def _say(self, verb: str, what: str) -> None:
        print(f"{time.monotonic() - self._begun:5.1f} s  {verb} {what}", file=self._out, flush=True)


class Stop:
    """How often the user asked for the end, and a descriptor that wakes whoever waits for that."""

    def __init__(self) -> None:
        self.count = 0
        self.fileno, self._write = os.pipe()
        os.set_blocking(self.fileno, False)
        os.set_blocking(self._write, False)

    def __call__(self, *_: object) -> None:
        """Count one more; a signal handler."""
        self.count += 1
        with contextlib.suppress(BlockingIOError):
            os.write(self._write, b"!")

    def wait(self, seconds: float, count: int = 1) -> bool:
        """Whether the end was asked for `count` times, at the latest after `seconds`."""
        if self.count < count:
            with selectors.DefaultSelector() as selector:
                selector.register(self.fileno, selectors.EVENT_READ)
                if selector.select(seconds):
                    with contextlib.suppress(BlockingIOError):
                        os.read(self.fileno, 64)
        return self.count >= count

    def close(self) -> None:
        """Close both ends."""
        os.close(self.fileno)
        os.close(self._write)


@contextlib.contextmanager
def _signals() -> Iterator[Stop]:
    stop = Stop()
    before = {signum: signal.signal(signum, stop) for signum in STOP_SIGNALS}
    try:
        yield stop
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
        stop.close()
