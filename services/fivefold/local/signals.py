"""How a run hears that it is to end: by SIGINT, SIGTERM or SIGHUP, counted, and waking whoever waits.

One signal asks for the end, a second one for the end now. A run may give SIGHUP another meaning, as services do, which
it has as long as this is not its terminal that was closed. How a run ends is left to the run.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import threading
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """How often the user asked for the end, and a descriptor that wakes whoever waits for that."""

    def __init__(self) -> None:
        self.count = 0
        self.signum: int = signal.SIGINT
        """The first signal that asked for it."""
        self.on_hangup: Callable[[], object] | None = None
        """Called for each SIGHUP in place of counting it, unless that is the end of this process's terminal; from a
        signal handler, so it must not wait for anything."""
        self._terminal = _has_terminal()
        self.fileno, self._write = os.pipe()
        os.set_blocking(self.fileno, False)
        os.set_blocking(self._write, False)

    @property
    def asked(self) -> bool:
        """Whether the run is to end."""
        return self.count > 0

    @property
    def now(self) -> bool:
        """Whether it is to end without finishing what it has begun."""
        return self.count > 1

    def __call__(self, signum: int = signal.SIGINT, _: object = None) -> None:
        """Count one more; a signal handler."""
        if signum == signal.SIGHUP and self.on_hangup is not None and _has_terminal() == self._terminal:
            self.on_hangup()
            return
        if not self.count:
            self.signum = signum
        self.count += 1
        with contextlib.suppress(BlockingIOError):
            os.write(self._write, b"!")

    def wait(self, seconds: float, count: int = 1) -> bool:
        """Whether the end was asked for `count` times, at the latest after `seconds`."""
        if self.count < count:
            with selectors.DefaultSelector() as selector:
                selector.register(self.fileno, selectors.EVENT_READ)
                if selector.select(seconds):
                    with contextlib.suppress(BlockingIOError):
                        os.read(self.fileno, 64)
        return self.count >= count

    @contextlib.contextmanager
    def waking(self, loop: AbstractEventLoop) -> Iterator[None]:
        """Have signals wake an event loop, which waits for the descriptor, for the length of a `with`.

        A handler runs between two steps of Python. One whose signal comes as the loop is about to wait would run when
        something else wakes the loop, which may be never. Elsewhere than in the main thread no handler runs.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        with _listening(lambda _: loop.call_soon_threadsafe(_nothing)):
            yield

    def close(self) -> None:
        """Close the descriptor; nobody may wait any more."""
        os.close(self.fileno)
        os.close(self._write)


def _has_terminal() -> bool:
    """Whether this process has a terminal that can still be opened: one that was closed cannot."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError:
        return False
    return True


@contextlib.contextmanager
def stopping(*, under_nohup: bool = True) -> Iterator[StopSignals]:
    """Count `STOP_SIGNALS` for the length of a `with`, and restore their handlers; only the main thread may.

    Where hangups were ignored before, as under nohup, they stay so; without `under_nohup` they count all the same.
    """
    wanted = [
        signum
        for signum in STOP_SIGNALS
        if not (under_nohup and signum == signal.SIGHUP and signal.getsignal(signum) == signal.SIG_IGN)
    ]
    stop = StopSignals()
    before = {signum: signal.signal(signum, stop) for signum in wanted}
    try:
        yield stop
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
        stop.close()


@contextlib.contextmanager
def ended_by_second(status: int, said: str, signums: Collection[int] = STOP_SIGNALS) -> Iterator[None]:
    """The second of these signals ends the process with `status` for the length of a `with`, in the middle of whatever
    it does, and `said` is written to standard error.

    For runs that may be cut off anywhere. Handlers have to be there already (`stopping`), and only the main thread may.
    They run between two steps of Python, and a call that takes long is one step: a thread hears of signals meanwhile.
    """
    count = 0

    def hear(heard: bytes) -> None:
        nonlocal count
        count += sum(signum in signums for signum in heard)
        if count > 1:
            with contextlib.suppress(OSError):
                os.write(2, said.encode())
            os._exit(status)

    with _listening(hear):
        yield


def _nothing() -> None:
    pass


_listeners: list[Callable[[bytes], object]] = []
"""What a thread calls with the numbers of the signals that have come, as long as there is any."""


@contextlib.contextmanager
def _listening(hear: Callable[[bytes], object]) -> Iterator[None]:
    """Have `hear` called by a thread for the length of a `with`; one within another shares its thread."""
    _listeners.append(hear)
    try:
        with contextlib.nullcontext() if len(_listeners) > 1 else _listener():
            yield
    finally:
        _listeners.remove(hear)


@contextlib.contextmanager
def _listener() -> Iterator[None]:
    listening, told = os.pipe()
    os.set_blocking(told, False)
    before = signal.set_wakeup_fd(told, warn_on_full_buffer=False)

    def listen() -> None:
        while heard := os.read(listening, 64):
            for hear in tuple(_listeners):
                hear(heard)

    listener = threading.Thread(target=listen, name="fivefold-signals", daemon=True)
    listener.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(told)
        listener.join()
        os.close(listening)
