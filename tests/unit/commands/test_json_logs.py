"""What processes print as JSON records: real ones, whose every line is parsed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fivefold.commands import json_logs
from fivefold.core.log_lines import LogRecords
from fivefold.core.settings import SettingsError

WRAPPED = (sys.executable, "-m", "fivefold.commands.json_logs")
JSON = {"FIVEFOLD_LOG_FORMAT": "json"}


def environ(**more: str) -> dict[str, str]:
    """This process's, without what is asked about."""
    names = ("FIVEFOLD_LOG_FORMAT", json_logs.INSIDE, "KUBERNETES_SERVICE_HOST")
    return {name: value for name, value in os.environ.items() if name not in names} | more


def ran(*command: str, **more: str) -> tuple[int, list[dict[str, Any]], str]:
    """Exit status, records and standard error of a command."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environ(**more))
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_everything_that_a_process_prints_is_a_record() -> None:
    """Standard error too, a traceback as one, what a child and what no Python writes; the exit status is its own."""
    program = (
        "import os, subprocess, sys; print('out'); print('err', file=sys.stderr); os.write(2, b'raw\\xff\\n');"
        "subprocess.run(['sh', '-c', 'echo child']); 1 / 0"
    )
    status, records, beside = ran(*WRAPPED, sys.executable, "-c", program, KUBERNETES_SERVICE_HOST="10.0.0.1")

    assert status == 1
    assert not beside
    assert [record["message"] for record in records] == [
        *("out", "err", "raw\\xff", "child", "ZeroDivisionError: division by zero"),
    ]
    assert '"<string>", line 1' in records[-1]["exception"]
    assert {record["pod"] for record in records} == {os.uname().nodename}


@pytest.mark.parametrize(("program", "status"), [("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)])
def test_the_exit_status_is_the_commands(program: str, status: int) -> None:
    """Of a signal, as a shell has it: a Job's policy goes by it."""
    assert ran(*WRAPPED, "sh", "-c", program)[0] == status


def test_a_command_that_is_not_there_is_told_as_a_record() -> None:
    """With a shell's status."""
    status, (record,), _ = ran(*WRAPPED, "/nowhere/program")

    assert status == 127
    assert record["level"] == "error"
    assert "/nowhere/program: No such file" in record["message"]


@contextmanager
def started(*command: str, **more: str) -> Iterator[subprocess.Popen[str]]:
    """A process that prints a line when it is up."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ(**more)) as process:
        try:
            yield process
        finally:
            process.kill()


HEARS = (
    "import signal, sys, time\n"
    "heard = []\n"
    "for name in ('SIGTERM', 'SIGINT', 'SIGUSR1'):\n"
    "    signal.signal(getattr(signal, name), lambda number, _: heard.append(number))\n"
    "print('up', flush=True)\n"
    "while not heard: signal.pause()\n"
    "print(f'heard {heard}', flush=True)\n"
    "sys.exit(3)\n"
)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_is_passed_on_once_and_the_last_words_are_read(number: int) -> None:
    """A drain begins by it; the process ends when it wants to."""
    with started(*WRAPPED, sys.executable, "-c", HEARS) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["message"] == "up"
        process.send_signal(number)
        rest = [json.loads(line)["message"] for line in process.stdout]

        assert rest == [f"heard [{int(number)}]"]
        assert process.wait(60) == 3


LINES = 20_000
DIES = (
    f"import os, sys\nfor number in range({LINES}): print('line', number)\n"
    "os.write(1, b'\\xff\\x00{\"a\": \\n\\xc3')\nos.kill(os.getpid(), 9)\n"
)


@pytest.mark.parametrize("wait", [0, 3])
def test_no_line_is_lost_when_the_command_dies(wait: float) -> None:
    """Nor one without an end, nor garbage; also where whoever reads begins after it has died."""
    with started(*WRAPPED, sys.executable, "-c", DIES) as process:
        assert process.stdout is not None
        if wait:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(wait)
        *lines, garbage, last = [json.loads(line)["message"] for line in process.stdout]

        assert lines == [f"line {number}" for number in range(LINES)]
        assert garbage == '\\xff\x00{"a":'
        assert last == "\\xc3"
        assert process.wait(60) == 137


def test_the_last_line_is_read_although_another_process_holds_the_pipe() -> None:
    """What the command has left there, whole or not; what others write for ever is not waited for."""
    program = "yes busy & echo $!; printf 'no end'; exit 4"
    with started(*WRAPPED, "sh", "-c", program) as process:
        assert process.stdout is not None
        messages = [json.loads(line)["message"] for line in process.stdout]

        assert process.wait(60) == 4
    with contextlib.suppress(ProcessLookupError):
        os.kill(int(next(each for each in messages if each.isdigit())), signal.SIGKILL)
    assert any("no end" in each for each in messages)


@given(st.lists(st.binary(max_size=300), max_size=20))
@settings(max_examples=200, deadline=None)
def test_garbage_ends_no_reading(lines: list[bytes]) -> None:
    """Whatever bytes there are become records, which JSON can read."""
    records = LogRecords("program")
    for line in lines:
        for record in json_logs._fed(records, line):
            assert {"level", "message"} <= json.loads(record).keys()


@pytest.mark.parametrize("depth", [500, 2_000, 100_000])
def test_a_line_of_brackets_ends_no_reading(depth: int) -> None:
    """Deeper than a parser goes."""
    for line in (b'{"a":' * depth + b"1" + b"}" * depth, b'{"a":' + b"[" * depth + b"]" * depth + b"}"):
        for record in json_logs._fed(LogRecords("program"), line):
            assert json.loads(record)


def test_a_child_that_outlives_its_parent_keeps_nobody() -> None:
    """It holds the pipe; the command has ended, and so does its container."""
    status, records, _ = ran(*WRAPPED, "sh", "-c", "sleep 600 & echo $!")
    left = int(records[0]["message"])

    assert status == 0
    os.kill(left, signal.SIGKILL)


def test_a_service_of_ours_prints_records() -> None:
    """`fivefold cluster rayjob` outside of a cluster: its two lines for an error, and its exit status."""
    command = ("cluster", "secrets", "--name", "a")
    status, records, beside = ran(sys.executable, "-m", "fivefold", *command, **JSON)

    assert status == 1
    assert not beside
    assert [record["level"] for record in records] == ["error", "info"]
    assert "expected to run in a pod" in records[0]["message"]


def test_a_command_line_that_is_wrong_is_told_as_a_record() -> None:
    """A container that cannot start says why where the log is read."""
    status, records, _ = ran(sys.executable, "-m", "fivefold", "hub", "serve", "--nothing", **JSON)

    assert status == 2
    assert any("--nothing" in record["message"] or "required" in record["message"] for record in records)


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("serve", "bundles/demo"), True),
        (("stream", "--from", "a"), True),
        (("hub", "serve"), True),
        (("hub", "device", "list", "--json"), False),
        (("gateway", "--model", "m"), True),
        (("gateway", "status", "--data", "d"), False),
        (("cluster", "rayjob"), True),
        (("batch", "run"), True),
        (("batch", "submit"), False),
        (("serve", "--help"), False),
        (("--version",), False),
        ((), False),
    ],
)
def test_answers_stay_answers(words: tuple[str, ...], wanted: bool) -> None:
    """Whoever asks in a container gets what is asked for, and not records."""
    assert json_logs.asked(words, JSON) is wanted
    assert not json_logs.asked(words, {})
    assert not json_logs.asked(words, {**JSON, json_logs.INSIDE: "1"})


def test_a_format_that_is_none_is_refused() -> None:
    """Before anything starts."""
    with pytest.raises(SettingsError, match="expected text or json"):
        json_logs.asked(("serve",), {"FIVEFOLD_LOG_FORMAT": "xml"})
    done = subprocess.run(
        [sys.executable, "-m", "fivefold", "serve", "x"],
        capture_output=True, text=True, timeout=120, env=environ(FIVEFOLD_LOG_FORMAT="xml"),
    )  # fmt: skip
    assert done.returncode == 2
    assert "FIVEFOLD_LOG_FORMAT" in done.stderr


@pytest.mark.full
def test_ray_prints_records() -> None:
    """Its start, its own processes and what a worker of it writes, through the same pipe as in a pod."""
    with tempfile.TemporaryDirectory(prefix="ray") as short:
        _ray_prints_records(short)


def _ray_prints_records(directory: str) -> None:
    """A path of at most 107 characters, for Ray's sockets."""
    program = (
        "import sys, ray\n"
        "ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, object_store_memory=80 * 1024 * 1024,\n"
        f"         _temp_dir={directory!r})\n"
        "@ray.remote\n"
        "def says():\n"
        "    print('a worker says', file=sys.stderr)\n"
        "ray.get(says.remote())\n"
    )
    ray = {"RAY_LOG_TO_STDERR": "1", "RAY_BACKEND_LOG_JSON": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    status, records, beside = ran(*WRAPPED, sys.executable, "-c", program, **ray)

    assert status == 0, records
    assert not beside
    assert "a worker says" in {record["message"] for record in records}
    assert {"ray.raylet", "ray.gcs_server"} <= {record["logger"] for record in records}
