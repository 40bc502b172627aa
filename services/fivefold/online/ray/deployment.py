"""The Ray Serve application: one deployment that holds the HTTP app, the gRPC services and the scorers.

`fivefold.online.ray.deployment:build` is what a RayService names and what `fivefold serve` deploys. Requests are
answered by `ReplicaMiddleware`, which runs in the replica before Ray's own request wrapper, and by gRPC services that
Ray's server passes through; the wrapper would halve the requests a second. What it did is kept true here:

    limits       `Dataplane` admits `max_inflight` requests, below Ray's limits, and sheds the rest with Retry-After
    autoscaling  `utilisation` reports the replica's load under the name of Ray's own measure: its policy applies
    draining     the server's stop waits for what is being answered; `watch_drain` hears of it from Ray's health route
    metrics      `/metrics` of each replica, and a copy in Ray's own metrics

Which variables every process of the cluster needs is `cluster_variables`'s matter; starting a cluster on one machine is
left to `ray_process`, its life to `lifecycle`; what `build` takes is `arguments`', what a replica answers with
`endpoints`'s. This module must not postpone its annotations: Ray reads `build`'s as a class.
"""

import asyncio
import contextlib
import gc
import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fivefold.core.runtime.devices import DeviceSettings
from fivefold.core.settings import read
from fivefold.delivery.settings import DeliverySettings
from fivefold.online.ray.arguments import Arguments
from fivefold.online.ray.metrics_copy import Copy
from fivefold.online.ray.served_file import TURN, ServedBundles, ServedFile
from fivefold.online.ray.utilisation import Utilisation
from fivefold.online.settings import OnlineSettings
from fivefold.serving.endpoints import Endpoints

if TYPE_CHECKING:
    from ray.serve import Application
    from starlette.middleware import Middleware

    from fivefold.serving.repository import Model

NAME = "fivefold"
"""The name of the application."""

DEPLOYMENT = "Online"

VERSION = "1"
"""Of the deployment of a local run, whose code never changes."""

GRPC_SERVICES = "fivefold.online.ray.deployment.grpc_services"
"""The import path for Ray Serve's `grpc_servicer_functions`."""

DRAIN_POLL_SECONDS = 0.25
EXPORT_SECONDS = 5.0
LOAD_SECONDS = 1.0
HEALTH_SECONDS = 1.0


_endpoints: Endpoints | None = None
"""The process's endpoints. Ray calls `middlewares` and `grpc_services` without telling for whom, hence a module's
variable; it stays None in the head's fallback proxy, where no scorer lives."""


class ReplicaMiddleware:
    """The ASGI middleware that answers in place of Ray's wrapper, Ray's own routes (`/-/…`) excepted."""

    def __init__(self, app: Any) -> None:
        self._ray = app
        if _endpoints is not None:
            _endpoints.background.periodic("drain", partial(watch_drain, app, _endpoints.drain))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request, or hand it to Ray where no scorer lives or the route is Ray's."""
        if _endpoints is not None and scope["type"] == "http" and not scope["path"].startswith("/-/"):
            await _endpoints.app(scope, receive, send)
        elif _endpoints is None and scope["type"] == "http" and scope["path"] == "/readyz":
            await _not_ready(send)
        elif scope["type"] == "http":
            await self._ray(scope, receive, _with_one_request_id(send))
        else:
            await self._ray(scope, receive, send)


def _with_one_request_id(send: Any) -> Any:
    """A `send` for what a replica answers by Ray's own way: Ray adds its `x-request-id` behind the answer's own."""

    async def once(message: Any) -> None:
        if message["type"] == "http.response.start":
            headers = message.get("headers", ())
            ids = [header for header in headers if header[0].lower() == b"x-request-id"]
            message = message | {"headers": [header for header in headers if header not in ids] + ids[:1]}
        await send(message)

    return once


async def _not_ready(send: Any) -> None:
    """The fallback proxy's own answer: what it passes on may be answered, but slowly, and only by a replica."""
    body = b'{"ready": false}'
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), (b"retry-after", b"1")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def watch_drain(ray: Any, drained: Callable[[], None], seconds: float = DRAIN_POLL_SECONDS) -> None:
    """Ask Ray's own health route until it says that the replica drains, then call `drained` once.

    It is the one public sign of a drain inside a replica, and what HAProxy goes by too.
    """
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/-/healthz",
        "raw_path": b"/-/healthz",
        "query_string": b"",
        "root_path": "",
        "headers": [],
        "client": None,
        "server": None,
    }
    answered: list[bytes] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        answered.append(message.get("body", b""))

    while True:
        answered.clear()
        # Ray's app refuses everything until the replica is up, which comes after this began.
        with contextlib.suppress(Exception):
            await ray(scope | {"headers": []}, receive, send)
        if b"DRAINING" in b"".join(answered):
            drained()
            return
        await asyncio.sleep(seconds)


def middlewares() -> "list[Middleware]":
    """What Ray Serve puts in front of its own ASGI app, in replicas and in the head's fallback proxy."""
    from starlette.middleware import Middleware

    from fivefold.online.ray.loopback import listen_on_loopback_if_asked

    listen_on_loopback_if_asked()
    if _endpoints is not None:
        answer_early(_endpoints.app, _endpoints.servicer)
    return [Middleware(ReplicaMiddleware)]


def answer_early(app: Any, servicer: Any) -> None:
    """Let the HTTP server that Ray starts in this process next have our connection class; Ray asks for uvicorn's.

    HAProxy asks unary gRPC calls there too, on connections of their own.
    """
    from uvicorn.protocols.http import auto

    from fivefold.serving.grpc.http1.connection import Methods, taking_over
    from fivefold.serving.http.protocol import protocol_of

    auto.AutoHTTPProtocol = protocol_of(app, taking_over(Methods(app.dataplane, servicer.unary())))


def grpc_services(_: Any, server: Any) -> None:
    """Put the gRPC services on a replica's server, past Ray's wrapper, which knows neither deadlines nor our errors."""
    from fivefold.serving.grpc.servicer import register, register_unready

    if _endpoints is None:
        register_unready(server)
    else:
        register(_endpoints.servicer, server)


class Online:
    """The deployment's class. Its constructor opens and self-tests the bundles, so a replica that is up can answer."""

    def __init__(
        self,
        models: list[str],
        defaults: dict[str, str],
        settings: OnlineSettings,
        delivery: DeliverySettings | None,
        http_socket: str,
        log: str,
        served_file: str = "",
    ) -> None:
        global _endpoints
        from ray import serve

        from fivefold.core import telemetry as vocabulary
        from fivefold.guard import Guard
        from fivefold.online.ray.limit_share import Replicas, listen
        from fivefold.serving.dataplane import Dataplane
        from fivefold.serving.model_opening import open_models
        from fivefold.serving.origins import Origins
        from fivefold.serving.repository import Repository
        from fivefold.serving.suspects import Suspects

        # The file stays open for the replica's life.
        replica = serve.get_replica_context().replica_id.unique_id
        vocabulary.log_to(Path(log).open("a", buffering=1) if log else sys.stderr, replica=replica)  # noqa: SIM115
        telemetry = vocabulary.Telemetry(
            "online", log_sample=settings.log_sample, tracer=vocabulary.tracer_if_asked("fivefold-online")
        )
        self._settings, self._delivery = settings, delivery or read(DeliverySettings)
        self._served = ServedFile(served_file) if served_file else None
        self._turn = 0
        if self._served is not None:
            served = self._served.read()
            models, defaults, self._turn = served.models, served.defaults, served.turn
        opened = open_models(models, self._delivery, settings.self_test_seconds)
        replicas = Replicas(listen, settings.min_replicas)
        guard = Guard.of(settings, replicas)
        # What the replicas of this machine share; another machine's may die of the same request.
        suspects = Suspects(Path(log).parent / "in-work" if log else Path(tempfile.gettempdir()) / "fivefold-in-work")
        origins = Origins.of(settings, local=True)
        repository = Repository(opened, defaults=defaults)
        dataplane = Dataplane(repository, settings, telemetry, guard, suspects, origins)
        dataplane.replica = replica
        self._load = Utilisation(lambda: dataplane.inflight, settings.target_ongoing_requests)
        self._endpoints = _endpoints = Endpoints(dataplane, telemetry)
        _endpoints.background.periodic("metrics", partial(copy_metrics, Copy(telemetry.registry)))
        if guard is not None:
            guard.start()
            if settings.max_replicas > 1:
                _endpoints.background.periodic("replicas", replicas.watch)
        # What has been loaded by now stays. A full collection would walk through all of it again, for 0.2 s (measured
        # with one bundle), in which nobody is answered; so the last one is before the endpoints listen.
        gc.collect()
        gc.freeze()
        if http_socket:
            _endpoints.listen_http(http_socket)
        if self._served is not None:
            self._served.report(self._turn)

    def __serve_build_asgi_app__(self) -> Any:
        """The same app for what reaches the replica by Ray's own way: the head's fallback proxy."""
        return self._endpoints.app

    async def reconfigure(self, user_config: dict[str, int]) -> None:
        """Go over to the turn of the served file that `user_config` names, while requests are answered; those in work
        are finished by the models that began them. Called by Ray at the start too, where it has come already.

        Raises nothing: Ray would take an answering replica away for that. The report says what went wrong.
        """
        if self._served is None or user_config[TURN] <= self._turn:
            return
        served = self._served.read()
        try:
            await self._go_over(served)
        except Exception as error:
            self._served.report(served.turn, str(error) or type(error).__name__)
        else:
            self._served.report(served.turn)
        self._turn = served.turn

    async def _go_over(self, served: ServedBundles) -> None:
        from fivefold.delivery.fetch import fetch
        from fivefold.serving.model_opening import close_beside, open_beside
        from fivefold.serving.repository import Repository

        now = list(self._endpoints.dataplane.models)

        def opened() -> "list[Model]":
            # What is served already needs no reading, and may be gone by now.
            known = {model.bundle.digest: model.bundle for model in now}
            pairs = zip(served.models, served.digests, strict=True)
            bundles = [known.get(digest) or fetch(reference, self._delivery) for reference, digest in pairs]
            if [bundle.digest for bundle in bundles] != served.digests:
                raise ValueError("the bundles have changed since they were tried")
            return open_beside(bundles, now, self._settings.self_test_seconds)

        models = await asyncio.to_thread(opened)
        try:
            await self._endpoints.swap(Repository(models, defaults=served.defaults))
        except BaseException:
            close_beside(models, now)
            raise

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """The load, under the name by which Ray counts requests itself: the default policy then goes by it."""
        from ray.serve._private.common import RUNNING_REQUESTS_KEY

        return {RUNNING_REQUESTS_KEY: self._load.measure()}

    async def __del__(self) -> None:
        """Ray awaits this once, when nothing is ongoing by its own count."""
        endpoints = self.__dict__.get("_endpoints")
        if endpoints is not None:
            await endpoints.close()


async def copy_metrics(copy: Copy, seconds: float = EXPORT_SECONDS) -> None:
    """Keep Ray's metrics, which the cluster scrapes from every node, in step with the process's own."""
    while True:
        copy.update()
        await asyncio.sleep(seconds)


def build(arguments: Arguments) -> "Application":
    """The application for these arguments. Nothing is opened here: only replicas need to see the bundles."""
    from ray import serve
    from ray.serve.config import AutoscalingConfig

    settings = arguments.settings
    autoscaling: dict[str, Any] = {
        "min_replicas": settings.min_replicas,
        "max_replicas": settings.max_replicas,
        "target_ongoing_requests": settings.target_ongoing_requests,
        "upscale_delay_s": settings.upscale_delay,
        "downscale_delay_s": settings.downscale_delay,
        # `Utilisation` is an average already, and the delays are what keeps the number of replicas steady.
        "metrics_interval_s": LOAD_SECONDS,
        "look_back_period_s": 5 * LOAD_SECONDS,
    }
    with warnings.catch_warnings():
        # Ray announces a variable in place of the interval, which it does not read yet.
        warnings.simplefilter("ignore", DeprecationWarning)
        autoscaling_config = AutoscalingConfig(**autoscaling)
    ingress: Any = serve.deployment(serve.ingress()(Online))
    deployment = ingress.options(
        name=DEPLOYMENT,
        # Ray's limits are a backstop for what comes by its own way, so ours is the one that is met.
        max_ongoing_requests=settings.max_inflight * 2,
        max_queued_requests=settings.max_queued_requests,
        graceful_shutdown_timeout_s=settings.drain_seconds,
        graceful_shutdown_wait_loop_s=0.1,
        # A replica goes only when its replacement answers: with one of them anything else would be an outage.
        max_surge_percent=100,
        # A replica that has died is noticed by this.
        health_check_period_s=HEALTH_SECONDS,
        ray_actor_options={
            "num_cpus": arguments.num_cpus,
            "num_gpus": arguments.num_gpus or read(DeviceSettings).gpus,
        },
        logging_config={"enable_access_log": False, "log_level": "WARNING"},
        autoscaling_config=autoscaling_config,
        user_config={TURN: arguments.turn} if arguments.served_file else None,
    )
    if arguments.served_file:
        # Serve takes each deployment by `serve.run` for another version, which it starts other replicas for; one that
        # differs in its `user_config` alone is told of it in place. There is no public name for that.
        deployment._version = VERSION
    application: Application = deployment.bind(
        list(arguments.models),
        dict(arguments.defaults),
        settings,
        arguments.delivery,
        arguments.http_socket,
        arguments.log,
        arguments.served_file,
    )
    return application
