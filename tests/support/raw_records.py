"""Events as Kafka's protocol has them, byte for byte: what a client of another language can send, and Python's cannot.

https://kafka.apache.org/documentation/#recordbatch is the format of a batch, version 2. A batch here holds one record.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence

from tests.support.avro_values import varint

RawHeaders = Sequence[tuple[bytes, bytes | None]]

_PRODUCE, _VERSION = 0, 3


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_TABLE = _crc_table()


def crc32c(data: bytes) -> int:
    """Castagnoli's checksum."""
    found = 0xFFFFFFFF
    for byte in data:
        found = (found >> 8) ^ _TABLE[(found ^ byte) & 0xFF]
    return found ^ 0xFFFFFFFF


def _sized(data: bytes | None) -> bytes:
    return varint(-1) if data is None else varint(len(data)) + data


def batch(key: bytes | None, value: bytes | None, headers: RawHeaders = (), timestamp: int = -1) -> bytes:
    """A batch of one record; nothing is compressed."""
    record = b"\0" + varint(0) + varint(0) + _sized(key) + _sized(value) + varint(len(headers))
    record += b"".join(varint(len(name)) + name + _sized(each) for name, each in headers)
    body = struct.pack(">hiqqqhii", 0, 0, timestamp, timestamp, -1, -1, -1, 1) + varint(len(record)) + record
    return struct.pack(">qiibI", 0, len(body) + 9, -1, 2, crc32c(body)) + body


def send(server: str, topic: str, partition: int, records: bytes) -> int:
    """Append a batch to a topic; gives its offset. Raises `ValueError` with the broker's code where it refuses it."""
    body = struct.pack(">hhih6s", _PRODUCE, _VERSION, 1, 6, b"tester")
    body += struct.pack(">hhi", -1, -1, 30_000)  # no transaction, all replicas
    body += struct.pack(">i", 1) + _string(topic) + struct.pack(">iii", 1, partition, len(records)) + records
    host, port = server.rsplit(":", 1)
    with socket.create_connection((host, int(port)), 30) as connection, connection.makefile("rb") as answers:
        connection.sendall(struct.pack(">i", len(body)) + body)
        (size,) = struct.unpack(">i", answers.read(4))
        answer = answers.read(size)
    # Correlation, one topic with its name, one partition with its number, then what became of it.
    code, offset = struct.unpack_from(">hq", answer, 4 + 4 + 2 + len(topic) + 4 + 4)
    if code:
        raise ValueError(f"the broker refuses the batch: {code}")
    return int(offset)


def _string(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()
