"""Where a model of the gRPC tests waits until the test lets it go on, so that a call can be caught in the act."""

import threading

opened = threading.Event()
waiting = threading.Semaphore(0)


def shut() -> None:
    """Let nobody through from now on, and forget who waited before."""
    opened.clear()
    while waiting.acquire(blocking=False):
        pass


def pass_through() -> None:
    """Say that somebody waits, and wait."""
    waiting.release()
    if not opened.wait(20):
        raise TimeoutError("the gate stayed shut")


def wait_for_one() -> None:
    """Return when one more caller waits at the gate."""
    assert waiting.acquire(timeout=20)
