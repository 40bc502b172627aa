"""How many replicas of the deployment answer: what a limit that holds for all of them is divided by.

`ReplicaContext.world_size` looks like the number and is not: Ray 2.60 takes it from the deployment's configuration,
which autoscaling does not touch. So the controller is asked for it, now and then, in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

ASK_SECONDS: Final = 5.0
"""How often the controller is asked, and so for how long a limit may be divided by an old number."""


class Replicas:
    """The number that was heard last."""

    def __init__(self, count: Callable[[], int], least: int = 1) -> None:
        """`count` asks, and may wait and raise; `least` is the number that the deployment always has, or will soon."""
        self._count, self._least = count, least
        self._heard = least

    def __call__(self) -> int:
        """How many there are, never fewer than `least`."""
        return self._heard

    async def watch(self, seconds: float = ASK_SECONDS) -> None:
        """Ask again and again, until cancelled."""
        while True:
            # A controller that restarts is no reason to give every replica the whole limit.
            with contextlib.suppress(Exception):
                self._heard = max(self._least, await asyncio.to_thread(self._count))
            await asyncio.sleep(seconds)


def running() -> int:
    """The replicas that run of the deployment that this process is a replica of. Waits for the controller."""
    from ray import serve

    context = serve.get_replica_context()
    deployment = serve.status().applications[context.app_name].deployments[context.deployment]
    return sum(count for state, count in deployment.replica_states.items() if state == "RUNNING")
