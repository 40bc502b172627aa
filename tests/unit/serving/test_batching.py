"""Requests that wait at the same time are scored together, each with its own answer, error and deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from tests.support import grpc_gate

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.columns import Columns
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import FivefoldError, Interrupted, ModelFailed
from fivefold.core.readers.records import Records
from fivefold.core.runtime.scorer import Scorer
from fivefold.serving.batching import Batcher, Gatherer, pays

SECONDS = 20.0

MODEL = b"""
from tests.support import grpc_gate

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


def in_one_pass(
    scorer: Scorer, *crowd: Asked, longest: float = 10.0, meanwhile: Callable[[list[Any]], None] = lambda _: None
) -> list[Any]:
    """Requests that come in one pass of the event loop behind a first one: their answers, or the errors instead."""

    async def converse() -> list[Any]:
        gatherer = Gatherer(scorer, longest=longest)
        assert not gatherer.crowded()
        answers = []
        for asked in crowd:
            assert gatherer.crowded()
            answers.append(gatherer.add(asked))
        meanwhile(answers)
        async with asyncio.timeout(SECONDS):
            return await asyncio.gather(*answers, return_exceptions=True)

    return asyncio.run(converse())


def test_who_comes_in_one_pass_is_scored_together(scorer: Scorer) -> None:
    """One call for all of them, and everybody gets the rows that are theirs."""
    answers = in_one_pass(scorer, Asked(scorer, 1.0), Asked(scorer, 2.0, 3.0), Asked(scorer, 4.0))

    assert answers == [([2.0], 4), ([4.0, 6.0], 4), ([8.0], 4)]


def test_who_is_alone_has_no_company_to_wait_for(scorer: Scorer) -> None:
    """Pass after pass of one request each."""

    async def converse() -> list[bool]:
        gatherer = Gatherer(scorer, longest=1.0)
        out = []
        for _ in range(5):
            out.append(gatherer.crowded())
            await asyncio.sleep(0)
        return out

    assert asyncio.run(converse()) == [False] * 5


def test_a_crowd_is_expected_to_come_back(scorer: Scorer) -> None:
    """Behind a pass of several the first of the next one waits for company too; behind a pass of one nobody does."""

    async def converse() -> list[list[bool]]:
        gatherer = Gatherer(scorer, longest=1.0)
        out = []
        for size in (3, 2, 1, 1):
            out.append([gatherer.crowded() for _ in range(size)])
            await asyncio.sleep(0)
        return out

    assert asyncio.run(converse()) == [[False, True, True], [True, True], [True], [False]]


def test_one_that_fails_in_a_pass_fails_alone(scorer: Scorer) -> None:
    """The others are answered as if it had not been there; so for an answer that cannot be written."""
    good, bad, unwritable, last = in_one_pass(
        scorer, Asked(scorer, 1.0), Asked(scorer, 13.0), Asked(scorer, 17.0), Asked(scorer, 4.0)
    )

    assert (good, last) == (([2.0], 1), ([8.0], 1))
    assert isinstance(bad, ModelFailed)
    assert isinstance(unwritable, ValueError)


def test_an_answer_that_cannot_be_written_spoils_no_pass(scorer: Scorer) -> None:
    """The model is called once, as for any other."""
    good, unwritable, last = in_one_pass(scorer, Asked(scorer, 1.0), Asked(scorer, 17.0), Asked(scorer, 4.0))

    assert (good, last) == (([2.0], 3), ([8.0], 3))
    assert isinstance(unwritable, ValueError)


def test_who_has_gone_is_not_scored_in_a_pass(scorer: Scorer) -> None:
    """A future that is cancelled, or has its answer already, takes nobody's time."""

    def leave(answers: list[Any]) -> None:
        answers[0].cancel()
        answers[2].set_result("elsewhere")

    gone, good, answered, last = in_one_pass(
        scorer, Asked(scorer, 1.0), Asked(scorer, 2.0), Asked(scorer, 3.0), Asked(scorer, 4.0), meanwhile=leave
    )

    assert isinstance(gone, asyncio.CancelledError)
    assert answered == "elsewhere"
    assert (good, last) == (([4.0], 2), ([8.0], 2))


def test_a_pass_that_everybody_has_left_calls_no_model(scorer: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the next one is scored as ever."""

    def never(_: Columns) -> Columns:
        raise AssertionError("the model was called")

    with monkeypatch.context() as patch:
        patch.setattr(scorer, "score", never)
        (gone,) = in_one_pass(scorer, Asked(scorer, 1.0), meanwhile=lambda answers: answers[0].cancel())

    assert isinstance(gone, asyncio.CancelledError)
    assert in_one_pass(scorer, Asked(scorer, 1.0)) == [([2.0], 1)]


def test_an_expired_request_leaves_its_pass(scorer: Scorer) -> None:
    """It ends with its own error while the others are answered, and no row of it is scored."""
    good, expired, last = in_one_pass(
        scorer, Asked(scorer, 1.0, seconds=SECONDS), Asked(scorer, 2.0, seconds=0.0), Asked(scorer, 3.0)
    )

    assert (good, last) == (([2.0], 2), ([6.0], 2))
    assert isinstance(expired, Interrupted)
    assert expired.code == "deadline_exceeded"


def test_what_would_take_too_long_at_once_takes_several_passes(scorer: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest first, as many as fit; one that is longer by itself is not split."""
    monkeypatch.setattr(scorer, "_cost", [(1, 1.0), (2, 2.0)])
    sizes = (1, 2, 5, 1, 1, 1)

    answers = in_one_pass(scorer, *(Asked(scorer, *[1.0] * size) for size in sizes), longest=3.0)

    assert [len(y) for y, _ in answers] == list(sizes)
    assert [together for _, together in answers] == [3, 3, 5, 3, 3, 3]


def test_the_event_loop_goes_on_between_two_passes(scorer: Scorer) -> None:
    """What else is due has its turn; who comes meanwhile is answered behind those who were there before."""

    async def converse() -> tuple[list[int], list[Any]]:
        gatherer = Gatherer(scorer, longest=-1.0)
        gatherer.crowded()
        answers = [gatherer.add(Asked(scorer, float(x))) for x in range(1, 4)]
        done = []
        for _ in range(4):
            await asyncio.sleep(0)
            done.append(sum(answer.done() for answer in answers))
            if len(answers) == 3:
                assert gatherer.crowded()
                answers.append(gatherer.add(Asked(scorer, 4.0)))
        return done, await asyncio.gather(*answers)

    done, answers = asyncio.run(converse())

    assert done == [1, 2, 3, 4]
    assert answers == [([2.0], 1), ([4.0], 1), ([6.0], 1), ([8.0], 1)]


def test_answers_do_not_depend_on_the_pass(scorer: Scorer) -> None:
    """Many requests in any grouping, alone or in a crowd: everybody's rows come back to them."""
    draw = np.random.default_rng(0)
    rows = [draw.uniform(20, 99, size).tolist() for size in draw.integers(1, 9, 200).tolist()]
    passes = draw.integers(0, 20, 200).tolist()

    async def converse() -> list[Any]:
        gatherer = Gatherer(scorer, longest=0.01)

        async def ask(xs: list[float], later: int) -> Any:
            for _ in range(later):
                await asyncio.sleep(0)
            asked = Asked(scorer, *xs)
            if gatherer.crowded():
                return await gatherer.add(asked)
            return asked.finish(scorer.score(asked.columns))

        async with asyncio.timeout(SECONDS):
            return await asyncio.gather(*map(ask, rows, passes))

    answers = asyncio.run(converse())

    assert [y for y, _ in answers] == [[2 * x for x in xs] for xs in rows]
    assert max(size for _, size in answers) > 8
