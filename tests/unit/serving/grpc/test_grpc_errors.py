"""Errors on gRPC: the table, the details and the trailers, as a client meets them."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from google.rpc import error_details_pb2 as details
from google.rpc import status_pb2
from hypothesis import given
from hypothesis import strategies as st
from tests.support.grpc_calls import SECONDS, Loop

from fivefold.core.errors import (
    CODES,
    FAMILIES,
    BundleInvalid,
    ContractError,
    ContractInvalid,
    FivefoldError,
    NotFound,
    Unavailable,
    Violation,
)
from fivefold.serving.grpc import grpc_errors
from fivefold.serving.messages import Call


def error_of(code: str) -> FivefoldError:
    family = next(family for family in FAMILIES if code in family.codes)
    if family in (ContractInvalid, BundleInvalid):
        return family("wrong", path="näme", help="try again")  # type: ignore[arg-type,call-arg]
    return family(code, "wrong", path="näme", help="try again")


@pytest.fixture(scope="module")
def channel() -> Iterator[grpc.Channel]:
    """A server that fails with the code that it is asked for."""

    async def fail(raw: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        await grpc_errors.abort(context, error_of(raw.decode()), Call("grpc", "r-1"))

    async def start() -> tuple[grpc.aio.Server, int]:
        server = grpc.aio.server()
        handlers = {"Fail": grpc.unary_unary_rpc_method_handler(fail)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        return server, port

    server, port = Loop.shared().run(start)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as out:
        yield out
    Loop.shared().run(lambda: server.stop(None))


def test_every_code_has_a_status_and_no_other_has() -> None:
    """The table is total over the codes of the core."""

    assert set(grpc_errors.GRPC_STATUS) == set(CODES)


@pytest.mark.parametrize("code", CODES)
def test_a_client_gets_every_code_with_its_status_its_trailer_and_its_details(channel: grpc.Channel, code: str) -> None:
    """Status, ASCII trailer, ErrorInfo and RequestInfo say the same, also for a path outside ASCII."""
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/t.T/Fail")(code.encode(), timeout=SECONDS)
    error = caught.value
    trailers = dict(error.trailing_metadata())
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    info = details.ErrorInfo()
    request = details.RequestInfo()

    assert error.code() is grpc_errors.GRPC_STATUS[code]
    assert error.details() == "näme: wrong" == status.message
    assert status.code == error.code().value[0]
    assert trailers["fivefold-code"] == code
    assert trailers["x-request-id"] == "r-1"
    assert status.details[0].Unpack(info)
    assert (info.domain, info.reason) == ("fivefold", code.upper())
    assert dict(info.metadata) == {"code": code, "path": "näme", "help": "try again"}
    assert status.details[1].Unpack(request)
    assert request.request_id == "r-1"


def test_violations_are_field_violations_in_their_order() -> None:
    """BadRequest holds path, sentence and code of each."""
    found = [Violation("out_of_range", f"inputs.x[{row}]", "too large") for row in range(3)]
    status = grpc_errors.status(ContractError.of(found), "r")
    bad = details.BadRequest()
    assert status.details[-1].Unpack(bad)

    assert [(v.field, v.description, v.reason) for v in bad.field_violations] == [
        (f"inputs.x[{row}]", "too large", "OUT_OF_RANGE") for row in range(3)
    ]


def test_what_helps_by_waiting_says_how_long() -> None:
    """RetryInfo carries the seconds of Retry-After."""
    status = grpc_errors.status(Unavailable("overloaded", "busy", retry_after=1.5), "r")
    retry = details.RetryInfo()
    assert status.details[-1].Unpack(retry)

    assert retry.retry_delay.ToMilliseconds() == 1500


@given(st.text(max_size=3000), st.text(max_size=3000), st.lists(st.text(max_size=600), max_size=16))
def test_whatever_the_words_the_trailers_are_small_and_valid(message: str, path: str, paths: list[str]) -> None:
    """Long and foreign text never exceeds what a client takes in trailers, and never breaks an encoding."""
    error = ContractError(
        "wrong_type", message, path=path, help=path, details=[Violation("wrong_type", p, message) for p in paths]
    )
    out = grpc_errors.trailers(error, Call("grpc", "r" * 128))
    binary = dict(out)["grpc-status-details-bin"]
    assert isinstance(binary, bytes)

    assert len(grpc_errors.sentence(error).encode()) <= grpc_errors.MAX_MESSAGE
    assert len(binary) * 4 / 3 + grpc_errors.MAX_MESSAGE < 8000
    assert status_pb2.Status.FromString(binary).message == grpc_errors.sentence(error)


def test_a_lone_surrogate_in_a_sentence_travels_as_its_escape() -> None:
    """Text that UTF-8 has no form for does not turn the error into another one."""
    error = NotFound("model_not_found", "no model '\ud800'")

    assert grpc_errors.sentence(error) == "no model '\\ud800'"
    assert grpc_errors.status(error, "r").message == "no model '\\ud800'"
