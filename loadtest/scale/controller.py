"""What replicas that ask how many they are take of Ray Serve's controller, with fake replicas that ask as real ones do.

    polled   `serve.status`'s question every five seconds, as replicas asked before
    parked   Ray's long poll while nothing changes, as they ask now
    told     the long poll's answer when the replicas have changed, from Ray's own class in an actor of ours

Polled and parked ask a real controller that has one replica; real ones would lengthen every status. Whoever calls this
has to be a process of its own: Ray leaves threads behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fivefold.local import processes, ray_start, scratch
from fivefold.online.ray.limit_share import NOTHING_HEARD, heard_in
from loadtest.machine.cost import cpu_seconds
from loadtest.machine.measurement import Failed, say
from loadtest.scale.told import deployment_key, targets

REPLICAS: Final = (50, 200, 500)
POLL_SECONDS: Final = 5.0
CHANGES: Final = 5

Asking = Callable[[int], Awaitable[None]]


@dataclass(frozen=True)
class ControllerCost:
    """Of so many replicas: the share of one core that the controller needs for them when they poll and when they are
    parked, beyond what it needs alone; and CPU seconds of one change that all of them are told of."""

    replicas: int
    polled: float
    parked: float
    told: float


def measure(seconds: float, counts: Sequence[int] = REPLICAS) -> list[ControllerCost]:
    """Each count for so many seconds, polled and parked; then told."""
    with _serve() as controller:
        pid = _process("ray::ServeController")
        idle = _share(pid, asyncio.sleep(seconds))
        out = []
        for count in counts:
            polled = _share(pid, _ask(count, seconds, _polling(controller))) - idle
            parked = _share(pid, _ask(count, seconds, _listening(controller))) - idle
            told = _told(count)
            out.append(ControllerCost(count, max(polled, 0.0), max(parked, 0.0), told))
            say(f"{count} replicas: polled {polled:.3f} of a core, parked {parked:.4f}, {told * 1e3:,.0f} ms a change")
    return out


@contextlib.contextmanager
def _serve() -> Iterator[Any]:
    """A Ray of our own with Serve and one replica; its controller."""
    with contextlib.closing(scratch.short()) as directory, ray_start.environment():
        import ray
        from ray import serve
        from ray.serve._private.constants import SERVE_CONTROLLER_NAME, SERVE_NAMESPACE

        ray_start.start(2, str(directory.path))
        try:
            serve.start(proxy_location="Disabled")
            nothing: Any = serve.deployment(_Nothing)
            deployed = nothing.options(name="Online", ray_actor_options={"num_cpus": 0})
            serve.run(deployed.bind(), name="fivefold", route_prefix=None)
            yield ray.get_actor(SERVE_CONTROLLER_NAME, namespace=SERVE_NAMESPACE)
        finally:
            serve.shutdown()
            ray.shutdown()


class _Nothing:
    async def __call__(self) -> None:
        return None


def _share(pid: int, during: Coroutine[Any, Any, None]) -> float:
    """The share of a core that the process takes while something is done."""
    before, begun = cpu_seconds(pid), time.monotonic()
    asyncio.run(during)
    return (cpu_seconds(pid) - before) / (time.monotonic() - begun)


async def _ask(count: int, seconds: float, asking: Asking) -> None:
    """So many that ask, each from another moment on."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.gather(*(asking(at) for at in range(count)))


def _polling(controller: Any) -> Asking:
    async def poll(_: int) -> None:
        await asyncio.sleep(random.uniform(0, POLL_SECONDS))
        while True:
            await controller.get_serve_instance_details.remote()
            await asyncio.sleep(POLL_SECONDS)

    return poll


def _listening(controller: Any) -> Asking:
    key = deployment_key()

    async def listen(_: int) -> None:
        snapshot = NOTHING_HEARD
        while True:
            heard = heard_in(await controller.listen_for_change.remote({key: snapshot}), key)
            snapshot = heard.snapshot if heard else snapshot

    return listen


def _told(count: int) -> float:
    """CPU seconds of a host of Ray's long poll for one change among so many replicas that all of them hear of."""
    import ray

    host = ray.remote(num_cpus=0, max_concurrency=10_000)(_Host).remote(count)
    key = deployment_key()
    pid = ray.get(host.pid.remote())

    async def change(known: list[int]) -> None:
        async def hear(at: int) -> None:
            heard = heard_in(await host.listen_for_change.remote({key: known[at]}), key)
            if heard is None or heard.replicas != count:
                raise Failed(f"a replica heard {heard}")
            known[at] = heard.snapshot

        waiting = [asyncio.ensure_future(hear(at)) for at in range(count)]
        while await host.waiting.remote() < count and known[0] != NOTHING_HEARD:
            await asyncio.sleep(0.05)
        await host.change.remote()
        await asyncio.gather(*waiting)

    async def changes() -> float:
        known = [NOTHING_HEARD] * count
        await change(known)
        before = cpu_seconds(pid)
        for _ in range(CHANGES):
            await change(known)
        return (cpu_seconds(pid) - before) / CHANGES

    try:
        return asyncio.run(changes())
    finally:
        ray.kill(host)


class _Host:
    """Ray's long poll with the target of a deployment of so many replicas."""

    def __init__(self, count: int) -> None:
        from ray.serve._private.long_poll import LongPollHost

        self._host, self._targets = LongPollHost(), targets(count)
        self._tell()

    def _tell(self) -> None:
        self._host.notify_changed({deployment_key(): self._targets})

    async def pid(self) -> int:
        return os.getpid()

    async def change(self) -> None:
        self._tell()

    async def waiting(self) -> int:
        return self._host._get_num_notifier_events()

    async def listen_for_change(self, keys: Any) -> Any:
        return await self._host.listen_for_change(keys)


def _process(name: str) -> int:
    """The process of that name below this one."""
    for pid in processes.descendants():
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(name.encode()):
                return pid
    raise Failed(f"there is no process {name}")
