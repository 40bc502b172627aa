"""How many replicas share a limit: what is heard of the controller, and why Ray's own number is not taken."""

from __future__ import annotations

import asyncio
import inspect

from ray.serve._private import deployment_state, replica
from ray.serve.schema import DeploymentStatusOverview
from tests.support.http_calls import SECONDS

from fivefold.online.ray.limit_share import Replicas


def test_the_number_is_what_was_heard_last() -> None:
    """Never fewer than there always are, and kept where the controller does not answer."""
    answers = iter([3, RuntimeError("away"), 1, 4])
    seen: list[int] = []
    replicas = Replicas(lambda: 0, 2)

    def count() -> int:
        seen.append(replicas())
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def watch() -> None:
        watching = asyncio.ensure_future(replicas.watch(0.0))
        async with asyncio.timeout(SECONDS):
            while len(seen) < 5:
                await asyncio.sleep(0.001)
        watching.cancel()

    replicas._count = count
    asyncio.run(watch())
    assert seen[:5] == [2, 3, 3, 2, 4]


def test_rays_world_size_is_the_configured_number() -> None:
    """It does not follow autoscaling, which leaves the configuration alone; the status has the replicas by state."""
    context = inspect.getsource(replica.Replica._set_internal_replica_context)
    scaling = inspect.getsource(deployment_state.DeploymentState.autoscale)

    assert "world_size = self._deployment_config.num_replicas" in context
    assert "deployment_config" not in scaling
    assert "replica_states" in DeploymentStatusOverview.__annotations__
