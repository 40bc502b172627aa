"""A server that does nothing: recorded answers for any request, over HTTP/1.1 and gRPC, from one process.

    python -m loadtest.load.null ANSWERS.json      prints its ports as JSON, then serves until it is ended

It exists to find out how fast the load generator itself is: each request costs it a few microseconds of parsing and a
write. It checks nothing. For gRPC it speaks just as much HTTP/2 as a client needs to be happy: header blocks are never
decoded, because an answer to a message is the same whatever was asked. gRPC transports therefore have a port each.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from pathlib import Path
from typing import cast

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS, _PING, _WINDOW = 0, 1, 4, 6, 8
_END_STREAM, _END_HEADERS, _ACK, _PADDED = 1, 4, 1, 8
_MOST_WINDOW = 2**31 - 1
# How much a client may send before it is told that there is room again (RFC 9113, section 6.9).
_REFILL = 2**24


class Http(asyncio.Protocol):
    """HTTP/1.1 with keep-alive and pipelining; bodies need a content-length."""

    def __init__(self, answers: dict[bytes, tuple[bytes, bytes]]) -> None:
        self.answers = answers
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            at = head.find(b"\r\ncontent-length:")
            length = int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            self.buffer = self.buffer[end + 4 + length :]
            plain, binary = self.answers.get(head.split(b" ", 2)[1], (_NOT_FOUND, _NOT_FOUND))
            self.transport.write(binary if b"inference-header-content-length" in head else plain)


_NOT_FOUND = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _literal(name: bytes, value: bytes) -> bytes:
    # A literal header field without indexing (RFC 7541, section 6.2.2); lengths below 127 take one byte.
    return b"\0" + bytes((len(name),)) + name + bytes((len(value),)) + value


class Grpc(asyncio.Protocol):
    """One fixed answer to every message, trailers at the end of every stream."""

    def __init__(self, answer: bytes) -> None:
        self.message = b"\0" + len(answer).to_bytes(4, "big") + answer
        # 0x88 is the static table's `:status: 200`.
        self.head = b"\x88" + _literal(b"content-type", b"application/grpc")
        self.tail = _literal(b"grpc-status", b"0")
        self.buffer = b""
        self.partial: dict[int, bytes] = {}
        self.headed: set[int] = set()
        self.received = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        initial_window = b"\0\x04" + _MOST_WINDOW.to_bytes(4, "big")
        grown = (_MOST_WINDOW - 65535).to_bytes(4, "big")
        self.transport.write(_frame(_SETTINGS, 0, 0, initial_window) + _frame(_WINDOW, 0, 0, grown))

    def data_received(self, data: bytes) -> None:
        buffer = self.buffer + data
        at = len(_PREFACE) if buffer.startswith(_PREFACE) else 0
        out = []
        while len(buffer) >= at + 9:
            size = int.from_bytes(buffer[at : at + 3], "big")
            if len(buffer) < at + 9 + size:
                break
            kind, flags = buffer[at + 3], buffer[at + 4]
            stream = int.from_bytes(buffer[at + 5 : at + 9], "big") & 0x7FFFFFFF
            out.append(self._answer(kind, flags, stream, buffer[at + 9 : at + 9 + size]))
            at += 9 + size
        self.buffer = buffer[at:]
        if reply := b"".join(out):
            self.transport.write(reply)

    def _answer(self, kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        if kind == _SETTINGS:
            return b"" if flags & _ACK else _frame(_SETTINGS, _ACK, 0, b"")
        if kind == _PING:
            return b"" if flags & _ACK else _frame(_PING, _ACK, 0, payload)
        out = self._messages(stream, payload, flags) if kind == _DATA else b""
        if kind in (_DATA, _HEADERS) and flags & _END_STREAM:
            self.partial.pop(stream, None)
            if stream not in self.headed:
                out += _frame(_HEADERS, _END_HEADERS, stream, self.head)
            self.headed.discard(stream)
            out += _frame(_HEADERS, _END_HEADERS | _END_STREAM, stream, self.tail)
        return out

    def _messages(self, stream: int, payload: bytes, flags: int) -> bytes:
        self.received += len(payload)
        out = b""
        if self.received >= _REFILL:
            out = _frame(_WINDOW, 0, 0, self.received.to_bytes(4, "big"))
            self.received = 0
        if flags & _PADDED:
            payload = payload[1 : len(payload) - payload[0]]
        waiting = self.partial.get(stream, b"") + payload
        while len(waiting) >= 5 and len(waiting) >= (size := 5 + int.from_bytes(waiting[1:5], "big")):
            waiting = waiting[size:]
            if stream not in self.headed:
                self.headed.add(stream)
                out += _frame(_HEADERS, _END_HEADERS, stream, self.head)
            out += _frame(_DATA, 0, stream, self.message)
        self.partial[stream] = waiting
        return out


def responses(answers: dict[str, dict[str, str]]) -> dict[bytes, tuple[bytes, bytes]]:
    """Path to the whole HTTP response in JSON and in the binary form."""
    out: dict[bytes, tuple[bytes, bytes]] = {}
    for transport, answer in answers.items():
        if "path" not in answer:
            continue
        body = base64.b64decode(answer["body"])
        media = b"application/octet-stream" if transport == "binary" else b"application/json"
        head = b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ncontent-length: %d\r\n" % (media, len(body))
        if answer.get("length"):
            head += b"inference-header-content-length: %s\r\n" % answer["length"].encode()
        whole = head + b"\r\n" + body
        path = answer["path"].lower().encode()
        plain, binary = out.get(path, (_NOT_FOUND, _NOT_FOUND))
        out[path] = (plain, whole) if transport == "binary" else (whole, binary)
    return out


async def serve(answers: dict[str, dict[str, str]]) -> None:
    """Listen on free ports of loopback, print them, and serve until cancelled."""
    loop = asyncio.get_running_loop()
    fixed = responses(answers)
    servers = {"http": await loop.create_server(lambda: Http(fixed), "127.0.0.1", 0)}
    for name in ("grpc", "stream"):
        if name in answers:
            body = base64.b64decode(answers[name]["body"])
            servers[name] = await loop.create_server(lambda body=body: Grpc(body), "127.0.0.1", 0)  # type: ignore[misc]  # a lambda with a default
    print(json.dumps({name: server.sockets[0].getsockname()[1] for name, server in servers.items()}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(json.loads(Path(sys.argv[1]).read_text())))
