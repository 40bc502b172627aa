"""A real Ray on this machine whose replicas listen for how many they are, while they become more and fewer.

    python -m tests.support.replica_counts DIRECTORY

Writes heard.json there, a list of the numbers that every replica has come to: after the start, with more of them, and
with fewer of them after the controller was killed. It is a process of its own, because Ray leaves threads behind.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from fivefold.local import ray_start
from fivefold.online.ray.limit_share import Replicas, listen

SECONDS = 120.0
COURSE = (1, 3, 2)
CPUS = 2
HEARD = "heard.json"


class Counted:
    """A replica that says who it is and how many it has heard of."""

    def __init__(self) -> None:
        from ray import serve

        self._replicas = Replicas(listen)
        self._name = serve.get_replica_context().replica_id.unique_id
        self._watching = asyncio.get_running_loop().create_task(self._replicas.watch(lambda _: 0.05))

    async def __call__(self) -> tuple[str, int]:
        """Its name, and the number."""
        return self._name, self._replicas()


def run(count: int) -> Any:
    """Deploy so many replicas, in place; the handle to them."""
    from ray import serve

    options: dict[str, Any] = {"name": "Counted", "num_replicas": count, "ray_actor_options": {"num_cpus": 0}}
    counted: Any = serve.deployment(Counted)
    deployment = counted.options(**options)
    deployment._version = "1"
    return serve.run(deployment.bind(), name="counted", route_prefix=None)


def heard(handle: Any, count: int) -> int:
    """What all of them have heard, once that is their number; what one has heard last where it never is."""
    deadline = time.monotonic() + SECONDS
    numbers: dict[str, int] = {}
    while time.monotonic() < deadline:
        name, number = handle.remote().result(timeout_s=SECONDS)
        numbers = {**(numbers if number == count else {}), name: number}
        if number == count and len(numbers) == count:
            return count
    return next(iter(numbers.values()))


def main(directory: str) -> None:
    """Start, scale, kill, scale."""
    with ray_start.environment():
        # Ray reads the token of its ports when it is loaded.
        import ray
        from ray import serve
        from ray.serve._private.constants import SERVE_CONTROLLER_NAME, SERVE_NAMESPACE

        ray_start.start(CPUS, directory)
        serve.start(proxy_location="Disabled")
        found = []
        for at, count in enumerate(COURSE):
            if at == len(COURSE) - 1:
                ray.kill(ray.get_actor(SERVE_CONTROLLER_NAME, namespace=SERVE_NAMESPACE), no_restart=False)
            found.append(heard(run(count), count))
        Path(directory, HEARD).write_text(json.dumps(found))
        serve.shutdown()
        ray.shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
