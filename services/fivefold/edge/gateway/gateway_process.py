"""One gateway, from its directory to its last answer.

    data directory locked ── models opened, self-tested ── port, broker, hub
    SIGTERM ── not ready, what is in work is answered, broker left, what waits stored, sender ended, outbox closed

What answers is `fivefold.serving`'s; which signals there are is `fivefold.local.signals`'; what a command line means is
the command's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from fivefold.core import atomic, telemetry
from fivefold.core.settings import SettingsError, address
from fivefold.delivery.settings import DeliverySettings
from fivefold.edge.gateway.answer_events import named_digest
from fivefold.edge.gateway.gateway_settings import GatewaySettings, read_secret
from fivefold.edge.gateway.gateway_status import PATH, GatewayCollector, GatewayStatus
from fivefold.edge.gateway.outbox_writer import OutboxWriter
from fivefold.edge.gateway.served_models import ServedModels, check_target
from fivefold.edge.gateway.storing import ASKING, TELLING, StoringScheduler
from fivefold.edge.gateway.update_status import UpdateStatus
from fivefold.edge.outbox import Outbox
from fivefold.edge.sync.lane_protocol import ModelReport
from fivefold.guard import Guard
from fivefold.local.heap import give_back
from fivefold.local.listening import bound_socket
from fivefold.local.signals import StopSignals
from fivefold.serving.dataplane import Dataplane
from fivefold.serving.endpoints import Endpoints
from fivefold.serving.http.app import app
from fivefold.serving.http.dispatch import Dispatch
from fivefold.serving.model_opening import open_models
from fivefold.serving.one_process import answer_until
from fivefold.serving.origins import Origins
from fivefold.serving.repository import Model, Repository
from fivefold.serving.suspects import Suspects

if TYPE_CHECKING:
    from fivefold.edge.sync.sender import Sender

OUTBOX: Final = "outbox.db"
ADDRESS: Final = "gateway.json"
"""In the data directory: where the gateway that works there listens, and in which process."""

Updater = Callable[[ServedModels, threading.Event], None]
"""What keeps the models up to date: the body of a thread, which ends when the event is set."""


class Gateway:
    """The open gateway: its outbox, its models, what answers. `run` serves until it is told to stop; `close` always."""

    def __init__(
        self,
        models: Sequence[str],
        settings: GatewaySettings,
        delivery: DeliverySettings,
        *,
        defaults: Mapping[str, str] | None = None,
        updates: Callable[[], UpdateStatus] | None = None,
    ) -> None:
        """Lock the data directory, take the port, open and self-test the models.

        `updates` says how the models' releases stand; None: all of them are active. Raises `RunFailed` for a directory
        that is in use, `OSError` for a port that is, `SettingsError`, and as `open_models` does.
        """
        self._defaults = dict(defaults or {})
        with contextlib.ExitStack() as undo:
            self.directory = Path(settings.data)
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            key = read_secret(settings.hub_key_file, "hub_key_file") if settings.hub else ""
            self.listener = undo.enter_context(bound(settings.http))
            host, port = self.listener.getsockname()[:2]
            self.http = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            """HOST:PORT that it answers at."""
            self.settings = settings = replace(settings, http=self.http)
            self.outbox = undo.enter_context(
                Outbox(self.directory / OUTBOX, quota_bytes=settings.quota_bytes, policy=settings.when_full)
            )
            self.writer = OutboxWriter(self.outbox)
            undo.callback(self.writer.close)
            opened = open_models(models, delivery, settings.self_test_seconds)
            for model in opened:
                check_target(model.bundle)
            try:
                repository = Repository(opened, defaults=self._defaults)
            except ValueError as error:
                raise SettingsError(str(error)) from None
            self.guard = Guard.of(settings)
            self.telemetry = telemetry.Telemetry("edge", log_sample=settings.log_sample)
            self.dataplane = Dataplane(
                repository,
                settings,
                self.telemetry,
                self.guard,
                Suspects(self.directory / "in-work"),
                Origins.of(settings, local=True, takes=ASKING, shows=TELLING),
                partial(StoringScheduler, self.writer, settings.store_refusals, settings.allow_unstored),
            )
            self.status = GatewayStatus(self.outbox, lambda: self.dataplane.models)
            self.status.updates = updates
            self.telemetry.registry.register(GatewayCollector(self.status))
            self.sender: Sender | None = None
            if settings.hub:
                # Its HTTP client takes 6 MB of a small device's memory.
                from fivefold.edge.sync.sender import Sender

                self.sender = Sender(
                    self.outbox,
                    settings.hub,
                    settings.device,
                    key,
                    bandwidth=settings.hub_bandwidth or None,
                    allow_http=settings.hub_http,
                    ca=settings.hub_ca or None,
                    models=self._active if updates is None else lambda: updates().models,
                    log=lambda text: telemetry.log(logging.WARNING, {"event": "sync", "error": text}),
                )
                undo.callback(self.sender.close)
                sender = self.sender
                self.status.sender = lambda: sender.status
            self._undo = undo.pop_all()

    def models(self) -> list[Model]:
        """What is served now."""
        return list(self.dataplane.models)

    def run(
        self, stop: StopSignals, *, ready: Callable[[], None] = lambda: None, updater: Updater | None = None
    ) -> None:
        """Answer until `stop` is asked; `ready` is called when the first request can be answered. A loop of its own."""
        asyncio.run(self._serve(stop, ready, updater))

    async def _serve(self, stop: StopSignals, ready: Callable[[], None], updater: Updater | None) -> None:
        loop = asyncio.get_running_loop()
        endpoints = Endpoints(self.dataplane, self.telemetry, app=self.application(), grpc=False)
        served = ServedModels(endpoints, loop, self._defaults, self.settings.self_test_seconds)
        ended = threading.Event()
        threads = []
        if self.sender is not None:
            threads.append(threading.Thread(target=self.sender.run, args=(ended,), name="fivefold-sync", daemon=True))
        if updater is not None:
            threads.append(threading.Thread(target=updater, args=(served, ended), name="fivefold-updates", daemon=True))
        intake = None
        if self.settings.mqtt:
            from fivefold.edge.gateway.mqtt_intake import MqttIntake

            intake = MqttIntake(self.settings, self.dataplane, self.writer)
            self.status.mqtt = intake.status

        def begin() -> None:
            if intake is not None:
                intake.start()
            for thread in threads:
                thread.start()

        def answers() -> None:
            self._write_address()
            give_back()
            ready()

        async def end() -> None:
            ended.set()
            self.outbox.wake()
            if intake is not None:
                await intake.stop()
            for thread in threads:
                # One that `begin` has not come to has no end either. The loop goes on meanwhile: a model may be in the
                # middle of its swap.
                if thread.ident is not None:
                    await asyncio.to_thread(thread.join, self.settings.drain_seconds)

        await answer_until(stop, endpoints, self.listener, begin=begin, ready=answers, end=end)

    def application(self) -> Dispatch:
        """What answers HTTP."""
        return app(
            self.dataplane,
            self.settings,
            more=lambda interface: [("GET", PATH, interface.endpoint(self.status.answer, scope=None))],
        )

    def close(self) -> None:
        """Store what waits, and let go of the directory."""
        (self.directory / ADDRESS).unlink(missing_ok=True)
        self._undo.close()

    def _write_address(self) -> None:
        text = msgspec.json.encode({"http": self.http, "pid": os.getpid()})
        atomic.replace_file(self.directory / ADDRESS, text + b"\n", mode=0o600)

    def _active(self) -> list[ModelReport]:
        return [
            ModelReport(name=model.name, version=model.version, digest=named_digest(model.bundle), state="active")
            for model in self.dataplane.models
        ]


def bound(text: str) -> socket.socket:
    """A socket bound to HOST:PORT; it does not listen yet. Raises `OSError` where it cannot be had."""
    try:
        return bound_socket(*address(text, "http"))
    except OSError as error:
        raise OSError(error.errno, f"{text} cannot be listened at ({error.strerror or error})") from None
