"""How many replicas of the deployment answer: what a limit that holds for all of them is divided by.

`ReplicaContext.world_size` looks like the number and is not: Ray 2.60 takes it from the deployment's configuration,
which autoscaling does not touch. So the controller tells it, by the long poll from which Ray's own proxies hear where
requests may go: a question waits there until the replicas are others, or a minute is over. While nothing changes that
costs the controller hardly anything; asking it for the status every few seconds would keep it busy by the replicas
alone (docs/scale.md).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

REST_SECONDS: Final = 5.0
"""Between two answers at least, give or take a half: for so long a limit may be divided by an old number."""

ANSWER_SECONDS: Final = 300e-6
TOLD_SECONDS: Final = 21e-6
"""Of the controller's time, what an answer takes (assumed), and each replica that it names (measured on a busy machine,
docs/scale.md)."""

SHARE: Final = 0.1
"""Of the controller's time that all replicas together take at most, while the replicas change all the time."""


class Heard(NamedTuple):
    """What the controller has said: how many replicas answer, and the number of that state of things."""

    replicas: int
    snapshot: int


Listen = Callable[[int], Awaitable[Heard | None]]
"""Waits for another state than that of the number given; None where there was none for a while. May raise."""

NOTHING_HEARD: Final = -1
"""No state has this number, so the first question is answered at once."""


class Replicas:
    """The number that was heard last."""

    def __init__(self, listen: Listen, least: int = 1) -> None:
        """`least` is the number that the deployment always has, or will soon."""
        self._listen, self._least = listen, least
        self._heard = least

    def __call__(self) -> int:
        """How many there are, never fewer than `least`."""
        return self._heard

    async def watch(self, rest: Callable[[int], float] | None = None) -> None:
        """Listen again and again, until cancelled; after each answer, `rest` seconds by the number of replicas."""
        rest = rest or rest_seconds
        snapshot = NOTHING_HEARD
        while True:
            try:
                heard = await self._listen(snapshot)
            except Exception:
                # A controller that restarts is no reason to give every replica the whole limit. Another one may give
                # the same numbers to other states.
                snapshot = NOTHING_HEARD
            else:
                if heard is not None:
                    self._heard, snapshot = max(self._least, heard.replicas), heard.snapshot
            # They all hear of a change in the same moment, and must not all come back in one.
            await asyncio.sleep(rest(self._heard) * random.uniform(0.5, 1.5))  # noqa: S311  # no secret


def rest_seconds(replicas: int) -> float:
    """How long each of so many replicas leaves the controller alone after an answer, on average.

    One change is told to every replica, and each is told of every one: that grows with the square of their number, so
    where there are many they ask less often.
    """
    return max(REST_SECONDS, replicas * (ANSWER_SECONDS + replicas * TOLD_SECONDS) / SHARE)


async def listen(snapshot: int) -> Heard | None:
    """Ask the controller about the deployment that this process is a replica of: `Listen`, for a replica."""
    from ray import serve
    from ray.serve._private.long_poll import LongPollNamespace

    key = (LongPollNamespace.DEPLOYMENT_TARGETS, serve.get_replica_context().replica_id.deployment_id)
    controller = await asyncio.to_thread(_controller)
    return heard_in(await controller.listen_for_change.remote({key: snapshot}), key)


def heard_in(answer: Any, key: Any) -> Heard | None:
    """What the controller's answer says of that key: nothing where the time of the question was over."""
    if not isinstance(answer, dict) or key not in answer:
        return None
    return Heard(len(answer[key].object_snapshot.running_replicas), answer[key].snapshot_id)


def _controller() -> Any:
    """The controller's handle, by its name: one that is started anew is another actor. Waits."""
    import ray
    from ray.serve._private.constants import SERVE_CONTROLLER_NAME, SERVE_NAMESPACE

    return ray.get_actor(SERVE_CONTROLLER_NAME, namespace=SERVE_NAMESPACE)
