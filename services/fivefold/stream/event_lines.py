"""Events as lines of JSON, as `fivefold log append` reads and `fivefold log read` prints them.

    {"key": "k1", "value": {"amount": 3}, "headers": {"trace": "7"}}

`value` is any JSON, and the event's bytes are its text as it stands there; `null`, or none, is an event without a
value. `key` and the values of `headers` are text or null. What is no such thing (bytes that are no JSON or no UTF-8, a
text of several lines, a header that stands there twice) goes by `value_base64`, `key_base64` and `headers_list`, an
array of [name, base64 or null]. Every event comes back from its line as it was.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from fivefold.core.errors import ContractError
from fivefold.stream.events import Event, Headers, Outgoing
from fivefold.stream.members import duplicate


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    value: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    key: str | None = None
    headers: dict[str, str | None] = {}
    value_base64: str | None = None
    key_base64: str | None = None
    headers_list: list[tuple[str, str | None]] | None = None
    timestamp: int | None = None
    partition: int | None = None
    offset: int | None = None
    topic: str | None = None


_decoder = msgspec.json.Decoder(_Line)


def parse(lines: Iterable[bytes], topic: str) -> Iterator[Outgoing]:
    """The events of lines, for a topic; blank lines are none. Raises `ContractError(malformed)` with the line's number.

    `partition`, `offset` and `topic`, which `read` prints, are passed over: the key chooses where an event goes.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield _outgoing(line, topic)
        except (ValueError, RecursionError) as err:
            raise ContractError(
                "malformed",
                f"{str(err)[:300]}",
                path=f"line {number}",
                help='expected {"key": …, "value": …, "headers": {…}}; the lines before it are in the log',
            ) from None


def _outgoing(line: bytes, topic: str) -> Outgoing:
    double = duplicate(line)
    if double is not None:
        raise ValueError(f"{double[:128]!r} stands there twice")
    found = _decoder.decode(line)
    value: bytes | None = None
    if isinstance(found.value, msgspec.Raw) and bytes(found.value) != b"null":
        value = bytes(found.value)
    if found.value_base64 is not None:
        if value is not None:
            raise ValueError("expected either value or value_base64, got both")
        value = _bytes(found.value_base64, "value_base64")
    key = None if found.key is None else found.key.encode()
    if found.key_base64 is not None:
        if key is not None:
            raise ValueError("expected either key or key_base64, got both")
        key = _bytes(found.key_base64, "key_base64")
    headers: Headers = tuple((name, None if text is None else text.encode()) for name, text in found.headers.items())
    if found.headers_list is not None:
        if headers:
            raise ValueError("expected either headers or headers_list, got both")
        headers = tuple(
            (name, None if text is None else _bytes(text, "headers_list")) for name, text in found.headers_list
        )
    if found.timestamp is not None and not 0 <= found.timestamp < 2**63:
        raise ValueError("expected a timestamp in milliseconds since 1970")
    return Outgoing(topic, key, value, headers, found.timestamp)


def _bytes(text: str, name: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise ValueError(f"{name}: expected base64") from None


def format(event: Event) -> bytes:
    """An event as a line, without its end."""
    key = _text(event.key)
    out: dict[str, Any]
    out = {"key": key} if event.key is None or key is not None else {"key_base64": _base64(event.key)}
    if event.value is None:
        out["value"] = None
    elif _is_one_line_of_json(event.value):
        out["value"] = msgspec.Raw(event.value)
    else:
        out["value_base64"] = _base64(event.value)
    if event.headers:
        texts = {name: _text(value) for name, value in event.headers}
        plain = len(texts) == len(event.headers) and all(
            value is None or texts[name] is not None for name, value in event.headers
        )
        if plain:
            out["headers"] = texts
        else:
            out["headers_list"] = [[name, None if value is None else _base64(value)] for name, value in event.headers]
    out |= {"partition": event.partition, "offset": event.offset}
    if event.timestamp >= 0:
        out["timestamp"] = event.timestamp
    return msgspec.json.encode(out)


def _text(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _is_one_line_of_json(value: bytes) -> bool:
    """Whether the bytes stand in a line as they are, and come back from it as they are."""
    if b"\n" in value or b"\r" in value or value == b"null" or value != value.strip():
        return False
    try:
        json.loads(value.decode("utf-8"), parse_constant=_refuse, parse_int=str, parse_float=str)
        msgspec.json.decode(value, type=msgspec.Raw)
    except (ValueError, RecursionError, msgspec.MsgspecError):
        return False
    return True


def _refuse(constant: str) -> Any:
    raise ValueError(constant)
