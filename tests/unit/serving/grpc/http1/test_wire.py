"""The form of a unary call over HTTP/1.1: what is read is what gRPC documents, what is written an HTTP parser reads."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import unquote_to_bytes

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fivefold.core.errors import ContractError, ProtocolError
from fivefold.serving.grpc import grpc_errors
from fivefold.serving.grpc.call import Reply
from fivefold.serving.grpc.http1 import wire
from fivefold.serving.messages import Call


class Read:
    """An answer as an HTTP parser of its own reads it."""

    def __init__(self, data: bytes) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.whole = False
        parser = httptools.HttpResponseParser(self)
        parser.feed_data(data)
        self.status = parser.get_status_code()
        self.keep_alive = (b"connection", b"close") not in self.headers

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        assert not self.whole
        self.whole = True

    def fields(self) -> dict[str, bytes]:
        found = {name.decode(): value for name, value in self.headers}
        assert len(found) == len(self.headers)
        return found


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1S", 1), ("0m", 0), ("250m", 0.25), ("3H", 10800), ("2M", 120), ("7u", 7e-6), ("9n", 9e-9), ("0005S", 5)],
)
def test_a_timeout_is_digits_and_a_unit(text: str, seconds: float) -> None:
    assert wire.seconds(text.encode()) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "S", "1", "-1S", "1s", "1x", "1.5S", "1SS", "١S", "9" * 20 + "S"])
def test_any_other_is_malformed(text: str) -> None:
    with pytest.raises(ContractError, match=r"^grpc-timeout: expected"):
        wire.seconds(text.encode())


@given(st.binary(max_size=60), st.booleans())
def test_binary_metadata_is_base64_with_or_without_padding(value: bytes, padded: bool) -> None:
    text = base64.b64encode(value)

    wire.check_binary(b"x-bin", text if padded else text.rstrip(b"="))


@pytest.mark.parametrize("text", [b"A", b"!!!", b"AQI,AQI", b"AQI===", b"A QI", b"AQI=AQI"])
def test_what_is_no_base64_is_malformed(text: bytes) -> None:
    with pytest.raises(ContractError, match=r"^x-bin: expected base64$"):
        wire.check_binary(b"x-bin", text)


@given(st.binary(max_size=300), st.booleans())
def test_one_message_is_unframed(message: bytes, compressed: bool) -> None:
    body = bytes([compressed]) + len(message).to_bytes(4) + message

    assert wire.unframe(body) == (compressed, message)


@given(st.binary(max_size=60))
def test_any_other_body_is_malformed(body: bytes) -> None:
    """Or it is one message after all."""
    if len(body) >= 5 and body[0] < 2 and int.from_bytes(body[1:5]) == len(body) - 5:
        assert wire.unframe(body) == (body[0] == 1, body[5:])
        return
    with pytest.raises(ContractError) as refused:
        wire.unframe(body)
    assert refused.value.code == "malformed"


def test_two_messages_are_malformed() -> None:
    with pytest.raises(ContractError, match="expected one message of 1 bytes, got 7"):
        wire.unframe(b"\0\0\0\0\1a" * 2)


@pytest.mark.parametrize("encoding", [b"snappy", b"GZIP", b"", b"gzip, identity"])
def test_an_encoding_that_is_not_known_is_refused(encoding: bytes) -> None:
    with pytest.raises(ProtocolError) as refused:
        wire.window(encoding)

    assert grpc_errors.GRPC_STATUS[refused.value.code].name == "UNIMPLEMENTED"


@given(st.binary(max_size=3000), st.booleans())
def test_an_answer_is_chunked_with_trailers(message: bytes, keep_alive: bool) -> None:
    call = Call("grpc", "mine", traceparent="00-1-2-01", marks=((b"x-contract-version", b"1"),))
    read = Read(wire.answer(Reply(call, message), keep_alive=keep_alive))

    assert (read.status, read.keep_alive, read.whole) == (200, keep_alive, True)
    assert read.body == b"\0" + len(message).to_bytes(4) + message
    fields = read.fields()
    assert fields["content-type"] == b"application/grpc"
    assert [fields[name] for name in ("grpc-status", "x-request-id", "traceparent", "x-contract-version")] == [
        b"0", b"mine", b"00-1-2-01", b"1",
    ]  # fmt: skip


@given(st.text(max_size=200), st.text(max_size=40), st.booleans())
def test_an_error_is_all_head(sentence: str, trace: str, keep_alive: bool) -> None:
    """Whatever its sentence quotes: percent-encoded, and nothing of it ends a line."""
    error = ContractError("malformed", sentence, path="inputs." + sentence)
    call: Any = Call("grpc", "mine", traceparent=trace)
    read = Read(wire.answer(Reply(call, error=error), keep_alive=keep_alive))

    assert (read.status, read.keep_alive, read.whole, read.body) == (200, keep_alive, True, b"")
    fields = read.fields()
    assert fields["grpc-status"] == b"3"
    assert unquote_to_bytes(fields["grpc-message"]).decode() == grpc_errors.sentence(error)
    details = fields["grpc-status-details-bin"]
    raw = base64.b64decode(details + b"=" * (-len(details) % 4), validate=True)
    assert raw == grpc_errors.status(error, "mine").SerializeToString()
