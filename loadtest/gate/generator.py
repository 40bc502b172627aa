"""The generator of the paired timing: a few connections, each with one request on its way, and exact times.

A closed loop on purpose. Its percentiles say nothing about users, who do not wait for one another; here only the ratio
of two servers counts, and a server that is always busy shows a slowdown undiluted. Honest percentiles are the load
test's.
"""

from __future__ import annotations

import contextlib
import gc
import selectors
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from loadtest.hotpath import HotpathRequest

CONNECTIONS: Final = 8

MIX: Final = (
    *("V1", "V2 JSON", "V2 binary") * 3,
    *("V1, thirty fields", "V2 JSON", "V1, refused"),
)
"""The order in which every connection asks, by the names of `hotpath.asks`: mostly one row, one in twelve refused."""

PATIENCE: Final = 20.0
"""Seconds without any answer after which a server counts as dead."""


@dataclass(frozen=True)
class Block:
    """What one block of requests showed: seconds, but for `requests`."""

    requests: int
    wall: float
    p50: float
    p99: float


@dataclass(frozen=True)
class Prepared:
    """A request's bytes, and whether it is to be answered with 200 or refused with 4xx."""

    data: bytes
    good: bool


def prepare(asks: Sequence[HotpathRequest]) -> list[Prepared]:
    """The mix as bytes for HTTP/1.1."""
    by_name = {ask.name: ask for ask in asks}
    out = []
    for name in MIX:
        ask = by_name[name]
        lines = [f"POST {ask.target} HTTP/1.1", "host: localhost", f"content-length: {len(ask.body)}"]
        lines += [f"{header}: {value}" for header, value in ask.headers]
        out.append(Prepared("\r\n".join((*lines, "", "")).encode() + ask.body, ask.good))
    return out


class Connection:
    """One keep-alive connection and the request on its way."""

    def __init__(self, address: tuple[str, int], mix: Sequence[Prepared], offset: int) -> None:
        self.socket = socket.create_connection(address, timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._mix, self._next = mix, offset
        self._got = b""
        self._good = True
        self._asked = 0.0

    def ask(self) -> None:
        """Send the next request."""
        prepared = self._mix[self._next % len(self._mix)]
        self._next += 1
        self._good = prepared.good
        self._asked = time.perf_counter()
        self.socket.sendall(prepared.data)

    def take(self) -> float | None:
        """Read what has come: the seconds that the answer took once it is whole, before that None.

        Raises `ConnectionError` for an answer with another status than the request is due.
        """
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed the connection")
        self._got += data
        size = whole(self._got)
        if size is None:
            return None
        status, self._got = self._got[9:12], self._got[size:]
        if (status == b"200") != self._good or (not self._good and status[:1] != b"4"):
            raise ConnectionError(f"a request that should be {'good' if self._good else 'refused'} got {status!r}")
        return time.perf_counter() - self._asked


def whole(data: bytes) -> int | None:
    """The length of the answer that the bytes begin with, or None while it is not there in full.

    Every answer must carry its content-length; raises `ConnectionError` for one that does not.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = data[:end].lower()
    at = head.find(b"\r\ncontent-length:")
    if at < 0:
        raise ConnectionError(f"an answer without content-length: {data[:end]!r}")
    size = end + 4 + int(head[at + 17 :].split(b"\r\n", 1)[0])
    return size if len(data) >= size else None


def ask_for(seconds: float, address: tuple[str, int], mix: Sequence[Prepared]) -> Block:
    """One block; raises `ConnectionError` for a wrong answer, or for none at all within `PATIENCE`."""
    took: list[float] = []
    with contextlib.ExitStack() as opened:
        selector = opened.enter_context(selectors.DefaultSelector())
        connections = []
        for index in range(CONNECTIONS):
            connection = Connection(address, mix, index * len(mix) // CONNECTIONS)
            opened.callback(connection.socket.close)
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            connections.append(connection)
        gc.collect()
        gc.disable()
        opened.callback(gc.enable)
        begun = time.perf_counter()
        last = begun + seconds
        left = len(connections)
        for connection in connections:
            connection.ask()
        while left:
            ready = selector.select(PATIENCE)
            if not ready:
                raise ConnectionError(f"no answer within {PATIENCE:.0f} s")
            for key, _ in ready:
                done = key.data.take()
                if done is None:
                    continue
                took.append(done)
                if time.perf_counter() < last:
                    key.data.ask()
                else:
                    left -= 1
        wall = time.perf_counter() - begun
    p50, p99 = np.quantile(took, (0.5, 0.99))
    return Block(len(took), wall, float(p50), float(p99))
