"""The gate's other parts: an injected slowdown, the generator, pairs, counts from files, the record in a document."""

from __future__ import annotations

import asyncio
import math
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loadtest.gate import counting, proof
from loadtest.gate.decision import FEWEST_PAIRS, GateVerdict
from loadtest.gate.generator import CONNECTIONS, Prepared, ask_for, whole
from loadtest.gate.pairing import Pairs
from loadtest.gate.servers import Server, share_out
from loadtest.gate.trees import SCRIPT, Tree
from loadtest.hotpath import CallgrindMarks, Slowdown

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
REFUSED = b"HTTP/1.1 422 Unprocessable\r\ncontent-length: 3\r\n\r\n[1]"


@given(st.floats(0, 2), st.integers(1, 500))
def test_an_injected_share_is_exactly_that_share_of_the_requests(share: float, requests: int) -> None:
    injected = Slowdown(share)
    more = sum(injected.times() for _ in range(requests))

    assert abs(more - share * requests) < 1


def test_an_injected_request_is_handled_twice_with_its_body_and_answered_once() -> None:
    bodies: list[bytes] = []
    sent: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        parts = [await receive(), await receive()]
        bodies.append(b"".join(part["body"] for part in parts))
        await send({"type": "http.response.start", "status": 200})

    messages = [{"body": b"a", "more_body": True}, {"body": b"b", "more_body": False}]

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    async def ask() -> None:
        await Slowdown(1.0).app(application)({"type": "http"}, receive, send)

    asyncio.run(ask())

    assert bodies == [b"ab", b"ab"]
    assert len(sent) == 1


def test_marks_are_nothing_outside_valgrind() -> None:
    marks = CallgrindMarks()
    marks.begin()
    marks.write("nothing")
    marks.end()

    assert not marks.active


@pytest.mark.parametrize("size", range(len(GOOD)))
def test_an_answer_is_whole_once_all_of_it_is_there(size: int) -> None:
    assert whole(GOOD[:size]) is None
    assert whole(GOOD) == whole(GOOD + REFUSED) == len(GOOD)


def test_an_answer_without_a_length_is_an_error() -> None:
    with pytest.raises(ConnectionError, match="content-length"):
        whole(b"HTTP/1.1 200 OK\r\n\r\n")


@contextmanager
def answering(answers: dict[bytes, bytes]) -> Iterator[tuple[str, int]]:
    """A server that gives each one-byte request its answer."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def talk(peer: socket.socket) -> None:
            # A generator that gives up closes connections with answers still on their way.
            with peer, suppress(ConnectionError):
                while data := peer.recv(1):
                    peer.sendall(answers[data])

        def accept() -> None:
            for _ in range(CONNECTIONS):
                threading.Thread(target=talk, args=(listening.accept()[0],), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listening.getsockname()
        thread.join(10)


def test_a_block_counts_and_times_every_answer() -> None:
    mix = [Prepared(b"a", True), Prepared(b"b", False)]
    with answering({b"a": GOOD, b"b": REFUSED}) as address:
        block = ask_for(0.05, address, mix)

    assert block.requests >= CONNECTIONS
    assert 0 < block.p50 <= block.p99 <= block.wall


@pytest.mark.parametrize("good", [True, False])
def test_an_answer_of_the_other_kind_voids_the_block(good: bool) -> None:
    with (
        answering({b"a": REFUSED if good else GOOD}) as address,
        pytest.raises(ConnectionError, match="should be"),
    ):
        ask_for(0.05, address, [Prepared(b"a", good)])


def test_the_cpu_time_of_a_server_is_its_own() -> None:
    program = "import sys\nsum(range(10**6))\nprint(flush=True)\nsys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        server = Server(("127.0.0.1", 0), process)
        first = server.cpu()
        deadline = time.monotonic() + 0.05
        while time.monotonic() < deadline:
            math.sqrt(2)
        spent = server.cpu() - first
        assert process.stdin is not None
        process.stdin.close()

    assert first > 0
    assert spent < 0.04


def test_server_and_generator_share_no_core_where_there_are_several() -> None:
    theirs, ours = share_out()

    assert theirs
    assert theirs.isdisjoint(ours) or theirs == ours


def pairs_of(ratio: float, count: int) -> Pairs:
    pairs = Pairs()
    base = {"p50": 1.0, "p99": 2.0, "cpu": 0.5, "seconds": 0.25}
    for _ in range(count):
        pairs.add(base, {name: value * ratio for name, value in base.items()})
    return pairs


@pytest.mark.parametrize(
    ("ratio", "count", "verdict"),
    [
        (1.0, FEWEST_PAIRS, GateVerdict.PASSES),
        (1.1, FEWEST_PAIRS, GateVerdict.SLOWER),
        (1.1, FEWEST_PAIRS - 1, GateVerdict.INCONCLUSIVE),
        (1.0, 0, GateVerdict.INCONCLUSIVE),
    ],
)
def test_pairs_have_one_verdict(ratio: float, count: int, verdict: GateVerdict) -> None:
    assert pairs_of(ratio, count).verdict() is verdict


def test_the_cheapest_batch_of_every_path_is_read_from_callgrinds_files(tmp_path: Path) -> None:
    totals = [("V1", 100), ("V1", 900), ("V1", 101), ("gRPC, 64 rows", 7)]
    for index, (name, total) in enumerate(totals, 1):
        text = f"version: 1\ndesc: Trigger: Client Request: {name}\nsummary: 5\n\ntotals: {total}\n"
        (tmp_path / f"counts.{index}").write_text(text)
    (tmp_path / "counts").write_text("desc: Trigger: Program termination\ntotals: 3\n")

    assert counting.dumps(tmp_path) == {"V1": 100, "gRPC, 64 rows": 7}


def test_the_record_stands_between_its_markers(tmp_path: Path) -> None:
    document = tmp_path / "measurements.md"
    document.write_text(f"before\n{proof.BEGIN}\nold\n{proof.END}\nafter\n")
    row = proof.line(0.1, {"V1": 1.1, "gRPC": 1.09}, pairs_of(1.1, 8), {"instructions"}, 61.2)
    proof.write(document, proof.table([row]))
    text = document.read_text()

    assert text.startswith(f"before\n{proof.BEGIN}\n| injected |")
    assert text.endswith(f"{proof.END}\nafter\n")
    assert "| 10% | 1.0900 to 1.1000 | 1.100 [1.100, 1.100] |" in text
    assert "old" not in text


def test_a_document_without_markers_is_left_alone(tmp_path: Path) -> None:
    document = tmp_path / "plain.md"
    document.write_text("plain")

    with pytest.raises(ValueError, match="gate:begin"):
        proof.write(document, "text")
    assert document.read_text() == "plain"


def tree(home: Path, name: str, script: str) -> Tree:
    """A package's directory with a script beside it, as `trees` leaves them."""
    (home / name / SCRIPT).parent.mkdir(parents=True)
    (home / name / SCRIPT).write_text(script)
    return Tree(name, home / name / "services", home / name / SCRIPT)


@pytest.mark.parametrize(("heads", "chosen"), [("", "head"), ("import package_of_head", "base")])
def test_base_runs_head_s_script_where_it_can_and_its_own_otherwise(heads: str, chosen: str, tmp_path: Path) -> None:
    own, head = tree(tmp_path, "base", ""), tree(tmp_path, "head", heads)

    found = counting.with_a_script_that_runs(replace(own, script=head.script), tmp_path)

    assert found.script == tmp_path / chosen / SCRIPT


def test_a_base_that_no_script_can_drive_is_said_with_the_reason(tmp_path: Path) -> None:
    own = tree(tmp_path, "base", "raise SystemExit('no such path')")

    with pytest.raises(counting.CannotRun, match="ended with status 1:\nno such path"):
        counting.with_a_script_that_runs(own, tmp_path)
