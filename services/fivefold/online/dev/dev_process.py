"""One process that answers REST and gRPC by itself: no Ray, no proxy, and nobody who starts it again.

    ports taken ── models opened, self-tested ── REST, gRPC, page
    SIGHUP, `fivefold replace`, a changed directory ── `model_replacement`: tried elsewhere, opened here, swapped
    SIGTERM ── not ready, what is in work is answered

It is made of what a replica is made of, so answers, errors, limits, keys and metrics are those of any other server.
What answers is `fivefold.serving`'s; what a command line means is the command's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

from fivefold.core import redact, telemetry
from fivefold.core.errors import FivefoldError
from fivefold.core.settings import SettingsError
from fivefold.delivery.reference import Reference
from fivefold.delivery.settings import DeliverySettings
from fivefold.guard import Guard
from fivefold.local.scratch import short
from fivefold.local.signals import STOP_SIGNALS, StopSignals, ended_by_second, stopping
from fivefold.online.dev.bundle_watch import BundleWatch, look
from fivefold.online.dev.model_replacement import ModelReplacement
from fivefold.online.local import banner, environment, ports
from fivefold.online.local.control_socket import ControlSocket, ReplaceOrder, Says, attempt, described
from fivefold.serving.dataplane import Dataplane
from fivefold.serving.endpoints import Endpoints
from fivefold.serving.model_opening import open_models
from fivefold.serving.one_process import answer_until
from fivefold.serving.origins import Origins
from fivefold.serving.recording import check_recording
from fivefold.serving.repository import Repository

if TYPE_CHECKING:
    from fivefold.online.settings import OnlineSettings

NOTE = "one process without Ray, for development: nothing starts it again, and one core answers"
"""What the announcement says of such a server."""


def serve_dev(
    models: Sequence[str | os.PathLike[str]],
    settings: OnlineSettings,
    *,
    defaults: Mapping[str, str] | None = None,
    delivery: DeliverySettings | None = None,
    reload: bool = False,
    out: IO[str] | None = None,
    err: IO[str] | None = None,
) -> int:
    """Serve bundles from this process until SIGINT or SIGTERM, and give the exit status: 0, or 1 for a port that is
    taken.

    `models` are references, as `lifecycle.serve` takes them. With `reload` a bundle's directory or `.tar` that changes
    is opened again. A signal during the start ends the process as it is; the second one after it does, too. Raises what
    opening the bundles raises, and `SettingsError` for settings that several processes would need. Only the main thread
    may call this: it sets signal handlers.
    """
    out, err = out or sys.stdout, err or sys.stderr
    if settings.max_replicas > 1:
        raise SettingsError(f"max_replicas: --dev is one process, got {settings.max_replicas}")
    telemetry.log_to(err)
    begun = time.monotonic()
    try:
        with _ending_at_once():
            server = DevServer(models, settings, delivery or DeliverySettings(), dict(defaults or {}), out, err)
    except (ports.PortTaken, environment.Lacking) as error:
        print(f"error: {redact.text(str(error))}", file=err, flush=True)
        return 1
    try:
        asked_to_end = (signal.SIGINT, signal.SIGTERM)
        with stopping() as stop, ended_by_second(0, "ended at once\n", asked_to_end):
            server.run(stop, begun, reload=reload)
    finally:
        server.close()
    return 0


@contextlib.contextmanager
def _ending_at_once() -> Iterator[None]:
    """The system's own way with signals: a model that is opened may hold the interpreter's lock, and no handler run."""
    before = {signum: signal.getsignal(signum) for signum in STOP_SIGNALS}
    for signum, handler in before.items():
        if handler != signal.SIG_IGN:
            signal.signal(signum, signal.SIG_DFL)
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


class DevServer:
    """The open server: its ports, its models, what answers. `run` serves until it is told to stop; `close` always."""

    def __init__(
        self,
        models: Sequence[str | os.PathLike[str]],
        settings: OnlineSettings,
        delivery: DeliverySettings,
        defaults: dict[str, str],
        out: IO[str],
        err: IO[str],
    ) -> None:
        """Take the ports, open and self-test the models. Raises `ports.PortTaken`, `environment.Lacking`,
        `SettingsError`, and as `open_models` does."""
        self._out, self._err = out, err
        environment.check_descriptors()
        environment.raise_descriptors()
        references = [str(Reference.parse(os.fspath(model)).absolute()) for model in models]
        self._settings = settings = ports.free_addresses(settings)
        with contextlib.ExitStack() as undo:
            self._listener = undo.enter_context(ports.listener(settings.http))
            scratch = short()
            undo.callback(scratch.close)
            # What models put on disk goes with the directory, however the process ends.
            undo.callback(setattr, tempfile, "tempdir", tempfile.tempdir)
            tempfile.tempdir = str(scratch.path)
            # Before they are read: what changes meanwhile is seen.
            self._found = look(references)
            opened = open_models(references, delivery, settings.self_test_seconds)
            try:
                repository = Repository(opened, defaults=defaults)
            except ValueError as error:
                raise SettingsError(str(error)) from None
            check_recording(settings, (model.views for model in repository))
            self._telemetry = telemetry.Telemetry(
                "online", log_sample=settings.log_sample, tracer=telemetry.tracer_if_asked("fivefold-online")
            )
            origins = Origins.of(settings, local=True)
            guard = Guard.of(settings)
            self._dataplane = Dataplane(repository, settings, self._telemetry, guard, origins=origins)
            self._replacement = ModelReplacement(references, defaults, settings, delivery, scratch.path)
            undo.callback(self._replacement.close)
            self._hangups: queue.SimpleQueue[bool] = queue.SimpleQueue()
            self._directory = scratch.path
            self._undo = undo.pop_all()

    def run(self, stop: StopSignals, begun: float, *, reload: bool) -> None:
        """Answer until `stop` is asked; `begun` is when the start began (`time.monotonic`). A loop of its own."""
        asyncio.run(self._serve(stop, begun, reload))

    async def _serve(self, stop: StopSignals, begun: float, reload: bool) -> None:
        endpoints = Endpoints(self._dataplane, self._telemetry)
        self._replacement.begin(endpoints, asyncio.get_running_loop())
        watch = BundleWatch(self._replacement, self._found) if reload else None
        threads = [threading.Thread(target=self._hear_hangups, name="fivefold-hangups", daemon=True)]
        if watch is not None:
            threads.append(threading.Thread(target=watch.run, args=(self._say,), name="fivefold-reload", daemon=True))
        control: ControlSocket | None = None

        def begin() -> None:
            nonlocal control
            control = ControlSocket(self._directory, self._about, self._replaced)
            stop.on_hangup = lambda: self._hangups.put(True)
            for thread in threads:
                thread.start()

        def ready() -> None:
            note = f"{NOTE}; bundles that change are opened again" if reload else NOTE
            requests = banner.requests(list(self._dataplane.models), self._settings)
            self._out.write(banner.text(requests, self._settings, time.monotonic() - begun, note=note))
            self._out.flush()

        async def end() -> None:
            print("\nstopping; once more to stop at once", file=self._out, flush=True)
            stop.on_hangup = None
            self._hangups.put(False)
            self._replacement.end()
            if watch is not None:
                watch.end()
            if control is not None:
                # The loop goes on meanwhile: models may be in the middle of their swap.
                await asyncio.to_thread(control.close)
            for thread in threads:
                if thread.ident is not None:
                    await asyncio.to_thread(thread.join, self._settings.drain_seconds)

        await answer_until(stop, endpoints, self._listener, grpc=self._settings.grpc, begin=begin, ready=ready, end=end)

    def close(self) -> None:
        """Let go of the ports and the directory."""
        self._undo.close()

    def _about(self) -> dict[str, Any]:
        return {"http": self._settings.http, "pid": os.getpid()}

    def _replaced(self, order: ReplaceOrder, says: Says) -> dict[str, Any]:
        try:
            served = attempt(self._replacement, order, says)
        except FivefoldError as error:
            self._say("refused", str(error), error.help)
            raise
        self._say("replaced", described(served["models"]))
        return served

    def _hear_hangups(self) -> None:
        while self._hangups.get():
            with contextlib.suppress(FivefoldError):  # said already
                self._replaced(ReplaceOrder(), lambda text: self._say("", text))

    def _say(self, word: str, text: str, help: str | None = None) -> None:
        """A line for whoever watches the server: on standard output what was done, on standard error what was not."""
        stream = self._err if word == "refused" else self._out
        lines = [f"{word}: {text}" if word else text] + [f"help: {help}"] * bool(help)
        stream.write(redact.text("\n".join(lines)) + "\n")
        stream.flush()
