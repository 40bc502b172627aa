"""The services' methods, and where they are put on a server.

`Servicer` belongs to a process with scorers. `register` puts its methods on an ordinary server and on a Ray Serve
replica's alike; there they run past Ray's wrapper, which knows neither deadlines nor our errors and would count an idle
stream as an ongoing request.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import grpc
from grpc_health.v1 import health_pb2

from fivefold.core.errors import FivefoldError, Unavailable
from fivefold.serving.dataplane import defect
from fivefold.serving.grpc import grpc_errors, reflection, tensor_codec
from fivefold.serving.grpc.bidi_stream import Streams
from fivefold.serving.grpc.call import (
    AskedCall,
    Payload,
    Reply,
    Unary,
    Whole,
    admit,
    asked,
    begin,
    bytes_in,
    over_aio,
    parse,
    shown,
)
from fivefold.serving.grpc.control import Control
from fivefold.serving.grpc.health import SERVICE as HEALTH
from fivefold.serving.grpc.health import Health, draining
from fivefold.serving.grpc.proto import inference_pb2 as wire
from fivefold.serving.messages import Answer, Call, InferRequest, reading_size
from fivefold.serving.oip.selection import refuse_elsewhere, select

if TYPE_CHECKING:
    from fivefold.core.fields.field import Field
    from fivefold.core.view import View
    from fivefold.guard import Principal
    from fivefold.serving.dataplane import Dataplane
    from fivefold.serving.grpc.call import Context
    from fivefold.serving.limits import ServingLimits

INFERENCE: Final = "inference.GRPCInferenceService"

FINAL: Final = "triton_final_response"
"""On every answer of a stream: it is the only one to its request, and so the last. With that a client which asked for
`triton_enable_empty_final_response` has what it needs: Triton's empty answer is for models that answer in parts."""

Handlers = dict[str, "grpc.RpcMethodHandler[Any, Any]"]

_MAKERS: Final[dict[tuple[bool, bool], Any]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}
"""Whether requests and answers come in streams -> what makes such a method's handler."""


_RAW_CONTENTS: Final = wire.ModelInferRequest.RAW_INPUT_CONTENTS_FIELD_NUMBER


class Servicer:
    """The methods of the inference and the health service, answered by one `Dataplane`."""

    def __init__(self, dataplane: Dataplane, settings: ServingLimits | None = None) -> None:
        self._dataplane = dataplane
        self._settings = settings or dataplane.settings
        self._control = Control(dataplane)
        self._health = Health(dataplane, (INFERENCE,))
        self._streams = Streams()
        self._alone = _Alone(self._settings.max_rows)
        self._streamed = _Streamed(self._settings.max_rows)

    def drain(self) -> None:
        """End open streams: after the messages that they have begun, with `not_ready`. Health watchers hear it first.

        Calls are still answered. `Dataplane.drain` is the caller's to call too.
        """
        self._health.drain()
        self._streams.drain()

    def refresh(self) -> None:
        """Tell health watchers of the models that the dataplane has now."""
        self._health.refresh()

    def handlers(self) -> dict[str, Handlers]:
        """Service name -> method name -> handler. Handlers take and give bytes."""
        found: dict[str, Handlers] = {INFERENCE: {}, HEALTH: {}}
        for path, method in self.unary().items():
            _, service, name = path.split("/")
            handler = over_aio(method, self._dataplane.room)
            found[service][name] = grpc.unary_unary_rpc_method_handler(handler)
        found[INFERENCE]["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(self.stream)
        found[HEALTH]["Watch"] = grpc.unary_stream_rpc_method_handler(self._health.watch)
        return found

    def unary(self) -> dict[str, Unary]:
        """The methods with one request and one answer, by their paths."""
        methods = {**self._control.methods(), "ModelInfer": self.infer}
        found = {f"/{INFERENCE}/{name}": method for name, method in methods.items()}
        found[f"/{HEALTH}/Check"] = self._health.check
        return found

    async def infer(self, said: AskedCall, payload: Payload) -> Reply:
        """One inference."""
        call = begin(self._dataplane.request_id, said)
        guard = self._dataplane.guard
        caller: Principal | None = None
        try:
            if guard is not None:
                # Before the message: nobody unknown makes us hold one.
                caller = self._let_in(call, lambda: admit(guard, shown(said), "infer"))
            raw = await self._read(payload, call)
            request = await self._parse(raw, call)
            out = await self._dataplane.answer(
                request.model_name, request.model_version or None, call, self._alone, request
            )
            return Reply(call, out)
        except FivefoldError as error:
            return Reply(call, error=error)
        finally:
            payload.release()
            if caller is not None:
                caller.release()

    async def stream(self, requests: AsyncIterator[bytes], context: Context) -> None:
        """A stream of inferences. Each message is a request of its own, with the stream's id and a running number.

        Who may not ask cannot open one; after that each message is let in, and counts against limits, by itself, so a
        key that is revoked meanwhile opens nothing any more.
        """
        said = asked(context)
        opened = begin(self._dataplane.request_id, said)
        guard = self._dataplane.guard
        # Once: it is the same for every message of the stream.
        given = None if guard is None else shown(said)
        if guard is not None and given is not None:
            try:
                self._let_in(opened, lambda: admit(guard, given, "infer", count=False))
            except FivefoldError as error:
                await grpc_errors.abort(context, error, opened)
        count = 0

        async def answer(raw: bytes) -> bytes:
            nonlocal count
            count += 1
            call = Call(
                "grpc",
                self._dataplane.request_id(f"{opened.request_id}/{count}"),
                deadline=opened.deadline,
                traceparent=opened.traceparent,
                timeout=opened.timeout,
                size=len(raw),
                contract=opened.contract,
            )
            payload = Whole(raw, self._dataplane.room)
            request: wire.ModelInferRequest | None = None
            caller: Principal | None = None
            try:
                if guard is not None and given is not None:
                    caller = self._let_in(call, lambda: admit(guard, given, "infer"))
                request = await self._parse(await self._read(payload, call), call)
                return await self._dataplane.answer(
                    request.model_name, request.model_version or None, call, self._streamed, request
                )
            except FivefoldError as error:
                return _failure(request or wire.ModelInferRequest(), error, call)
            finally:
                payload.release()
                if caller is not None:
                    caller.release()

        context.set_trailing_metadata(grpc_errors.identity(opened))
        if not await self._streams.run(answer, requests, context):
            await grpc_errors.abort(context, draining(self._settings.retry_after), opened)

    def _let_in(self, call: Call, ask: Callable[[], Principal]) -> Principal:
        """Who calls; raises `FivefoldError` only, counted and logged."""
        try:
            return ask()
        except FivefoldError as error:
            raise self._dataplane.refuse(call, error) from None
        except Exception as cause:
            raise self._dataplane.refuse(call, defect(cause)) from cause

    async def _read(self, payload: Payload, call: Call) -> bytes:
        """The message's bytes; raises `FivefoldError` only, counted and logged."""
        try:
            raw = await payload.read()
        except FivefoldError as error:
            raise self._dataplane.refuse(call, error) from None
        except Exception as cause:
            raise self._dataplane.refuse(call, defect(cause)) from cause
        call.size = len(raw)
        if call.size > self._settings.inline_bytes:
            call.size = reading_size(call.size, bytes_in(raw, _RAW_CONTENTS))
        return raw

    async def _parse(self, raw: bytes, call: Call) -> wire.ModelInferRequest:
        """The message; raises `FivefoldError` only, counted and logged."""
        limit = self._settings.max_body_bytes
        try:
            if call.size > self._settings.inline_bytes:
                return await self._dataplane.read(lambda: parse(wire.ModelInferRequest, raw, limit))
            return parse(wire.ModelInferRequest, raw, limit)
        except FivefoldError as error:
            raise self._dataplane.refuse(call, error) from None
        except Exception as cause:
            raise self._dataplane.refuse(call, defect(cause)) from cause


class _Alone:
    """The codec of a message that is answered by itself."""

    def __init__(self, max_rows: int) -> None:
        self._max_rows = max_rows

    def decode(self, message: wire.ModelInferRequest, view: View, call: Call) -> InferRequest:
        """See `Codec`."""
        outputs: Sequence[Field] = view.outputs
        if message.outputs:
            refuse_elsewhere("outputs", message.outputs)
            outputs = [field for field, _ in select(outputs, message.outputs)]
        reading = view.tensors.read(tensor_codec.read(message, call), max_rows=self._max_rows, watch=call)
        raw = len(message.raw_input_contents) > 0
        return InferRequest(reading, outputs, (raw,) * len(outputs), message.id)

    def encode(self, answer: Answer, request: InferRequest) -> bytes:
        """See `Codec`."""
        out = wire.ModelInferResponse()
        tensor_codec.write(answer, request, out)
        return out.SerializeToString()


class _Streamed(_Alone):
    """The codec of a message on a stream."""

    def encode(self, answer: Answer, request: InferRequest) -> bytes:
        """See `Codec`."""
        out = wire.ModelStreamInferResponse()
        tensor_codec.write(answer, request, out.infer_response)
        out.infer_response.parameters[FINAL].bool_param = True
        return out.SerializeToString()


def _failure(message: wire.ModelInferRequest, error: FivefoldError, call: Call) -> bytes:
    """A stream's answer to a request that failed: the sentence, and the error's fields as parameters."""
    out = wire.ModelStreamInferResponse(error_message=grpc_errors.sentence(error))
    response = out.infer_response
    response.id = message.id
    response.model_name = message.model_name
    response.model_version = message.model_version
    response.parameters[FINAL].bool_param = True
    for key, value in error.to_json(call.request_id).items():
        if key != "error" and value:
            text = value if isinstance(value, str) else json.dumps(value)
            response.parameters[key].string_param = text.encode("utf-8", "backslashreplace").decode()
    if error.retry_after is not None:
        response.parameters["retry_after"].double_param = error.retry_after
    return out.SerializeToString()


def register(servicer: Servicer, server: Any) -> None:
    """Put the services on a `grpc.aio.Server`, or on a Ray Serve replica's server, where they bypass Ray's wrapper."""
    for service, handlers in servicer.handlers().items():
        _add(server, service, handlers)
    _reflect(server)


def register_unready(server: Any) -> None:
    """Put the services on the server of a process without scorers: every call ends with `not_ready`.

    Ray Serve's proxy on the head node is one; HAProxy turns to it when no replica is up.
    """
    for services in (wire.DESCRIPTOR.services_by_name, health_pb2.DESCRIPTOR.services_by_name):
        for service in services.values():
            methods = {
                method.name: _MAKERS[method.client_streaming, method.server_streaming](_unready)
                for method in service.methods
            }
            _add(server, service.full_name, methods)
    _reflect(server)


async def _unready(_: Any, context: Context) -> bytes:
    call = begin(lambda given: given or secrets.token_hex(12), asked(context))
    await grpc_errors.abort(context, Unavailable("not_ready", "no model is loaded yet", retry_after=1.0), call)


def _reflect(server: Any) -> None:
    for service, handlers in reflection.handlers((INFERENCE, HEALTH)).items():
        _add(server, service, handlers)


def _add(server: Any, service: str, handlers: Handlers) -> None:
    bypass = getattr(server, "add_passthrough_service", None)
    if bypass is not None:
        bypass(service)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
