"""What the comparisons ask, how answers are read, and that figures come to the right tables."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from loadtest.bench import questions, section, tensors, tools
from loadtest.bench.__main__ import COMPARISONS, main
from loadtest.bench.comparison import FIVEFOLD, BenchComparison, Contender, Workload
from loadtest.bench.contenders import ROWS_BESIDE_OTHERS
from loadtest.bench.questions import Question
from loadtest.bench.rates import BenchResult
from loadtest.bench.tensors import TENSORS_BESIDE_OTHERS
from loadtest.machine.programs import PEERS

from fivefold.serving.grpc.proto import inference_pb2 as wire

ROW = Question("row", np.arange(60, dtype="<f4").reshape(2, 30), np.array([[0.25, 0.75], [0.5, 0.5]]))


def test_every_goal_is_one_that_a_run_can_judge() -> None:
    for comparison in COMPARISONS:
        counts = {each.name: each.connections for each in comparison.workloads}
        for who in comparison.contenders:
            for workload, connections in who.goals:
                asked = next(each for each in comparison.workloads if each.name == workload)
                assert who.takes(asked), (who.name, workload)
                assert connections in counts[workload], (who.name, workload, connections)


def test_every_peer_is_there() -> None:
    for comparison in COMPARISONS:
        for who in comparison.contenders:
            assert not who.program or (PEERS / who.program).is_file()


def test_only_leaves_fivefold_and_no_comparison_of_it_alone() -> None:
    assert [who.name for who in TENSORS_BESIDE_OTHERS.chosen(["asgi"])] == [FIVEFOLD, "asgi"]
    assert TENSORS_BESIDE_OTHERS.chosen(["mosec"]) == []
    assert len(ROWS_BESIDE_OTHERS.chosen([])) == len(ROWS_BESIDE_OTHERS.contenders)


def test_a_comparison_that_has_none_of_the_names_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--comparison", "tensors", "--only", "mosec"]) == 1

    assert "tensors has none of mosec" in capsys.readouterr().err


def test_a_binary_request_has_its_shape_and_its_bytes() -> None:
    ask = questions.v2_binary(ROW, 2)
    head = int(ask.headers["inference-header-content-length"])

    (tensor,) = json.loads(ask.body[:head])["inputs"]
    assert tensor == {"name": "X", "shape": [2, 30], "datatype": "FP32", "parameters": {"binary_data_size": 240}}
    assert np.array_equal(np.frombuffer(ask.body, "<f4", offset=head).reshape(2, 30), ROW.rows)


def test_an_answer_is_read_whatever_its_output_is_called() -> None:
    body = json.dumps({"outputs": [{"name": "y", "shape": [1, 2], "data": [0.25, 0.75]}]}).encode()

    assert questions.v2(ROW, 1).read(body, {}).tolist() == [[0.25, 0.75]]


def test_a_message_is_never_taken_for_several(tmp_path: Path) -> None:
    """ghz reads a file as messages behind their lengths first: `\\n\\x05image…` is one of ten bytes to it."""
    for rows in (1, 2, 200):
        asked = Question("image", np.zeros((rows, 30), "<f4"), np.zeros((rows, 1)))
        message = questions.message(asked, rows)

        written = tools.payload(tmp_path / "m.bin", message).read_bytes()

        prefix = written[: -len(message)]
        assert written[len(prefix) :] == message
        assert sum((byte & 127) << 7 * at for at, byte in enumerate(prefix)) == len(message)
        assert [byte < 128 for byte in prefix] == [False] * (len(prefix) - 1) + [True]
    assert wire.ModelInferRequest.FromString(message).inputs[0].shape == [200, 30]


@pytest.mark.skipif(shutil.which("wrk") is None, reason="needs wrk")
def test_wrk_sends_the_body_as_it_is(tmp_path: Path) -> None:
    """Every byte, in a directory whose name has what a string of Lua would have to escape."""
    body = bytes(range(256))
    got: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"content-length: 256" in head.lower()
        got.append(await reader.readexactly(256))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async def serve() -> None:
        directory = tmp_path / 'a "b" \\ ü'
        directory.mkdir()
        ask = questions.HttpRequest("/", body, lambda *_: None, {"x": "y"})
        script = tools.script(directory / "ask.lua", ask)
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        command = ["wrk", "-t1", "-c1", "-d1s", "-s", str(script), f"http://127.0.0.1:{port}/"]
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        said, _ = await process.communicate()
        server.close()
        await server.wait_closed()
        assert got, said.decode()

    asyncio.run(serve())
    assert set(got) == {body}


def test_the_images_are_packed_and_their_means_are_right(tmp_path: Path) -> None:
    """The bundle opens with its self-test, and what is asked is sixteen images, over again from the first."""
    asked = questions.golden(tensors.make_bundle(tmp_path), tensors.BATCH)

    assert asked.model == tensors.IMAGE
    assert len(asked.block(1)) == 602_112
    assert asked.rows.shape == (16, 3, 224, 224)
    assert np.allclose(asked.rows.mean(axis=(2, 3), dtype=np.float64), asked.truth, atol=1e-6)
    assert np.array_equal(asked.rows[0], asked.rows[tensors.GOLDEN_ROWS])


def test_the_floor_answers_what_the_bare_server_does(tmp_path: Path) -> None:
    """The ready answers of `constant_` to JSON and to binary have `asgi_`'s bodies, and a head that fits."""
    bundle = tensors.make_bundle(tmp_path)
    asked = questions.golden(bundle, 1)
    ask = questions.v2_binary(asked, 1)
    (tmp_path / "body").write_bytes(ask.body)
    program = (
        "import sys, constant_, asgi_; body = open(sys.argv[1], 'rb').read();"
        "head = int(sys.argv[2]); found = constant_.whole(body);"
        "top, _, content = found.partition(b'\\r\\n\\r\\n');"
        "assert content == asgi_.answer_binary(body, head)[0], found;"
        "assert b'content-length: %d' % len(content) in top, top;"
        "assert top.startswith(b'HTTP/1.1 200 OK\\r\\n'), top"
    )
    environment = {
        "PYTHONPATH": str(PEERS),
        "PEER_MODEL": str(bundle.path / "model.onnx"),
        "PEER_MODEL_NAME": "image",
        "PEER_MODEL_INPUT": "X",
        "PEER_MODEL_OUTPUT": "means",
    }
    words = [str(tmp_path / "body"), ask.headers["inference-header-content-length"]]
    done = subprocess.run([sys.executable, "-c", program, *words], env=environment, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr


def test_a_table_has_cpu_where_the_comparison_asks_for_it_and_goes_between_its_own_markers(tmp_path: Path) -> None:
    workload = Workload("w", "A workload", 1, connections=(1,))
    us = Contender(FIVEFOLD, "Fivefold", "")
    other = Contender("other", "Other", "other_.py", goals={("w", 1): 2.0})
    comparison = BenchComparison("c", "spot", (workload,), (us, other), lambda _: ROW, cpu=True)
    profile = {"cores": [0], "cpu": "a cpu", "kernel": "6", "python": "3", "versions": {}}
    result = BenchResult(comparison, [us, other], 1, 1, profile)
    result.add(us, workload, 1, 300.0, 0.002)
    result.add(other, workload, 1, 12.5, 0.05)
    document = tmp_path / "m.md"
    document.write_text(
        "a\n<!-- bench:begin -->\nkept\n<!-- bench:end -->\n<!-- spot:begin -->\nbefore\n<!-- spot:end -->\n"
    )

    section.write(result, document)

    text = document.read_text()
    assert "| **Fivefold** | 300 | 1 | 2.00 |" in text
    assert "| Other | 12.5 | 24.0 (24.0 to 24.0) | 50.0 |" in text
    assert "kept" in text
    assert "before" not in text
    assert section.verdicts(result).startswith("met ")
    assert result.memory() is None
