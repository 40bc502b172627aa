"""What is the same in every call: the request's bytes to a message, its metadata to a `Call`, errors to the call's end.

    a transport ── AskedCall, Payload ──> Unary ── Reply ──> the same transport

A method with one request and one answer knows no transport: grpc.aio's (`over_aio`) and the one over HTTP/1.1 (`http1`)
both call it so. Handlers take and give bytes: gRPC itself answers a message that it cannot decode with INTERNAL and no
code of ours. What a method means is left to `servicer`, `control`, `stream` and `health`.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeVar
from urllib.parse import unquote

from google.protobuf.message import DecodeError, Message

from fivefold.core.errors import AccessError, ContractError, FivefoldError
from fivefold.guard.callers import several
from fivefold.serving.admission import FREE, Room
from fivefold.serving.contract_version import ASKED
from fivefold.serving.dataplane import Dataplane, defect
from fivefold.serving.grpc import grpc_errors
from fivefold.serving.messages import Call

if TYPE_CHECKING:
    import grpc

    from fivefold.guard import Guard, Principal
    from fivefold.guard.keys import Scope

    Context = grpc.aio.ServicerContext[bytes, bytes]
    """The context of a handler of ours: bytes in, bytes out."""

M = TypeVar("M", bound=Message)


class AskedCall(NamedTuple):
    """What a call says of itself before its message."""

    metadata: Sequence[tuple[str, str | bytes]]
    """By lower-case key, in order; binary values are decoded."""

    peer: str
    """The other end, by gRPC's name (`ipv4:ADDRESS:PORT`)."""

    deadline: float | None
    """On `time.monotonic`; None: the caller has named none."""


class Payload(Protocol):
    """The request's bytes, which may not all be there yet."""

    async def read(self) -> bytes:
        """All of them; what they hold beyond `FREE` bytes is the process's room until `release`. Once only.

        Raises `ContractError`, `Interrupted` and `Unavailable`, not counted yet.
        """

    def release(self) -> None:
        """Give back what they hold."""


class Reply(NamedTuple):
    """How a call ends: with a message, or with an error that has been counted and logged."""

    call: Call
    message: bytes = b""
    error: FivefoldError | None = None


Unary = Callable[[AskedCall, Payload], Coroutine[Any, Any, Reply]]
"""A method with one request and one answer. Raises `asyncio.CancelledError` alone."""


class Whole:
    """A message that is there already."""

    __slots__ = ("_held", "_raw", "_room")

    def __init__(self, raw: bytes, room: Room) -> None:
        self._raw, self._room, self._held = raw, room, 0

    async def read(self) -> bytes:
        """See `Payload`."""
        size = len(self._raw) - FREE
        if size > 0:
            self._room.take(size)
            self._held = size
        return self._raw

    def release(self) -> None:
        """See `Payload`."""
        if self._held:
            self._room.give(self._held)
            self._held = 0


def asked(context: Context) -> AskedCall:
    """What grpc.aio knows of a call."""
    left = context.time_remaining()
    deadline = None if left is None else time.monotonic() + left
    return AskedCall(context.invocation_metadata() or (), context.peer(), deadline)  # type: ignore[arg-type]  # pairs


def over_aio(method: Unary, room: Room) -> Callable[[bytes, Context], Awaitable[bytes]]:
    """The method as a handler of grpc.aio."""

    async def handle(raw: bytes, context: Context) -> bytes:
        reply = await method(asked(context), Whole(raw, room))
        if reply.error is not None:
            await grpc_errors.abort(context, reply.error, reply.call)
        context.set_trailing_metadata(grpc_errors.identity(reply.call))
        return reply.message

    return handle


def begin(request_id: Callable[[str | None], str], said: AskedCall) -> Call:
    """The call that a request's metadata and deadline describe; `request_id` makes an id, or keeps the caller's."""
    given = timeout = traceparent = contract = None
    for key, value in said.metadata:
        if key == "x-request-id":
            given = _text(value)
        elif key == "x-request-timeout":
            timeout = _text(value)
        elif key == "traceparent":
            traceparent = _text(value)
        elif key == ASKED:
            contract = _text(value)
    return Call(
        "grpc",
        request_id(given),
        deadline=said.deadline,
        traceparent=traceparent,
        timeout=timeout,
        contract=contract,
    )


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")


class Shown(NamedTuple):
    """What a call shows of its caller: the metadata that the guard is asked about, and where it comes from."""

    credentials: tuple[tuple[str, bytes], ...]
    peer: str
    forwarded: tuple[str | bytes, ...]


def shown(said: AskedCall) -> Shown:
    """The metadata `authorization`, `x-api-key` and `x-forwarded-for`, and the other end's address."""
    found: list[tuple[str, bytes]] = []
    forwarded: list[str | bytes] = []
    for key, value in said.metadata:
        if key in ("authorization", "x-api-key"):
            found.append((key, value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")))
        elif key == "x-forwarded-for":
            forwarded.append(value)
    return Shown(tuple(found), said.peer, tuple(forwarded))


def admit(guard: Guard, given: Shown, scope: Scope, *, count: bool = True) -> Principal:
    """Who calls, to be released when the call has ended; raises what `Guard.admit` raises.

    Without `count` nothing is counted and nothing is to be released, as by `Guard.identify`. A call with several
    credentials is refused, and who has failed often from its address has to wait.
    """
    try:
        if len(given.credentials) > 1:
            raise several()
        named = dict(given.credentials)
        ask = guard.admit if count else guard.identify
        return ask(named.get("authorization"), named.get("x-api-key"), scope)
    except AccessError as error:
        if not given.credentials:
            raise
        raise guard.refused(error, _address(given.peer), given.forwarded) from None


def _address(peer: str) -> str:
    """The address in gRPC's name of the other end (`ipv4:ADDRESS:PORT`, `ipv6:[ADDRESS]:PORT`), or nothing."""
    family, _, rest = unquote(peer).partition(":")
    return rest.rpartition(":")[0].strip("[]") if family in ("ipv4", "ipv6") else ""


def parse(kind: type[M], raw: bytes, limit: int) -> M:
    """The message that the bytes hold; raises `ContractError` `too_large` or `malformed`."""
    if len(raw) > limit:
        raise ContractError("too_large", f"expected a message of at most {limit} bytes, got {len(raw)}")
    if len(raw) > MANY_FIELDS:
        _refuse_fragments(raw)
    try:
        return kind.FromString(raw)
    except DecodeError:
        raise ContractError("malformed", f"the bytes are not a {kind.DESCRIPTOR.name}") from None


MANY_FIELDS: Final = 65_536
"""Fields that a message may have side by side: two bytes are enough for an empty one, which is then parsed into a
hundred. A message as long as that may have more, and is looked at first."""


def _refuse_fragments(raw: bytes) -> None:
    """Raise `too_large` for a message of too many fields; what is no message is left to the parser."""
    at = 0
    for _ in range(MANY_FIELDS):
        key, at = _varint(raw, at)
        if key & 7 == 0:
            _, at = _varint(raw, at)
        elif key & 7 == 2:
            size, at = _varint(raw, at)
            at += size
        else:
            at += {1: 8, 5: 4}.get(key & 7, len(raw))
        if at >= len(raw):
            return
    raise ContractError("too_large", f"expected at most {MANY_FIELDS} tensors and parameters, got more")


def bytes_in(raw: bytes, field: int) -> int:
    """How many of a message's bytes are in a field of that number, among the first `_LOOKED_AT` fields of the message;
    none behind one that is no message, text or bytes."""
    at = found = 0
    for _ in range(_LOOKED_AT):
        if at >= len(raw):
            break
        key, at = _varint(raw, at)
        if key & 7 != 2:
            break
        size, at = _varint(raw, at)
        if key >> 3 == field:
            found += min(size, len(raw) - at)
        at += size
    return found


_LOOKED_AT: Final = 64


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift, byte in enumerate(raw[at : at + 10]):
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return value, at + shift + 1
    return 0, len(raw)


def asking(
    dataplane: Dataplane, kind: type[M], answer: Callable[[M, Call], Message], scope: Scope | None = "infer"
) -> Unary:
    """A handler that answers at once, without a model; its errors are counted and logged, its answers are not.

    `scope` is what a guard asks for; None: the method is open to everybody.
    """

    async def handle(said: AskedCall, payload: Payload) -> Reply:
        call = begin(dataplane.request_id, said)
        try:
            if dataplane.guard is not None and scope is not None:
                admit(dataplane.guard, shown(said), scope).release()
            raw = await payload.read()
            call.size = len(raw)
            reply = answer(parse(kind, raw, dataplane.settings.max_body_bytes), call)
            return Reply(call, reply.SerializeToString())
        except FivefoldError as error:
            return Reply(call, error=dataplane.refuse(call, error))
        except Exception as cause:
            return Reply(call, error=dataplane.refuse(call, defect(cause)))
        finally:
            payload.release()

    return handle
