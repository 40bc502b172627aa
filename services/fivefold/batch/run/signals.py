"""How a run is asked to end: SIGINT, SIGTERM or a hangup, noticed by whoever looks between two steps."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

from fivefold.core.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stop:
    """Whether the user asked for the end."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self, *_: object) -> None:
        """A signal handler."""
        self.asked = True

    def check(self) -> None:
        """Raise `Interrupted` before anything is scored."""
        if self.asked:
            raise Interrupted("cancelled", "stopped while the input was looked through")


@contextlib.contextmanager
def stopping() -> Iterator[Stop]:
    """For the length of a `with` those signals ask for the end; only the main thread may say so."""
    stop = Stop()
    # Under nohup a hangup is nobody's wish to stop.
    wanted = [signum for signum in SIGNALS if signum != signal.SIGHUP or signal.getsignal(signum) != signal.SIG_IGN]
    before = {signum: signal.signal(signum, stop) for signum in wanted}
    try:
        yield stop
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
