"""What one change costs where replicas are told of it, by Ray's own class in this process: the answer to each replica,
and its serialised form. What Ray takes to carry it is not in it: that is `controller`'s, which needs a running Ray.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from fivefold.online.ray.limit_share import NOTHING_HEARD, heard_in
from loadtest.machine.measurement import Failed, say

REPLICAS: Final = (50, 200, 500, 2_000)
ROUNDS: Final = 5


@dataclass(frozen=True)
class ToldCost:
    """Of so many replicas: CPU seconds of one answer, the least that was seen, and its bytes."""

    replicas: int
    answer: float
    size: int


def measure(counts: Sequence[int] = REPLICAS) -> list[ToldCost]:
    """Each count in turn."""
    return [asyncio.run(_measure(count)) for count in counts]


def deployment_key() -> Any:
    """Under which the controller tells of the deployment's replicas."""
    from ray.serve._private.common import DeploymentID
    from ray.serve._private.long_poll import LongPollNamespace

    return (LongPollNamespace.DEPLOYMENT_TARGETS, DeploymentID("Online", "fivefold"))


def targets(count: int) -> Any:
    """What the controller says of so many replicas."""
    from ray.serve._private.common import DeploymentTargetInfo, ReplicaID, RunningReplicaInfo

    running = [
        RunningReplicaInfo(
            replica_id=ReplicaID(f"{at:08x}", deployment_key()[1]),
            node_id=f"{at:056x}",
            node_ip=f"10.0.{at // 256}.{at % 256}",
            availability_zone=None,
            actor_name=f"SERVE_REPLICA::fivefold#Online#{at:08x}",
            max_ongoing_requests=128,
            port=30_000,
            backend_http_port=30_001,
        )
        for at in range(count)
    ]
    return DeploymentTargetInfo(True, running)


async def _measure(count: int) -> ToldCost:
    from ray import cloudpickle
    from ray.serve._private.long_poll import LongPollHost

    host, key = LongPollHost(), deployment_key()
    host.notify_changed({key: targets(count)})
    seconds = []
    for _ in range(ROUNDS):
        before = time.process_time()
        answer = await host.listen_for_change({key: NOTHING_HEARD})
        text = cloudpickle.dumps(answer, protocol=5)
        seconds.append(time.process_time() - before)
    heard = heard_in(cloudpickle.loads(text), key)
    if heard is None or heard.replicas != count:
        raise Failed(f"a replica heard {heard}")
    cost = ToldCost(count, min(seconds), len(text))
    say(f"{count:,} replicas: {cost.answer * 1e6:,.0f} µs an answer of {cost.size:,} bytes")
    return cost
