"""Whatever a model does instead of answering, it fails alone: the process, and the next request, notice nothing."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tests.support.bundles import write_python

from fivefold.core.errors import BundleInvalid, ModelFailed
from fivefold.core.readers.records import Records
from fivefold.core.runtime.model_code import Escaped, from_outside
from fivefold.core.runtime.scorer import Scorer

ODD = 13.0
"""The value at which the models here do what they should not."""

HEAD = """
import asyncio, concurrent.futures, ctypes, multiprocessing, os, signal, subprocess, sys, _thread, threading
import numpy as np

class Lazy:
    def __array__(self, *_, **__):
        raise SystemExit("looked at")

class Spy(np.ndarray):
    def __array_finalize__(self, other):
        pass
    def reshape(self, *_):
        raise KeyboardInterrupt
    astype = __getitem__ = __eq__ = reshape

class Trap(dict):
    def __getitem__(self, name):
        raise GeneratorExit

class Sum:
    def predict(self, columns):
        total = columns["a"] + columns["b"]
        good = {"total": total, "label": (total > 0).astype(int)}
        if columns["a"][0] != 13:
            return good
"""


def model(*lines: str) -> bytes:
    return (HEAD + "".join(f"        {line}\n" for line in lines) + "        return good\n").encode()


RAISED = {
    "exit": "sys.exit(3)",
    "SystemExit": "raise SystemExit",
    "KeyboardInterrupt": "raise KeyboardInterrupt",
    "CancelledError": "raise asyncio.CancelledError",
    "future cancelled": "raise concurrent.futures.CancelledError",
    "GeneratorExit": "raise GeneratorExit",
    "BaseException": "raise BaseException('x')",
    "StopIteration": "raise StopIteration",
    "StopAsyncIteration": "raise StopAsyncIteration",
    "MemoryError": "raise MemoryError",
    "too much memory": "np.empty(1 << 60)",
    "RecursionError": "f = lambda: f(); f()",
    "an own class": "raise type('Own', (BaseException,), {})()",
    "an exception without text": "raise type('E', (Exception,), {'__str__': lambda self: 1 / 0})()",
    "one of ours": "from fivefold.core.errors import AccessError; raise AccessError('forbidden', 'no')",
    "another's data": "from fivefold.core.errors import ContractError as E; raise E('not_in_enum', 'x', path='y')",
    "SIGINT": "signal.raise_signal(signal.SIGINT)",
    "SIGTERM": "signal.raise_signal(signal.SIGTERM)",
    "kill": "os.kill(os.getpid(), signal.SIGTERM)",
    "kill the parent": "os.kill(os.getppid(), signal.SIGKILL)",
    "kill the group": "os.killpg(os.getpgrp(), signal.SIGKILL)",
    "kill everybody": "os.kill(-1, signal.SIGKILL)",
    "kill in a library": "import threading as t; [os.kill(os.getpid(), signal.SIGHUP) for _ in (1,)]",
    "interrupt_main": "_thread.interrupt_main()",
    "pthread_kill": "signal.pthread_kill(threading.get_ident(), signal.SIGTERM)",
    "_exit": "os._exit(3)",
    "abort": "os.abort()",
    "exec": "os.execl('/bin/true', 'true')",
}

GIVEN = {
    "a lazy array": "return good | {'total': Lazy()}",
    "a trap": "return Trap(good)",
    "None": "return None",
    "a mask": "return good | {'total': np.ma.masked_equal(good['total'], good['total'][0])}",
}


def ask(scorer: Scorer, a: float) -> list[dict[str, object]]:
    given = Records(scorer.contract.inputs).read([{"a": a, "b": 1.0}]).accept()
    return scorer.score(given).to_records()


@pytest.mark.parametrize("thread", ["main", "other"])
@pytest.mark.parametrize("case", RAISED | GIVEN)
def test_a_model_fails_alone(case: str, thread: str, tmp_path) -> None:
    """In the main thread, where signals arrive, and in another; the next request is answered."""
    line = (RAISED | GIVEN)[case]
    with Scorer.open(write_python(tmp_path / "b", model(line))) as scorer:
        asking = ask
        if thread == "other":
            pool = ThreadPoolExecutor(1)
            asking = lambda *given: pool.submit(ask, *given).result()  # noqa: E731  # as short as it is
        with pytest.raises(ModelFailed) as caught:
            asking(scorer, ODD)

        assert (caught.value.code, str(caught.value)) == ("model_failed", "the model 'demo' failed on this input")
        assert ask(scorer, 1.0) == [{"total": 2.0, "label": 1}]


def test_an_array_of_a_class_of_its_own_is_read_as_an_array(tmp_path) -> None:
    """Nothing that the class overrides runs afterwards, where it would be somebody else's failure."""
    with Scorer.open(write_python(tmp_path / "b", model("return good | {'total': total.view(Spy)}"))) as scorer:
        assert ask(scorer, ODD) == [{"total": 14.0, "label": 1}]


def test_the_model_s_own_children_end_as_they_like(tmp_path) -> None:
    """A process that it starts, or forks, is no part of this one."""
    body = (
        "child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)",
        "os.kill(child.pid, signal.SIGTERM); assert child.wait() == -signal.SIGTERM; child.stdin.close()",
        "pid = os.fork()",
        "if pid == 0: os._exit(7)",
        "assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7",
        "os.kill(os.getpid(), 0)",
    )
    with Scorer.open(write_python(tmp_path / "b", model(*body))) as scorer:
        assert ask(scorer, ODD) == [{"total": 14.0, "label": 1}]


@pytest.mark.parametrize("line", ["signal.alarm(1)", "signal.setitimer(signal.ITIMER_REAL, 1)"])
def test_an_alarm_that_nobody_hears_would_end_the_process(line: str, tmp_path) -> None:
    before = signal.signal(signal.SIGALRM, signal.SIG_DFL)
    try:
        with Scorer.open(write_python(tmp_path / "b", model(line))) as scorer, pytest.raises(ModelFailed):
            ask(scorer, ODD)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_everybody_else_s_signals_arrive(tmp_path) -> None:
    """The process may signal and end itself; only bundles' modules may not."""
    with Scorer.open(write_python(tmp_path / "b")):
        heard: list[int] = []
        before = signal.signal(signal.SIGUSR1, lambda signum, _: heard.append(signum))
        try:
            signal.raise_signal(signal.SIGUSR1)
            os.kill(os.getpid(), signal.SIGUSR1)
        finally:
            signal.signal(signal.SIGUSR1, before)

    assert heard == [signal.SIGUSR1] * 2


@pytest.mark.parametrize("handler", ["python's", "ours", "a method", "an exit"])
def test_ctrl_c_while_a_model_runs_is_not_the_model_s_failure(handler: str, tmp_path) -> None:
    """The user's signal ends what the user sees, whoever handles it."""

    class Asked(BaseException):
        def __init__(self, *_: object) -> None:
            raise KeyboardInterrupt

        @staticmethod
        def method(*_: object) -> None:
            raise KeyboardInterrupt

    def ours(*_: object) -> None:
        raise KeyboardInterrupt

    def leave(*_: object) -> None:
        sys.exit(1)

    handlers = {"python's": signal.default_int_handler, "ours": ours, "a method": Asked.method, "an exit": leave}
    wanted = SystemExit if handler == "an exit" else KeyboardInterrupt
    slow = model("import time", "time.sleep(20)")
    before = signal.signal(signal.SIGINT, handlers[handler])
    try:
        with Scorer.open(write_python(tmp_path / "b", slow)) as scorer:
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
            begun = time.monotonic()
            with pytest.raises(wanted):
                ask(scorer, ODD)
    finally:
        signal.signal(signal.SIGINT, before)

    assert time.monotonic() - begun < 10


def test_what_a_thread_raises_is_never_from_outside() -> None:
    """Signals are handled in the main thread."""

    def raised() -> BaseException:
        try:
            raise KeyboardInterrupt
        except BaseException as error:
            return error

    with ThreadPoolExecutor(1) as pool:
        error = pool.submit(raised).result()
        assert not pool.submit(from_outside, error).result()
    assert not from_outside(error), "a plain raise"
    assert not issubclass(Escaped, Exception)


def test_the_recursion_limit_is_everybody_s(tmp_path) -> None:
    """A model that makes it smaller would fail the requests of all others."""
    before = sys.getrecursionlimit()
    with Scorer.open(write_python(tmp_path / "b", model("sys.setrecursionlimit(200)"))) as scorer:
        ask(scorer, ODD)

    assert sys.getrecursionlimit() == before


def test_an_answer_is_not_changed_by_the_next_call(tmp_path) -> None:
    """A model may give the same memory each time."""
    source = b"""
import numpy as np
class Sum:
    total, label = np.zeros(1), np.zeros(1, int)
    def predict(self, columns):
        if len(columns["a"]) > 1:
            total = columns["a"] + columns["b"]
            return {"total": total, "label": (total > 0).astype(int)}
        self.total[:] = columns["a"] + columns["b"]
        self.label[:] = self.total > 0
        return {"total": self.total, "label": self.label}
"""
    with Scorer.open(write_python(tmp_path / "b", source)) as scorer:
        given = [Records(scorer.contract.inputs).read([{"a": a, "b": 0.0}]).accept() for a in (1.0, -2.0)]
        first, second = (scorer.score(columns) for columns in given)

        assert (first["total"][0], second["total"][0]) == (1.0, -2.0)


@pytest.mark.full
@pytest.mark.parametrize(
    "source",
    [b"import time\ntime.sleep(600)\n", b"while True:\n    pass\n", model().replace(b"!= 13", b"== 600 or time()")],
    ids=["import", "a loop", "the first row"],
)
def test_a_model_that_does_not_open_is_given_up(source: bytes, tmp_path) -> None:
    """With a sentence that names it and the setting; what hangs goes on in a thread that keeps nobody."""
    program = """
import sys, time
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import BundleInvalid
from fivefold.core.runtime.scorer import Scorer
try:
    Scorer.open(Bundle.open(sys.argv[1]), within_seconds=0.5)
except BundleInvalid as error:
    sys.exit(f"{error} {error.help}")
"""
    source = source.replace(b"import asyncio", b"from time import sleep\ntime = lambda: sleep(600)\nimport asyncio")
    bundle = write_python(tmp_path / "b", source)

    ended = subprocess.run(
        [sys.executable, "-c", program, str(bundle.path)], capture_output=True, text=True, timeout=60, check=False
    )

    assert ended.returncode == 1
    assert "the model 'demo' was not loaded and tested within 0.5 s" in ended.stderr
    assert "FIVEFOLD_SELF_TEST_SECONDS" in ended.stderr


@pytest.mark.parametrize("moment", ["import", "make"])
@pytest.mark.parametrize("line", ["raise KeyboardInterrupt", "os._exit(0)", "os.kill(os.getpid(), 15)", "sys.exit()"])
def test_a_class_that_would_end_the_process_is_refused(line: str, moment: str, tmp_path) -> None:
    """Opening it says so, as for any other class that cannot be made."""
    inside = line if moment == "import" else f"class Sum:\n    def __init__(self):\n        {line}\n"

    with pytest.raises(BundleInvalid, match="cannot be made") as caught:
        Scorer.open(write_python(tmp_path / "b", f"import os, sys\n{inside}".encode()), within_seconds=30)

    assert caught.value.path == "model/adder.py"


def test_text_that_is_more_than_text_is_text(tmp_path) -> None:
    """A subclass of `str` reaches no encoder, where its methods would run as ours."""
    from fivefold.core.fields.field import Field
    from fivefold.core.runtime.python_runner import _array

    class Loud(str):
        __slots__ = ()

        def encode(self, *_: object) -> bytes:
            raise SystemExit

        __str__ = __len__ = __hash__ = encode  # type: ignore[assignment]

    values = _array(np.array([Loud("a"), "b"], object), Field("x", "string"))

    assert [type(value) for value in values] == [str, str]
    assert list(values) == ["a", "b"]
