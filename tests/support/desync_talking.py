"""Clients that send bytes as they are, the answers they get, and whether those are in step."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import Any

from tests.support.desync_corpus import EVIL, NEXT, Case, post
from tests.support.http_calls import SECONDS

CLOSING = {"closing, then more", "HTTP/1.0"}
"""Cases that are answered, and whose connection ends by their own wish."""


@dataclass(frozen=True)
class Answer:
    """One whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def doubled(self) -> float | None:
        """The model's answer, if it is one."""
        try:
            return float(json.loads(self.body)["predictions"][0]["y"])
        except (ValueError, KeyError, TypeError):
            return None


def answers(data: bytes) -> list[Answer]:
    """All whole answers, interim ones left out; raises `AssertionError` for bytes that are none."""
    out = []
    while data:
        head, end, rest = data.partition(b"\r\n\r\n")
        if not end:
            break
        start, *lines = head.decode("latin-1").split("\r\n")
        assert start.startswith("HTTP/1.1 "), data[:200]
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        status = int(start.split(" ")[1])
        assert "transfer-encoding" not in headers
        length = int(headers.get("content-length", "0"))
        if len(rest) < length:
            break
        if status >= 200:
            out.append(Answer(status, headers, rest[:length]))
        data = rest[length:]
    return out


def judge(case: Case, statuses: tuple[int, ...], got: list[Answer], closed: bool, *, strict: bool) -> None:
    """Whether a case and the request behind it got what is theirs. `strict`: by the direct endpoint's own rules."""
    told = case.name, [(answer.status, answer.doubled) for answer in got], closed
    assert got, told
    assert got[0].status in statuses, told
    assert len(got) <= 2, told
    assert all(answer.doubled != 2 * EVIL for answer in got), told
    for answer in got:
        assert "server" not in answer.headers
        if answer.status >= 400:
            told_code = json.loads(answer.body)["code"]
            assert told_code in ("malformed", "method_not_allowed", "not_found"), told_code
    if len(got) == 2:
        assert (got[1].status, got[1].doubled) == (200, 2 * NEXT), told
        assert got[0].headers.get("connection") != "close"
    else:
        assert closed, told
        if strict:
            assert got[0].headers.get("connection") == "close", told
    if strict and got[0].status == 200 and not case.name.startswith("get with"):
        # What needs no body may be answered before it is there, and then the connection ends.
        assert len(got) == (1 if case.name in CLOSING else 2), told


async def say(port: int, *parts: bytes, until: int = 2, pause: float = 0.0) -> tuple[list[Answer], bool]:
    """Send the parts on a new connection; what is answered, and whether the other side has closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    got, closed = b"", False
    try:
        async with asyncio.timeout(SECONDS):
            try:
                for part in parts:
                    writer.write(part)
                    if pause:
                        await asyncio.sleep(pause)
                while len(answers(got)) < until and not closed:
                    more = await reader.read(65536)
                    got, closed = got + more, not more
            except ConnectionError:
                closed = True
        return answers(got), closed
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


class Victim:
    """Somebody else: asks one thing after another on a connection of its own, and must get exactly that."""

    def __init__(self, port: int, number: int) -> None:
        self.answered = 0
        self._port, self._number = port, number + 1
        self._ending = asyncio.Event()

    async def ask(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        async with asyncio.timeout(10 * SECONDS):
            while not self._ending.is_set():
                # Nobody else ever asks for this.
                asked = 100.0 * self._number + self.answered % 90_000 / 1024
                writer.write(post(asked))
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                answer = answers(head + await reader.readexactly(length))[0]
                assert (answer.status, answer.doubled) == (200, 2 * asked), answer
                self.answered += 1
                if answer.headers.get("connection") == "close":
                    # A proxy that is reloaded says so, with an answer.
                    writer.close()
                    reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.close()
        await writer.wait_closed()

    def end(self) -> None:
        self._ending.set()


async def beside(port: int, work: Any, victims: int = 4) -> int:
    """Do the work while victims ask; how many answers they got, all of them right."""
    others = [Victim(port, number) for number in range(victims)]
    asking = [asyncio.create_task(each.ask()) for each in others]
    try:
        await work
    finally:
        for each in others:
            each.end()
        await asyncio.gather(*asking)
    return sum(each.answered for each in others)


class Pipe(asyncio.Transport):
    """A transport without a network: keeps what is written."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 8000)})
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        assert not self.closed
        self.written += data

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def told(connect: Any, *parts: bytes) -> tuple[list[Answer], bool]:
    """What a connection class answers to bytes that come in these parts, and whether it has closed or soon will."""
    pipe, protocol = Pipe(), connect()
    protocol.connection_made(pipe)
    for part in parts:
        if not pipe.closed:
            protocol.data_received(part)
        for _ in range(3):
            await asyncio.sleep(0)
    for _ in range(10_000):
        if not protocol.tasks:
            break
        await asyncio.sleep(0)
    ended = protocol.gone()
    protocol.connection_lost(None)
    return answers(pipe.written), ended
