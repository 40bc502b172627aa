"""How many replicas share a limit: what is heard of the controller, and why Ray's own number is not taken."""

from __future__ import annotations

import asyncio
import inspect
import itertools
from collections.abc import Sequence

import pytest
from ray.serve._private import deployment_state, replica
from ray.serve._private.common import DeploymentID, DeploymentTargetInfo, ReplicaID, RunningReplicaInfo
from ray.serve._private.long_poll import LongPollHost, LongPollNamespace
from tests.support.http_calls import SECONDS

from fivefold.online.ray.limit_share import (
    ANSWER_SECONDS,
    NOTHING_HEARD,
    REST_SECONDS,
    SHARE,
    TOLD_SECONDS,
    Heard,
    Replicas,
    heard_in,
    rest_seconds,
)


async def heard_by(answers: Sequence[Heard | Exception | None], least: int) -> tuple[list[int], list[int]]:
    """The number before each question, and the state of things that each question knew."""
    numbers: list[int] = []
    known: list[int] = []
    done = asyncio.Event()
    coming = iter(answers)

    async def listen(snapshot: int) -> Heard | None:
        numbers.append(replicas())
        known.append(snapshot)
        answer = next(coming, None)
        if answer is None and len(numbers) > len(answers):
            done.set()
            await asyncio.Event().wait()
        if isinstance(answer, Exception):
            raise answer
        return answer

    replicas = Replicas(listen, least)
    watching = asyncio.ensure_future(replicas.watch(lambda _: 0.0))
    async with asyncio.timeout(SECONDS):
        await done.wait()
    watching.cancel()
    return numbers, known


def test_the_number_is_what_was_heard_last() -> None:
    """Never fewer than there always are, and kept where nothing has changed, or the controller does not answer."""
    answers = [Heard(3, 70), None, RuntimeError("away"), Heard(1, 5), Heard(4, 6)]

    numbers, known = asyncio.run(heard_by(answers, 2))

    assert numbers == [2, 3, 3, 3, 2, 4]
    assert known == [NOTHING_HEARD, 70, 70, NOTHING_HEARD, 5, 6]


def test_ray_tells_of_a_change_to_who_waits() -> None:
    """The key, the answer's form and the numbers of states, by the class that Ray's controller answers with."""

    async def asked() -> list[Heard | None]:
        host = LongPollHost((0.01, 0.01))
        key = (LongPollNamespace.DEPLOYMENT_TARGETS, DeploymentID("Online", "fivefold"))

        def tell(count: int) -> None:
            running = [
                RunningReplicaInfo(ReplicaID(str(at), key[1]), None, None, None, str(at), 5) for at in range(count)
            ]
            host.notify_changed({key: DeploymentTargetInfo(True, running)})

        unknown = heard_in(await host.listen_for_change({key: NOTHING_HEARD}), key)
        tell(2)
        first = heard_in(await host.listen_for_change({key: NOTHING_HEARD}), key)
        assert first is not None
        unchanged = heard_in(await host.listen_for_change({key: first.snapshot}), key)
        waiting = LongPollHost((SECONDS, SECONDS))
        waiting.snapshot_ids, waiting.object_snapshots = host.snapshot_ids, host.object_snapshots
        waiting._notify_timestamps, host = host._notify_timestamps, waiting
        question = asyncio.ensure_future(host.listen_for_change({key: first.snapshot}))
        await asyncio.sleep(0)
        tell(3)
        return [unknown, first, unchanged, heard_in(await question, key)]

    unknown, first, unchanged, changed = asyncio.run(asked())

    assert unknown is None
    assert unchanged is None
    assert first is not None
    assert first.replicas == 2
    assert changed == Heard(3, first.snapshot + 1)


@pytest.mark.parametrize("replicas", [1, 50, 500, 2_000])
def test_replicas_together_take_a_share_of_the_controller(replicas: int) -> None:
    """However many there are, and however often they change."""
    taken = replicas * (ANSWER_SECONDS + replicas * TOLD_SECONDS) / rest_seconds(replicas)

    assert taken <= SHARE * 1.001
    assert rest_seconds(replicas) >= REST_SECONDS


def test_the_rest_never_grows_shorter_with_more_replicas() -> None:
    rests = [rest_seconds(count) for count in range(1, 1_000)]

    assert all(before <= after for before, after in itertools.pairwise(rests))


def test_rays_world_size_is_the_configured_number() -> None:
    """It does not follow autoscaling, which leaves the configuration alone; the long poll has who answers."""
    context = inspect.getsource(replica.Replica._set_internal_replica_context)
    scaling = inspect.getsource(deployment_state.DeploymentState.autoscale)
    telling = inspect.getsource(deployment_state.DeploymentState.broadcast_running_replicas_if_changed)

    assert "world_size = self._deployment_config.num_replicas" in context
    assert "deployment_config" not in scaling
    assert "LongPollNamespace.DEPLOYMENT_TARGETS" in telling
