"""The application for Ray Serve: its arguments, what it reports as load, and what it answers in place of Ray."""

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError
from ray.serve._private.api import call_user_app_builder_with_args_if_necessary

from fivefold.online import host
from fivefold.online.settings import OnlineSettings


def built(**arguments: Any) -> Any:
    """The ingress deployment, built the way a RayService's configuration is."""
    application = call_user_app_builder_with_args_if_necessary(host.build, {"models": ["/bundles/a"]} | arguments)
    return application._bound_deployment


def test_the_builder_gets_its_arguments_typed() -> None:
    """Ray hands over a plain dictionary to a builder whose annotation it cannot read: this one it can."""
    deployment = built(defaults={"a": "2"}, settings={"max_rows": 7})

    models, defaults, settings, _, _ = deployment.init_args
    assert models == ["/bundles/a"]
    assert defaults == {"a": "2"}
    assert settings == OnlineSettings(max_rows=7)


@pytest.mark.parametrize(
    "wrong",
    [{"models": []}, {"typo": 1}, {"settings": {"max_row": 7}}, {"settings": {"max_rows": 0}}, {"models": "a"}],
)
def test_wrong_arguments_are_refused_when_the_application_is_built(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        built(**wrong)


def test_building_opens_no_bundle() -> None:
    """The process that builds need not see the bundles' storage."""
    built(models=["/nowhere/at/all"])


def test_autoscaling_limits_and_drain_are_explicit() -> None:
    """None of Ray's own defaults decides how many requests, how many replicas or how long a drain."""
    settings = {
        "min_replicas": 2,
        "max_replicas": 5,
        "target_ongoing_requests": 4,
        "upscale_delay": 3,
        "downscale_delay": 60,
        "max_inflight": 10,
        "max_queued_requests": 20,
        "drain_seconds": 12,
    }

    deployment = built(settings=settings)
    config = deployment._deployment_config
    scaling = config.autoscaling_config

    assert (scaling.min_replicas, scaling.max_replicas, scaling.target_ongoing_requests) == (2, 5, 4)
    assert (scaling.upscale_delay_s, scaling.downscale_delay_s) == (3, 60)
    assert scaling.look_back_period_s > scaling.metrics_interval_s
    assert config.graceful_shutdown_timeout_s == 12
    assert config.max_queued_requests == 20
    assert config.max_ongoing_requests > 10, "our own limit must be the one that is met"
    assert config.logging_config["enable_access_log"] is False


class Clocks:
    """CPU and wall-clock seconds that a test sets."""

    def __init__(self) -> None:
        self.cpu = self.wall = 0.0

    def load(self, inflight: float, target: float = 16.0) -> host.Load:
        return host.Load(lambda: inflight, target, cpu=lambda: self.cpu, clock=lambda: self.wall)


def test_a_busy_core_counts_as_the_target() -> None:
    """Requests that are answered without waiting are never seen by counting; the time they take is."""
    clocks = Clocks()
    load = clocks.load(inflight=0)
    clocks.cpu, clocks.wall = 4.0, 5.0

    assert load.measure() == pytest.approx(16.0)


def test_load_is_what_happened_since_it_was_last_asked() -> None:
    clocks = Clocks()
    load = clocks.load(inflight=0)
    clocks.cpu, clocks.wall = 4.0, 5.0
    load.measure()
    clocks.wall = 10.0

    assert load.measure() == 0.0


def test_waiting_requests_count_even_if_the_core_is_idle() -> None:
    clocks = Clocks()
    load = clocks.load(inflight=20)
    clocks.wall = 1.0

    assert load.measure() == 20.0


def test_asking_twice_at_once_gives_the_count() -> None:
    assert Clocks().load(inflight=3).measure() == 3.0


class Doorstep:
    """A stand-in for a process's door: remembers what came to it."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.started: list[Any] = []
        self.drained = 0

    async def app(self, scope: dict[str, Any], _receive: Any, _send: Any) -> None:
        self.seen.append(scope["path"])

    def start(self, coroutine: Any) -> None:
        coroutine.close()

    def drain(self) -> None:
        self.drained += 1


def ask(front: host.Front, path: str, kind: str = "http") -> list[dict[str, Any]]:
    """What is sent in answer."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(front({"type": kind, "path": path}, None, send))
    return sent


def test_requests_are_answered_before_rays_wrapper(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray keeps its own routes, and everything that is not plain HTTP."""
    ours, rays = Doorstep(), Doorstep()
    monkeypatch.setattr(host, "_door", ours)
    front = host.Front(rays.app)

    for path in ("/v1/models/a:predict", "/", "/-", "/-/healthz", "/-/routes"):
        ask(front, path)
    ask(front, "/v1/models", kind="websocket")

    assert ours.seen == ["/v1/models/a:predict", "/", "/-"]
    assert rays.seen == ["/-/healthz", "/-/routes", "/v1/models"]


def test_without_a_scorer_requests_go_to_ray_and_ready_is_no(monkeypatch: pytest.MonkeyPatch) -> None:
    """The head's fallback proxy runs the same middleware, and must pass requests on to where scorers live."""
    rays = Doorstep()
    monkeypatch.setattr(host, "_door", None)
    front = host.Front(rays.app)

    start, _ = ask(front, "/readyz")
    ask(front, "/v1/models/a:predict")

    assert start["status"] == 503
    assert (b"retry-after", b"1") in start["headers"]
    assert rays.seen == ["/v1/models/a:predict"]


def test_an_answer_by_rays_own_way_has_one_request_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray puts the id that it knows behind the one that the replica has answered under; a client would get both."""
    given = [(b"content-type", b"application/json"), (b"x-request-id", b"mine"), (b"x-request-id", b"rays")]

    async def ray(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": given})
        await send({"type": "http.response.body", "body": b"{}"})

    monkeypatch.setattr(host, "_door", None)

    start, body = ask(host.Front(ray), "/v1/models/a:predict")

    assert start == {"type": "http.response.start", "status": 200, "headers": given[:2]}
    assert body["body"] == b"{}"


def test_a_drain_is_noticed_once() -> None:
    """Ray says so on its health route, once the replica is up: unhealthy for another reason is no drain."""
    answers = [b"", b"success", b"UNHEALTHY", b"success", b"DRAINING", b"DRAINING"]
    drained = []

    async def ray(scope: dict[str, Any], receive: Any, send: Any) -> None:
        assert scope["path"] == "/-/healthz"
        await receive()
        answer = answers.pop(0)
        assert answer, "the replica is not up yet"
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": answer})

    asyncio.run(host.watch_drain(ray, lambda: drained.append(len(answers)), seconds=0))

    assert drained == [1]
