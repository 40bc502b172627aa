"""The sandbox: code that hangs, exits, crashes or eats memory costs a sentence, never the program."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import fivefold
from fivefold.core.errors import BundleInvalid, ContractInvalid
from fivefold.packing import sandbox
from fivefold.packing.sandbox import Sandbox, SandboxEnded, Unportable

HERE = """
import os, signal, sys, threading, time
class Box:
    def __init__(self, *given):
        self.given = given
    def echo(self, *given):
        return self.given, given, os.getpid()
    def where(self):
        return os.getcwd(), dict(os.environ), list(sys.path)
    def run(self, text):
        exec(text, globals())
"""


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A sandbox with a class that runs what it is told to."""
    (tmp_path / "boxed_x.py").write_text(HERE)
    monkeypatch.syspath_prepend(str(tmp_path))
    with Sandbox("boxed_x:Box", 1, "two", seconds=20) as made:
        yield made


def test_an_object_lives_in_another_process_between_calls(box: Sandbox) -> None:
    """Arguments and answers travel; the same child answers until it ends."""
    first, second = box.call("echo", 3), box.call("echo", [4])

    assert first[:2] == ((1, "two"), (3,))
    assert second[:2] == ((1, "two"), ([4],))
    assert first[2] == second[2] != os.getpid()


def test_the_child_stands_where_the_parent_stands(
    box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folder, environment and import path of the moment, though its parent process may be older."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FIVEFOLD_TEST_SAND", "yes")

    folder, environment, path = box.call("where")

    assert (folder, environment["FIVEFOLD_TEST_SAND"]) == (str(tmp_path), "yes")
    assert path[0] == str(tmp_path)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("os.abort()", "SIGABRT"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("os.kill(os.getpid(), signal.SIGTERM)", "SIGTERM"),
        ("print('deep trouble', file=sys.stderr, flush=True); os._exit(3)", "exit status 3: deep trouble"),
        ("os._exit(0)", "exit status 0"),
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
    ],
)
def test_a_child_that_ends_is_a_sentence(box: Sandbox, code: str, words: str) -> None:
    """How it ended, and what it printed last; the next call has a new child."""
    with pytest.raises(SandboxEnded, match=words):
        box.call("run", code)

    assert not box.running
    assert box.call("echo")[0] == (1, "two")


def test_a_call_that_never_returns_is_ended_with_what_it_started(box: Sandbox, tmp_path: Path) -> None:
    """The time limit names its option; processes that the model started end with it."""
    box.call("echo")
    box.seconds = 1
    mark = tmp_path / "pid"
    code = f"import subprocess; p = subprocess.Popen(['sleep', '60']); open({str(mark)!r}, 'w').write(str(p.pid))"

    with pytest.raises(SandboxEnded, match=r"more than 1 s \(--time-limit\)"):
        box.call("run", code + "; p.wait()")

    assert _gone(int(mark.read_text()))


def test_a_loop_in_native_code_is_ended_too(box: Sandbox) -> None:
    """No signal handler of Python's would run in there."""
    box.call("echo")
    box.seconds = 1

    with pytest.raises(SandboxEnded, match="--time-limit"):
        box.call("run", "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64)); sum(iter(int, 1))")


@pytest.mark.full
def test_memory_is_limited(tmp_path: Path, box: Sandbox) -> None:
    """A child that takes more than it may is ended before the machine suffers."""
    box.memory = sandbox.resident(os.getpid()) + (600 << 20)

    with pytest.raises(SandboxEnded, match=r"GiB of memory \(--memory-limit\)"):
        box.call("run", "x = []\nwhile True:\n    x.append(bytearray(b'1') * (32 << 20)); time.sleep(0.02)")


def test_errors_arrive_as_what_they_are(box: Sandbox) -> None:
    """Ours with path and help, others with their text, sys.exit as a refusal."""
    with pytest.raises(ContractInvalid, match="x: no") as caught:
        box.call(
            "run", "from fivefold.core.errors import ContractInvalid\nraise ContractInvalid('no', path='x', help='y')"
        )
    assert caught.value.help == "y"
    with pytest.raises(RuntimeError, match="ZeroDivisionError: division by zero"):
        box.call("run", "1 / 0")
    with pytest.raises(BundleInvalid, match=r"ended the program: sys.exit\(0\)"):
        box.call("run", "sys.exit(0)")
    with pytest.raises(KeyboardInterrupt):
        # What a script has started in its background is born with SIGINT ignored.
        box.call("run", "signal.signal(signal.SIGINT, signal.default_int_handler); signal.raise_signal(signal.SIGINT)")


def test_what_cannot_travel_is_refused_with_the_way_on() -> None:
    """A model that holds a lock or an open file is packed from its file."""
    with Sandbox("builtins:list", [threading.Lock()]) as made, pytest.raises(Unportable, match="carried") as caught:
        made.call("copy")

    assert "joblib.dump" in (caught.value.help or "")


def test_a_child_ends_with_its_sandbox(box: Sandbox) -> None:
    """Also one that is in the middle of something."""
    pid = box.call("echo")[2]

    box.close()

    assert _gone(pid)


@pytest.mark.full
def test_a_forking_process_that_was_killed_is_started_again(box: Sandbox) -> None:
    """It is nobody's last hope."""
    box.call("echo")
    box.close()
    if sandbox._template is not None:
        os.kill(sandbox._template[0].pid, signal.SIGKILL)
        sandbox._template[0].wait()

    assert box.call("echo")[0] == (1, "two")


def test_a_child_may_be_an_interpreter_of_its_own(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on systems where forking is not safe."""
    monkeypatch.setattr(sys, "platform", "darwin")

    assert box.call("echo", 5)[:2] == ((1, "two"), (5,))
    with pytest.raises(SandboxEnded, match="exit status 1"):
        box.call("run", "os._exit(1)")


def test_printing_does_not_reach_the_parent(box: Sandbox, capfd: pytest.CaptureFixture[str]) -> None:
    """What a model prints while it is packed is nobody's output."""
    box.call("run", "print('loud'); os.system('echo louder')")

    assert "loud" not in "".join(capfd.readouterr())


@pytest.mark.full
@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("import sys\n        sys.exit()", "SystemExit"),
        ("import os\n        os._exit(0)", "the model called os._exit"),
        ("import ctypes\n        ctypes.CDLL(None)._exit(0)", "exit status 0"),
        ("import time\n        time.sleep(600)", "--time-limit"),
    ],
)
def test_a_class_that_ends_or_hangs_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, contract_of: Any, body: str, words: str
) -> None:
    """Nothing is written, and nothing is silent."""
    name = f"ending_{abs(hash(words)) % 10**6}"
    (tmp_path / f"{name}.py").write_text(f"class Model:\n    def predict(self, columns):\n        {body}\n")
    monkeypatch.chdir(tmp_path)

    with pytest.raises(BundleInvalid, match=words):
        fivefold.pack(f"{name}:Model", contract_of(), tmp_path / "b", time_limit=5 if "limit" in words else 200)

    assert not (tmp_path / "b").exists()


def _gone(pid: int) -> bool:
    """Whether the process is dead within ten seconds; a zombie that init has not yet taken counts as dead."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False
