"""A network between a device and a hub that is down, or cuts connections anywhere: before, in and behind a message.

A connection is cut after a number of bytes drawn for it, of what it carries either way, so a batch may have arrived
without its reply. Runs as a thread; what passes through is not looked at.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections import Counter
from typing import Final

DOWN: Final = "down"
TORN: Final = "torn"
CLEAR: Final = "clear"


class TornNetwork:
    """A forwarder from a port of its own to `upstream` (a port); `state` may change at any time."""

    def __init__(self, upstream: int, seed: int) -> None:
        self.upstream = upstream
        self.state = DOWN
        self.cuts: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self.port = 0
        self._thread = threading.Thread(target=self._run, daemon=True, name="torn-network")
        self._thread.start()
        self._ready.wait()

    def set(self, state: str) -> None:
        """Another state; going down cuts what is open."""
        self.state = state
        if state == DOWN:
            self._loop.call_soon_threadsafe(self._cut_all)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._connection, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        self._cut_all()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.05))
        self._loop.close()

    def _cut_all(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.state == DOWN or (self.state == TORN and self._random.random() < 0.2):
            self.cuts["refused"] += 1
            writer.transport.abort()
            return
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.upstream)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, up_writer}
        torn = self.state == TORN
        # A batch is some tens of kilobytes, its reply some hundred bytes.
        up = self._random.randrange(100_000) if torn and self._random.random() < 0.5 else None
        down = self._random.randrange(1_500) if torn and up is None else None
        ways = [
            asyncio.ensure_future(self._carry(reader, up_writer, up, "on the way up")),
            asyncio.ensure_future(self._carry(up_reader, writer, down, "on the way down")),
        ]
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        for end in (writer, up_writer):
            self._open.discard(end)
            end.transport.abort()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int | None, where: str
    ) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            while some := await reader.read(16_384):
                if limit is not None and len(some) >= limit:
                    writer.write(some[:limit])
                    await writer.drain()
                    self.cuts[where] += 1
                    return
                limit = None if limit is None else limit - len(some)
                writer.write(some)
                await writer.drain()
