"""How a local run hears that it is to end: by signals, which wake whoever waits.

What the first and the second one mean is left to `lifecycle`.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
from collections.abc import Iterator

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """How often the user asked for the end, and a descriptor that wakes whoever waits for that."""

    def __init__(self) -> None:
        self.count = 0
        self.signum: int = signal.SIGINT
        """The first signal that asked for it."""
        self.fileno, self._write = os.pipe()
        os.set_blocking(self.fileno, False)
        os.set_blocking(self._write, False)

    def __call__(self, signum: int = signal.SIGINT, _: object = None) -> None:
        """Count one more; a signal handler."""
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

    def close(self) -> None:
        """Close both ends."""
        os.close(self.fileno)
        os.close(self._write)


@contextlib.contextmanager
def signals() -> Iterator[StopSignals]:
    """Count the signals of `STOP_SIGNALS`, for the length of a `with`; only the main thread may."""
    stop = StopSignals()
    before = {signum: signal.signal(signum, stop) for signum in STOP_SIGNALS}
    try:
        yield stop
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
        stop.close()
