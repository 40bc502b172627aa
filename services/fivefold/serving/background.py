"""Tasks that live as long as the process: none of them ends unheard.

    periodic   what repeats by itself (metrics, the count of replicas, the drain's sign): begun again after a pause
    vital      what answers requests: without it the process is a port that nobody answers at, so it ends, and its
               supervisor starts another one

Either way the log says which task, and why. Threads of the guard hold to the same by themselves (`guard`); what a
single request starts is that request's own.
"""

from __future__ import annotations

import asyncio
import logging
import os
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from fivefold.core import redact, telemetry

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
"""Between two beginnings of a periodic task that keeps ending, in seconds; it doubles from one to the other."""

EXIT_STATUS: Final = 70
"""That of a process whose vital task has ended (`EX_SOFTWARE`)."""

Make = Callable[[], Awaitable[object]]


def leave() -> None:
    """End the process now, whatever it is doing: an orderly end would wait for what has just died."""
    logging.shutdown()
    os._exit(EXIT_STATUS)


class Background:
    """The tasks of one process. One event loop drives them."""

    def __init__(self, end: Callable[[], object] | None = None) -> None:
        """`end` is called when a vital task has ended; None: `leave`."""
        self._end = end or leave
        self._tasks: set[asyncio.Task[None]] = set()
        self._leaving = False

    def periodic(self, name: str, make: Make) -> None:
        """Run what `make` gives; when it raises, begin again with another one. A return is its own end."""
        self._add(self._repeat(name, make), name)

    def vital(self, name: str, make: Make) -> None:
        """Run what `make` gives; when it ends in any way before `expect_end`, end the process."""
        self._add(self._watch(name, make), name)

    def expect_end(self) -> None:
        """What ends from now on was told to."""
        self._leaving = True

    async def close(self) -> None:
        """Cancel all tasks, and return when they have ended."""
        self._leaving = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _add(self, work: Coroutine[Any, Any, None], name: str) -> None:
        # The loop itself keeps weak references only, and a task that is collected is one that never ends.
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _repeat(self, name: str, make: Make) -> None:
        pause = FIRST_PAUSE
        while True:
            begun = asyncio.get_running_loop().time()
            try:
                await make()
            except asyncio.CancelledError:
                if self._cancelled():
                    raise
                _tell(name, "was cancelled; it begins again")
            except Exception as error:
                _tell(name, "has died; it begins again", error)
            else:
                return
            if asyncio.get_running_loop().time() - begun > LONGEST_PAUSE:
                pause = FIRST_PAUSE
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, 2 * pause)

    async def _watch(self, name: str, make: Make) -> None:
        error: BaseException | None = None
        try:
            await make()
        except asyncio.CancelledError as cancelled:
            if self._cancelled():
                raise
            error = cancelled
        except BaseException as raised:
            # SystemExit too: uvicorn raises it, and the loop would pass it on to whoever runs it.
            error = raised
        if not self._leaving:
            _tell(name, "has ended; so does the process", error)
            self._end()

    def _cancelled(self) -> bool:
        """Whether it is this task that is cancelled, and not what it waits for."""
        task = asyncio.current_task()
        return self._leaving or (task is not None and task.cancelling() > 0)


def _tell(name: str, what: str, error: BaseException | None = None) -> None:
    line = {"event": "background", "task": name, "error": f"the task {name!r} {what}"}
    if error is not None:
        line["exception"] = redact.text("".join(traceback.format_exception(error)))
    telemetry.log(logging.ERROR, line)
