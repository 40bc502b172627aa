"""Requests that wait for a busy model are scored together, each with its own answer, error and deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from tests.unit.online import grpc_gate

from fivefold.core.bundle import Bundle
from fivefold.core.columns import Columns
from fivefold.core.contract import Contract
from fivefold.core.errors import FivefoldError, Interrupted, ModelFailed
from fivefold.core.readers.records import Records
from fivefold.core.scorer import Scorer
from fivefold.online.batching import Batcher, pays

SECONDS = 20.0

MODEL = b"""
from tests.unit.online import grpc_gate

class Company:
    def predict(self, columns):
        x = columns["x"]
        if (x < 0).any():
            grpc_gate.pass_through()
        if (x == 13).any():
            raise RuntimeError("unlucky")
        return {"y": x * 2, "together": x * 0 + len(x)}
"""


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scorer]:
    """A model that answers how many rows it was called with, and waits at the gate for negative ones."""
    fields = [{"name": name, "dtype": "float64"} for name in ("x", "y", "together")]
    contract = Contract.from_json(
        {"format": 1, "name": "company", "version": "1.0.0", "inputs": fields[:1], "outputs": fields[1:]}
    )
    bundle = Bundle.write(
        tmp_path_factory.mktemp("company") / "b",
        contract=contract,
        model={"model/company.py": MODEL},
        runtime="python",
        entry="company:Company",
        golden=([{"x": 1.0}], [{"y": 2.0, "together": 1.0}]),
        tolerance=0.0,
    )
    with Scorer.open(bundle) as opened:
        yield opened


class Asked:
    """One request's part."""

    def __init__(self, scorer: Scorer, *xs: float, seconds: float | None = None) -> None:
        self.columns = Records(scorer.contract.inputs).read([{"x": x} for x in xs]).accept()
        self.deadline = None if seconds is None else time.monotonic() + seconds

    def begin(self) -> None:
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise Interrupted("deadline_exceeded", "too late")

    def finish(self, columns: Columns) -> Any:
        y, together = columns["y"].tolist(), columns["together"].tolist()
        if y == [34.0]:
            raise ValueError("cannot be written")
        return y, int(together[0])


def together(
    scorer: Scorer, *rest: Asked, longest: float = 10.0, meanwhile: Callable[[list[Any]], None] = lambda _: None
) -> list[Any]:
    """One request that the gate holds, and the others behind it: their answers, or the errors in their place."""

    async def converse() -> list[Any]:
        with ThreadPoolExecutor(1) as pool:
            batcher = Batcher(scorer, pool, at_once=1, longest=longest)
            grpc_gate.shut()
            first = batcher.add(Asked(scorer, -1.0))
            await asyncio.to_thread(grpc_gate.wait_for_one)
            others = [batcher.add(asked) for asked in rest]
            meanwhile([first, *others])
            grpc_gate.opened.set()
            async with asyncio.timeout(SECONDS):
                return await asyncio.gather(*(answer for answer, _ in (first, *others)), return_exceptions=True)

    return asyncio.run(converse())


def test_who_waits_is_scored_together(scorer: Scorer) -> None:
    """The first runs alone; everybody who came meanwhile shares one call and gets the rows that are theirs."""
    answers = together(scorer, Asked(scorer, 1.0), Asked(scorer, 2.0, 3.0), Asked(scorer, 4.0))

    assert answers == [([-2.0], 1), ([2.0], 4), ([4.0, 6.0], 4), ([8.0], 4)]


def test_one_that_fails_fails_alone(scorer: Scorer) -> None:
    """The others of its batch are answered as if it had not been there; so for an answer that cannot be written."""
    _, good, bad, unwritable, last = together(
        scorer, Asked(scorer, 1.0), Asked(scorer, 13.0), Asked(scorer, 17.0), Asked(scorer, 4.0)
    )

    assert (good, last) == (([2.0], 1), ([8.0], 1))
    assert isinstance(bad, ModelFailed)
    assert isinstance(unwritable, ValueError)


def test_an_expired_request_is_not_started(scorer: Scorer) -> None:
    """It ends with its own error, and takes nobody's time."""
    late = Asked(scorer, 1.0, seconds=0.0)

    _, expired, good = together(scorer, late, Asked(scorer, 2.0))

    assert isinstance(expired, FivefoldError)
    assert expired.code == "deadline_exceeded"
    assert good == ([4.0], 1)


def test_a_batch_is_no_longer_than_it_may_be(scorer: Scorer) -> None:
    """With no time at all to share, every request has a call of its own."""
    answers = together(scorer, Asked(scorer, 1.0), Asked(scorer, 2.0), longest=-1.0)

    assert [size for _, size in answers] == [1, 1, 1]


def test_one_that_is_given_up_is_not_scored(scorer: Scorer) -> None:
    """Before it has begun; afterwards giving up has no effect."""

    def give_up(queued: list[Any]) -> None:
        queued[0][1]()
        queued[1][1]()

    first, gone, other = together(scorer, Asked(scorer, 1.0), Asked(scorer, 2.0), meanwhile=give_up)

    assert first == ([-2.0], 1)
    assert isinstance(gone, asyncio.CancelledError)
    assert other == ([4.0], 1)


def test_a_pool_that_is_shut_down_cancels_what_waits(scorer: Scorer) -> None:
    """So does adding to it afterwards."""

    async def converse() -> list[Any]:
        pool = ThreadPoolExecutor(1)
        batcher = Batcher(scorer, pool, at_once=1, longest=1.0)
        grpc_gate.shut()
        first, _ = batcher.add(Asked(scorer, -1.0))
        await asyncio.to_thread(grpc_gate.wait_for_one)
        waiting, _ = batcher.add(Asked(scorer, 1.0))
        pool.shutdown(wait=False, cancel_futures=True)
        grpc_gate.opened.set()
        async with asyncio.timeout(SECONDS):
            return await asyncio.gather(first, waiting, batcher.add(Asked(scorer, 1.0))[0], return_exceptions=True)

    first, waiting, after = asyncio.run(converse())

    assert first == ([-2.0], 1)
    assert isinstance(waiting, asyncio.CancelledError)
    assert isinstance(after, asyncio.CancelledError)


@pytest.mark.parametrize(("cost", "worth"), [([(1, 1.0), (8, 8.0)], False), ([(1, 1.0), (8, 2.0)], True)])
def test_the_models_own_cost_decides(
    scorer: Scorer, cost: list[tuple[int, float]], worth: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model whose cost grows with every row has nothing to gain."""
    monkeypatch.setattr(scorer, "_cost", cost)

    assert pays(scorer) is worth


def test_answers_do_not_depend_on_company(scorer: Scorer) -> None:
    """Many requests at once, in any grouping: everybody's rows come back to them in order."""
    draw = np.random.default_rng(0)
    sizes = draw.integers(1, 9, 200).tolist()
    rows = [draw.uniform(20, 99, size).tolist() for size in sizes]

    async def converse() -> list[Any]:
        with ThreadPoolExecutor(2) as pool:
            batcher = Batcher(scorer, pool, at_once=2, longest=0.01)
            async with asyncio.timeout(SECONDS):
                return await asyncio.gather(*(batcher.add(Asked(scorer, *xs))[0] for xs in rows))

    answers = asyncio.run(converse())

    assert [y for y, _ in answers] == [[2 * x for x in xs] for xs in rows]
    assert max(size for _, size in answers) > max(sizes)
