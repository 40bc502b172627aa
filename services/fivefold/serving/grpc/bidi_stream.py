"""One bidirectional stream: messages in, one answer for each, in their order.

At most `INFLIGHT` messages of a stream are in work or wait for their turn to be sent; while there are that many none is
read, so gRPC's own flow control holds the client back. An open stream without a message costs nothing and counts as no
load. What one message means, and that its errors are answers, is left to `servicer`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from fivefold.serving.grpc.call import Context

INFLIGHT: Final = 8
"""Enough that reading, scoring in a thread and sending overlap; few enough that no stream crowds out the others."""


class Streams:
    """The open streams of a server, and how they end when it drains."""

    def __init__(self) -> None:
        self._readers: set[asyncio.Task[None]] = set()
        self._drained = False

    def drain(self) -> None:
        """Read no further message; what has been read is still answered."""
        self._drained = True
        for reader in self._readers:
            reader.cancel()

    async def run(
        self, answer: Callable[[bytes], Awaitable[bytes]], requests: AsyncIterator[bytes], context: Context
    ) -> bool:
        """Answer the stream's messages until the client has sent its last one: True; False where a drain ended it.

        `answer` turns every error into an answer. Cancelling this cancels what is in work.
        """
        answers: asyncio.Queue[asyncio.Task[bytes] | None] = asyncio.Queue()
        room = asyncio.Semaphore(INFLIGHT)
        reader = asyncio.create_task(_read(answer, requests, answers, room))
        self._readers.add(reader)
        current: asyncio.Task[bytes] | None = None
        try:
            if self._drained:
                reader.cancel()
            # A drain may cancel the reader before it has begun, hence the mark at the end is set from here.
            reader.add_done_callback(lambda _: answers.put_nowait(None))
            while (current := await answers.get()) is not None:
                await context.write(await current)
                room.release()
            if reader.cancelled():
                return False
            reader.result()
            return True
        finally:
            self._readers.discard(reader)
            reader.cancel()
            left = [current] if current is not None else []
            while not answers.empty():
                task = answers.get_nowait()
                if task is not None:
                    left.append(task)
            for task in left:
                task.cancel()


async def _read(
    answer: Callable[[bytes], Awaitable[bytes]],
    requests: AsyncIterator[bytes],
    answers: asyncio.Queue[asyncio.Task[bytes] | None],
    room: asyncio.Semaphore,
) -> None:
    await room.acquire()
    async for raw in requests:
        answers.put_nowait(asyncio.ensure_future(answer(raw)))
        await room.acquire()
