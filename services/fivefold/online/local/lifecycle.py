"""`fivefold serve`: one machine's run of the host, from the check of the ports to the last process.

    fivefold serve ──starts──> ray    ──starts──> Ray, Serve, HAProxy, replicas
         │ └──starts──> opening: the bundles            │ HAProxy dies with its manager
         │  adopts whatever these leave                 └ Ray's processes die with it
         └─ ports, signals, what the user reads, and a watch on all of it

Both this process and the Ray process adopt their descendants' orphans, so killing either of them, even both, leaves
nothing. The Ray process loads Ray while the bundles are tried in a process of their own (`opening`); nothing is started
before bundles and ports are known to be good. Ray and Serve are `ray_process`'s, what of it may end and come back is
`watch`'s, the application is `deployment`'s, arguments and variables are the command line's.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, NoReturn

from fivefold.core import redact
from fivefold.core.errors import BundleInvalid
from fivefold.core.settings import SettingsError, address
from fivefold.delivery import cache
from fivefold.delivery.reference import Reference
from fivefold.delivery.settings import DeliverySettings
from fivefold.local import processes
from fivefold.local.scratch import short
from fivefold.local.signals import StopSignals, stopping
from fivefold.online.local import banner, environment, opening, ports, ray_stages, watch
from fivefold.online.local.child import Child, Ended
from fivefold.online.local.control_socket import ControlSocket
from fivefold.online.local.in_place import REPLACE_SECONDS, Asked, Asking, InPlace, hand_on, tell
from fivefold.online.local.ray_process import RayOrder
from fivefold.online.local.ray_stages import RayFailed
from fivefold.online.local.readiness import Readiness
from fivefold.online.local.trial import TrialFailed, Tried, try_bundles
from fivefold.serving import handover

if TYPE_CHECKING:
    from fivefold.online.settings import OnlineSettings

READY_SECONDS: Final = 5.0
"""How often a run that answers is asked whether it is ready."""

SILENT_SECONDS: Final = 30.0
"""For how long Ray's servers may be there and say nothing."""

UNREADY_SECONDS: Final = 60.0
"""A run that has not said ready for so long, and for the time that its models need to load, is given up."""

LOG_BYTES = 1024 * 1024
"""The replicas' log lines are read as they come; a file of this size is emptied."""


class Stopped(Exception):
    """The user asked for the end, by a signal, before the run answered."""


def serve(
    models: Sequence[str | os.PathLike[str]],
    settings: OnlineSettings,
    *,
    defaults: Mapping[str, str] | None = None,
    delivery: DeliverySettings | None = None,
    out: IO[str] | None = None,
    err: IO[str] | None = None,
) -> int:
    """Serve bundles until SIGINT or SIGTERM, and give the exit status: 0 for a run that was asked to end.

    SIGHUP opens the bundles again once the run answers; before that, and at its terminal's end, it ends the run.

    `models` are references: paths, or URLs with digests, which `delivery` says how to fetch. The status is 1 for a port
    that is taken, a start that failed, or a part of the run that ended and was not restored, and 128 + the signal's
    number (130, 143, 129) for a run that was asked to end before it answered. A bundle that must not be served raises
    `BundleInvalid`, a contract `ContractInvalid`, and one that cannot be had what `fivefold.delivery.fetch` raises, all
    before Ray starts. A second signal stops without waiting for what is being answered. Only the main thread may call
    this: it sets signal handlers, and it kills and collects every child of the process.
    """
    out, err = out or sys.stdout, err or sys.stderr
    with stopping(under_nohup=False) as stop, contextlib.ExitStack() as stack:
        try:
            run = Run(models, settings, delivery or DeliverySettings(), dict(defaults or {}), out, err, stop)
            stack.callback(run.end)
            run.start()
            run.wait()
        except Stopped:
            return 128 + stop.signum
        except (ports.PortTaken, environment.Lacking, RayFailed) as error:
            # What Ray and its workers have said may quote a reference.
            print(f"error: {redact.text(str(error))}", file=err, flush=True)
            return 1
    return 0


class Run:
    """One run: its ports, its directory, its Ray process. `start`, `wait` and `end` in that order; `end` always."""

    def __init__(
        self,
        models: Sequence[str | os.PathLike[str]],
        settings: OnlineSettings,
        delivery: DeliverySettings,
        defaults: dict[str, str],
        out: IO[str],
        err: IO[str],
        stop: StopSignals,
    ) -> None:
        """Raises `ports.PortTaken`, `environment.Lacking`, and `BundleInvalid` for what is no reference."""
        environment.check_descriptors()
        self._models = [Reference.parse(os.fspath(model)).absolute() for model in models]
        # A replica has other variables and another directory, and must find what was fetched here.
        self._delivery = replace(
            delivery,
            bundle_cache=str(Path(delivery.bundle_cache or cache.default()).resolve()),
            trusted_keys=tuple(str(Path(key).resolve()) for key in delivery.trusted_keys),
        )
        self._defaults, self._out, self._err, self._stop = defaults, out, err, stop
        self._settings = replace(
            ports.free_addresses(settings),
            # The replicas work in another directory.
            keys=str(Path(settings.keys).resolve()) if settings.keys else "",
            record=str(Path(settings.record).absolute()) if settings.record else "",
        )
        self._ready = Readiness(self._settings.http)
        self._begun = time.monotonic()
        self._models_seconds = models_seconds = settings.self_test_seconds * len(self._models)
        self._stage = ""
        self._stages = ray_stages.stages(models_seconds)
        self._unready_seconds = UNREADY_SECONDS + models_seconds
        self._watch = watch.ProcessWatch(watch.parts(models_seconds))
        self._hand_over: handover.HandOver | None = None
        self._ray: Child | None = None
        self._asking = Asking()
        self._in_place: InPlace
        with contextlib.ExitStack() as undo:
            taken = {address(self._settings.http)[1], address(self._settings.grpc)[1]}
            mark, self._base = ports.port_block(taken)
            undo.callback(mark.close)
            scratch = short()
            undo.callback(scratch.close)
            self._directory = scratch.path
            self._log_path = self._directory / "requests.log"
            self._log = undo.enter_context(self._log_path.open("a+", encoding="utf-8", errors="replace"))
            self._environment = environment.variables(self._directory, self._base, self._settings)
            self._claimed = undo.pop_all()

    def start(self) -> None:
        """Check the bundles, start the Ray process, and return when the first request can be answered.

        Raises `BundleInvalid`, `ContractInvalid`, `RayFailed`, `ports.PortTaken`, `Stopped`.
        """
        if ports.direct(self._settings):
            listener = ports.listener(self._settings.http)
            try:
                self._hand_over = handover.HandOver(listener, self._directory / "http.sock")
            except BaseException:
                listener.close()
                raise
        processes.adopt_orphans()
        self._claimed.callback(processes.release_orphans)
        self._ray = self._ray_process()
        self._print("checking", ", ".join(model.name for model in self._models))
        references = [str(model) for model in self._models]
        tried = self._open_bundles(references, self._defaults, {})
        self._in_place = InPlace(self._directory, references, self._defaults, tried)
        self._print("needs", ray_stages.NEEDS)
        for last in (False, True):
            try:
                self._go_through_stages(self._ray)
                break
            except RayFailed as error:
                if self._stage not in ray_stages.AGAIN:
                    raise
                if last:
                    raise RayFailed(ray_stages.explained(str(error), self._directory)) from None
                # What was in the way may have been a moment's load.
                self._print("again,", str(error).partition("\n")[0])
                self._ray = self._ray_anew(self._ray)
        self._until_ready(time.monotonic() + self._stages[ray_stages.LAST])
        control = ControlSocket(self._directory, self._about, self._asking)
        self._claimed.callback(control.close)
        self._stop.on_hangup = self._asking.hang_up
        self._out.write(banner.text(tried.text, self._settings, time.monotonic() - self._begun))
        self._out.flush()

    def _ray_process(self) -> Child:
        return Child("fivefold.online.local.ray_process", self._directory / "ray_process.log", self._environment)

    def _ray_anew(self, failed: Child) -> Child:
        """The process that holds Ray, once more, when nothing of the first one is left."""
        processes.sweep()
        failed.close()
        shutil.rmtree(self._directory / "ray", ignore_errors=True)
        self._watch = watch.ProcessWatch(watch.parts(self._models_seconds))
        return self._ray_process()

    def _go_through_stages(self, ray: Child) -> None:
        ray.order(self._order())
        for stage, seconds in self._stages.items():
            self._print("starting", stage)
            self._stage = stage
            ray_stages.await_stage(ray, stage, seconds, self._stop.fileno, starting=self._starting, turn=self._turn)

    def wait(self) -> None:
        """Pass the replicas' log lines on until a signal comes; raises `RayFailed` if a part of the run ends by
        itself and is not restored, or nothing is answered any more."""
        assert self._ray is not None
        looked = asked = time.monotonic()
        unready = silent = 0.0
        while not self._stop.wait(0.25):
            self._pass_log_on()
            if (wanted := self._asking.next()) is not None:
                self._replace(wanted)
                unready, silent = 0.0, 0.0
            now = time.monotonic()
            if now - looked >= watch.LOOK_SECONDS:
                looked = now
                self._look()
                silent = 0.0 if self._ray_answers() else silent + watch.LOOK_SECONDS
                if silent > SILENT_SECONDS:
                    raise RayFailed(f"Ray has not answered for {SILENT_SECONDS:.0f} s\nhelp: start it again")
            if now - asked >= READY_SECONDS:
                asked = now
                # By what was asked, not by the clock: this process may have been stopped itself.
                unready = 0.0 if self._ready(2) else unready + READY_SECONDS
                if unready > self._unready_seconds:
                    self._fail(f"{self._ready.url} has not said ready for {unready:.0f} s")
        self._stop.on_hangup = None
        self._asking.close()
        print("\nstopping; once more to stop at once", file=self._out, flush=True)
        self._let_go()
        self._ray.dismiss()
        deadline = time.monotonic() + self._settings.drain_seconds + 10
        while self._ray.process.poll() is None and time.monotonic() < deadline and not self._stop.now:
            self._stop.wait(0.05, count=2)
            self._pass_log_on()

    def end(self) -> None:
        """Kill what is left of the run and remove its files."""
        self._stop.on_hangup = None
        self._asking.close()
        left = processes.sweep()
        self._let_go()
        if not left:
            self._pass_log_on()
        if self._ray is not None:
            self._ray.close()
        self._claimed.close()
        if left:
            print(f"could not end: {', '.join(map(str, left))}", file=self._err, flush=True)

    def _replace(self, asked: Asked) -> None:
        """Go over to other bundles, and say so here and to who asked; what is refused changes nothing."""
        seconds = REPLACE_SECONDS + self._unready_seconds

        def turn() -> None:
            self._pass_log_on()
            self._look()

        def handed(line: str) -> dict[str, Any] | None:
            assert self._ray is not None
            return hand_on(self._ray, line, seconds, wake=self._stop.fileno, turn=turn)

        with contextlib.suppress(Stopped):
            self._in_place.replace(asked, self._open_bundles, handed)
            tell(asked, self._out, self._err)

    def _about(self) -> dict[str, Any]:
        return {"http": self._settings.http, "pid": os.getpid()}

    def _open_bundles(self, references: list[str], defaults: dict[str, str], rest: dict[str, Any]) -> Tried:
        """What can be served, once all of the models have been loaded and tested; `rest` is that of the order."""
        from fivefold.guard import Guard

        try:
            Guard.of(self._settings)
        except SettingsError as error:
            raise RayFailed(str(error)) from None
        package = self._environment["PYTHONPATH"]
        try:
            return try_bundles(
                opening.OpeningOrder(
                    references,
                    defaults,
                    asdict(self._settings),
                    asdict(self._delivery),
                    **rest,
                ),
                self._directory / "opening.log",
                # Not the Ray process's variables: what holds for it holds for no model.
                os.environ | {"PYTHONPATH": package, "TMPDIR": str(self._directory)},
                self._settings.self_test_seconds,
                wake=self._stop.fileno,
                turn=self._turn,
            )
        except TrialFailed as error:
            if rest:
                raise BundleInvalid(str(error)) from None
            raise RayFailed(str(error)) from None
        finally:
            if not rest:
                # Whatever a model has started, too. Later, Ray starts processes at any time.
                ray = self._ray.process.pid if self._ray else 0
                processes.sweep(keep={ray, *processes.descendants(ray)})

    def _turn(self) -> None:
        self._pass_log_on()
        if self._stop.asked:
            raise Stopped

    def _starting(self) -> None:
        self._turn()
        self._look(starting=True)

    def _look(self, *, starting: bool = False) -> None:
        assert self._ray is not None
        ended = self._ray.process.poll()
        if ended is not None and ended < 0:
            self._fail(f"the server ended by itself ({signal.Signals(-ended).name})")
        try:
            self._watch.look(starting=starting)
        except watch.Died as died:
            raise RayFailed(f"{died}\nhelp: start it again; where memory ran out, the kernel's log says so") from None
        if ended is not None and not starting:
            self._fail("the server ended by itself")

    def _ray_answers(self) -> bool:
        """Whether the Ray process has said so since this was asked last."""
        assert self._ray is not None
        heard = False
        with contextlib.suppress(Ended):  # the next look at the processes says why
            while self._ray.report(time.monotonic(), self._stop.fileno, self._pass_log_on):
                heard = True
        return heard

    def _fail(self, why: str) -> NoReturn:
        raise RayFailed(f"{why}{self._ray.output() if self._ray else ''}")

    def _let_go(self) -> None:
        """Leave the HTTP port to the replica: it is free as soon as that has stopped."""
        if self._hand_over is not None:
            self._hand_over.close()
            self._hand_over = None

    def _order(self) -> str:
        http, grpc = ports.proxy_addresses(self._settings, self._base)
        order = RayOrder(
            arguments={
                "models": [str(model) for model in self._models],
                "defaults": self._defaults,
                "settings": asdict(self._settings),
                "delivery": asdict(self._delivery),
                # Replicas share the machine's cores with everything else on it.
                "num_cpus": 0.0,
                "http_socket": str(self._directory / "http.sock") if ports.direct(self._settings) else "",
                "log": str(self._log_path),
                "served_file": str(self._in_place.file.path),
            },
            # Ray opens its directory to every user of the machine; ours around it stays shut.
            directory=str(self._directory / "ray"),
            http_port=address(http)[1],
            grpc_port=address(grpc)[1],
            drain_seconds=self._settings.drain_seconds,
            parent=os.getpid(),
        )
        return order.to_json()

    def _until_ready(self, until: float) -> None:
        # By way of HAProxy, as gRPC comes, too.
        http, _ = ports.proxy_addresses(self._settings, self._base)
        proxy = Readiness(http)
        while not (self._ready(5) and proxy(5)):
            if self._stop.wait(0.05):
                raise Stopped
            self._look(starting=True)
            if time.monotonic() > until:
                self._fail(f"{self._ready.url} does not say ready")

    def _pass_log_on(self) -> None:
        lines = self._log.read()
        if lines:
            self._err.write(lines)
            self._err.flush()
        if self._log.tell() > LOG_BYTES:
            # The writers append, so they go on at the new end.
            os.truncate(self._log_path, 0)
            self._log.seek(0)

    def _print(self, verb: str, what: str) -> None:
        print(f"{time.monotonic() - self._begun:5.1f} s  {verb} {what}", file=self._out, flush=True)
