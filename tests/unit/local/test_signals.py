"""Signals that ask for the end: counted, told apart, and given back."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from tests.support.score_commands import environment

from fivefold.local.signals import STOP_SIGNALS, stopping


@pytest.fixture(autouse=True)
def handlers() -> Iterator[dict[int, object]]:
    """Those before a test, which have to stand again after it.

    Whoever runs the tests under nohup, or in the background of a script, has some ignored: here none is.
    """
    outside = {signum: signal.signal(signum, signal.SIG_DFL) for signum in STOP_SIGNALS}
    before = {signum: signal.getsignal(signum) for signum in STOP_SIGNALS}
    yield before
    after = {signum: signal.getsignal(signum) for signum in STOP_SIGNALS}
    for signum, handler in outside.items():
        signal.signal(signum, handler)
    assert after == before


@pytest.mark.parametrize("signum", STOP_SIGNALS)
def test_each_signal_asks_for_the_end(signum: signal.Signals) -> None:
    """Once for the end, twice for the end now; the first one is remembered."""
    with stopping() as stop:
        assert (stop.asked, stop.now) == (False, False)
        signal.raise_signal(signum)
        assert (stop.asked, stop.now) == (True, False)
        signal.raise_signal(signal.SIGTERM)
        assert (stop.asked, stop.now, stop.count, stop.signum) == (True, True, 2, signum)


def test_a_signal_wakes_who_waits() -> None:
    """Long before the time is up."""
    with stopping() as stop:
        assert not stop.wait(0)
        threading.Timer(0.01, signal.pthread_kill, (threading.main_thread().ident, signal.SIGTERM)).start()

        assert stop.wait(60)
        assert not stop.wait(0, count=2)


def test_a_hangup_that_was_ignored_stays_ignored(handlers: dict[int, object]) -> None:
    """As under nohup; a run that wants to hear it all the same does."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with stopping() as stop:
        signal.raise_signal(signal.SIGHUP)
        assert not stop.asked
    with stopping(under_nohup=False) as stop:
        signal.raise_signal(signal.SIGHUP)
        assert stop.asked
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    signal.signal(signal.SIGHUP, handlers[signal.SIGHUP])  # type: ignore[arg-type]  # as it was


def test_handlers_are_restored_where_the_run_fails() -> None:
    """Whatever it raises."""
    with pytest.raises(KeyError), stopping():
        raise KeyError


TERMINAL = """
import os, pty, signal
from fivefold.local.signals import stopping

heard, tell = os.pipe()
pid, terminal = pty.fork()
if pid == 0:
    with stopping() as stop:
        stop.on_hangup = lambda: os.write(tell, b"h")
        os.write(tell, b"r")
        os._exit(7 if stop.wait(60) else 8)
assert os.read(heard, 1) == b"r"
os.kill(pid, signal.SIGHUP)
print(os.read(heard, 1))
os.close(terminal)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_a_hangup_may_mean_something_else_unless_the_terminal_has_gone() -> None:
    """A service reloads by it; who closes the terminal of a run ends the run."""
    done = subprocess.run(
        [sys.executable, "-c", TERMINAL], capture_output=True, text=True, timeout=60, check=True, env=environment()
    )

    assert done.stdout.split() == ["b'h'", "7"]


WAITING = """
import asyncio, os, signal, threading, time
from fivefold.local.signals import ended_by_second, stopping

async def serve(stop):
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    loop.add_reader(stop.fileno, asked.set)
    # To another thread than the loop's, which it then does not interrupt; nor does one that comes just before a wait.
    asking = lambda: signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    with stop.waking(loop):
        threading.Timer(0.2, asking).start()
        await asyncio.wait_for(asked.wait(), 30)

for status in (ended_by_second, None):
    begun = time.monotonic()
    with stopping() as stop:
        if status is None:
            asyncio.run(serve(stop))
        else:
            with ended_by_second(9, ""):
                asyncio.run(serve(stop))
    print(stop.count, time.monotonic() - begun < 20)
"""


def test_a_loop_that_waits_is_woken() -> None:
    """By a signal that came before it began to wait, with something else listening and without."""
    done = subprocess.run(
        [sys.executable, "-c", WAITING], capture_output=True, text=True, timeout=90, check=True, env=environment()
    )

    assert done.stdout.splitlines() == ["1 True", "1 True"]
