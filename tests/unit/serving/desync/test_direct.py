"""The corpus at the direct endpoint: one request gets one answer, wherever it is cut; others get theirs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from tests.support.desync_corpus import CASES, CHUNKED, NEXT, Case, body, chunks, post, raw
from tests.support.desync_talking import Answer, beside, judge, say, told
from tests.support.grpc_calls import gate_bundle
from tests.support.http_calls import World, world
from tests.unit.serving.http.test_servers import running
from uvicorn.server import ServerState

from fivefold.core.runtime.python_runner import PythonRunner
from fivefold.serving.http.protocol import protocol_of

FOLLOWING = post(NEXT)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PythonRunner, "foreseeable", True)
        with world(
            [gate_bundle(tmp_path_factory.mktemp("gate") / "gate")], inline_seconds=10.0, batching=False
        ) as made:
            yield made


@pytest.fixture(scope="module")
def connect(out: World) -> Callable[[], Any]:
    """Makes a connection that has no network."""
    kind = protocol_of(out.app)
    config = uvicorn.Config(out.app, http=kind, ws="none", lifespan="off", log_config=None)  # type: ignore[arg-type]
    config.load()

    def one() -> Any:
        state = ServerState()
        state.default_headers = list(config.encoded_headers)
        return kind(config, state, {})

    return one


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_request_gets_its_own_answer_or_none(out: World, connect: Callable[[], Any], case: Case) -> None:
    """In one piece, cut anywhere, and byte by byte; the request behind it is answered as itself or not at all."""
    whole = case.data + FOLLOWING

    async def converse() -> None:
        for cut in (0, *range(1, len(case.data) + 3, 1 if case.name.startswith("upgrade h2c") else 7), len(case.data)):
            got, closed = await told(connect, *filter(None, (whole[:cut], whole[cut:])))
            judge(case, (case.status,), got, closed, strict=True)
        got, closed = await told(connect, *(bytes((each,)) for each in whole))
        judge(case, (case.status,), got, closed, strict=True)

    out.run(converse())


def test_a_large_body_before_a_head_is_no_part_of_it(out: World, connect: Callable[[], Any]) -> None:
    """A head that begins in the same read as a body ends is measured by itself."""
    content = body(4.0) + b" " * 200_000
    large = raw(b"Content-Length: %d" % len(content), content=content)
    many = post(4.0) * 1100

    for before in (large, many, raw(CHUNKED, content=chunks(content, 1000))):
        for cut in (1, 30, len(FOLLOWING) - len(body(NEXT)) - 3):
            got, closed = out.run(told(connect, before + FOLLOWING[:cut], FOLLOWING[cut:]))

            assert len(before) > 100_000
            assert {each.doubled for each in got[:-1]} == {8.0}
            assert got[-1].doubled == 2 * NEXT
            assert not closed


@pytest.mark.parametrize("before", [b"", post(4.0)], ids=["first", "second"])
@pytest.mark.parametrize(
    "head", [b"GET /" + b"x" * 200_000, raw(b"X: " + b"x" * 200_000)[:-2], raw(*[b"X: x"] * 50_000)]
)
def test_a_head_without_end_is_refused_at_once(
    out: World, connect: Callable[[], Any], before: bytes, head: bytes
) -> None:
    """Also where all of it came in one read."""
    got, closed = out.run(told(connect, before + head.removesuffix(b"\r\n"), b"x"))

    assert got[-1].status == 431
    assert closed


@pytest.mark.full
def test_the_corpus_beside_others(out: World) -> None:
    """Over the network, where a close has to let the answer through; strangers on the same server get their own."""

    async def converse() -> int:
        async def corpus(port: int) -> None:
            for case in CASES:
                got, closed = await say(port, case.data + FOLLOWING)
                judge(case, (case.status,), got, closed, strict=True)
                got, closed = await say(port, case.data, FOLLOWING, pause=0.001)
                judge(case, (case.status,), got, closed, strict=True)

        async with running(out.app, protocol_of(out.app)) as port:
            return await beside(port, corpus(port))

    assert out.run(converse()) > 100


TOKENS = [
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b" ",
        b"\t",
        b":",
        b",",
        b";",
        b"0",
        b"5",
        b"\xff",
        b"chunked",
        b"HTTP/1.1",
        b"HTTP/1.0",
    ),
    *(b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n", b"Connection: Upgrade\r\nUpgrade: h2c\r\n"),
    *(b"Host: here\r\n", b"0\r\n\r\n", b"Connection: close\r\n", b"Expect: 100-continue\r\n"),
    b"GET /v2 HTTP/1.1\r\nHost: here\r\n\r\n",
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A case with a few bytes dropped, put in or put twice."""
    data = bytearray(draw(st.sampled_from(CASES)).data)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        until = min(len(data), at + draw(st.integers(0, 12)))
        data[at:until] = draw(st.sampled_from([b"", bytes(data[at:until]) * 2, *TOKENS]))
    return bytes(data)


@pytest.mark.parametrize("examples", [100, pytest.param(400, marks=pytest.mark.full)])
def test_where_the_network_cuts_changes_nothing(out: World, connect: Callable[[], Any], examples: int) -> None:
    """Any bytes get the same answers and the same end in one piece as in many, and none behind one that closes."""

    @seed(9112)
    @settings(max_examples=examples, suppress_health_check=list(HealthCheck), database=None)
    @given(mutated(), st.lists(st.integers(0, 600), max_size=5))
    def same(data: bytes, cuts: list[int]) -> None:
        whole = data + FOLLOWING
        ends = [0, *sorted(cut for cut in set(cuts) if 0 < cut < len(whole)), len(whole)]
        parts = [whole[start:end] for start, end in itertools.pairwise(ends)]

        async def converse() -> tuple[Any, Any]:
            return await told(connect, whole), await told(connect, *parts)

        (one, closed), (many, closed_too) = out.run(converse())

        def seen(given: list[Answer]) -> list[Any]:
            return [(each.status, each.doubled, each.headers.get("connection")) for each in given]

        # What is answered before its end has come closes the connection, and may change when the end is there.
        both = min(len(one), len(many))
        assert seen(one)[: both - 1] == seen(many)[: both - 1]
        if both and "close" not in (one[both - 1].headers.get("connection"), many[both - 1].headers.get("connection")):
            assert seen(one) == seen(many)
            assert closed == closed_too
        assert len(one) == both or closed_too
        assert len(many) == both or closed
        assert all(each.headers.get("connection") != "close" for each in one[:-1])

    same()


def test_no_case_is_there_twice() -> None:
    names = [case.name for case in CASES]

    assert len(set(names)) == len(names)
