"""The gRPC dialect: tensors in raw form, and records turned into tensors by the model's own contract.

The protocol has no records: they are read here, under the model's contract (`under_contract`). Messages live in a
descriptor pool of this module's own: another library in the same process may bring its own copy of the protocol.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from grpc import StatusCode

from fivefold.client import foreign
from fivefold.client.array_codec import chosen, from_tensor, to_tensor, without_nulls
from fivefold.client.retry import Attempts, CallOptions, NoReply, Send, ServerReply, call, error_of
from fivefold.client.tables import Given
from fivefold.client.under_contract import ScoredTensors, UnderContract
from fivefold.core import oip_tensors
from fivefold.core.columns import Array, Columns
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import FivefoldError, ProtocolError

_NOT_FOUND, _UNIMPLEMENTED = 5, 12
_BY_STATUS = {
    1: "cancelled", 3: "malformed", 4: "deadline_exceeded", _NOT_FOUND: "model_not_found", 7: "forbidden",
    8: "too_large", _UNIMPLEMENTED: "not_implemented", 14: "not_ready", 16: "unauthenticated",
}  # fmt: skip
"""What a status means when something on the way, not Fivefold, has answered (grpc/statuscodes)."""


CONTRACTS = "contracts"
"""The parameter of a model's configuration that lists the contract versions it answers, with commas between."""

_NAMES = {code.value[0]: code.name for code in StatusCode}


@cache
def message(name: str) -> Any:
    """The class of a message of the protocol, by its name in package `inference`."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"inference.{name}"))


@cache
def _pool() -> Any:
    pool = descriptor_pool.DescriptorPool()
    raw = resources.files("fivefold.client").joinpath("inference.binpb").read_bytes()
    for file in descriptor_pb2.FileDescriptorSet.FromString(raw).file:
        pool.Add(file)
    return pool


class GrpcDialect(UnderContract):
    """The calls over gRPC."""

    def predict(
        self, model: str, version: str | None, given: Given, options: CallOptions
    ) -> Attempts[tuple[Any, dict[str, Any]]]:
        """Rows in, outputs in the same form, by way of tensors."""
        return (yield from self.predict_given(model, version, given, options))

    def score(self, model: str, version: str | None, columns: Columns, options: CallOptions) -> Attempts[ScoredTensors]:
        reply = yield from self._infer(model, version, columns, None, options)
        arrays, metadata = _tensors(reply)
        return ScoredTensors(arrays, metadata, lambda: _reading(reply))

    def infer(
        self,
        model: str,
        version: str | None,
        arrays: Mapping[str, Any],
        outputs: Sequence[str] | None,
        options: CallOptions,
    ) -> Attempts[tuple[dict[str, Array], dict[str, Any]]]:
        reply = yield from self._infer(model, version, arrays, outputs, options)
        return _tensors(reply, outputs or ())

    def _infer(
        self,
        model: str,
        version: str | None,
        arrays: Mapping[str, Any],
        outputs: Sequence[str] | None,
        options: CallOptions,
    ) -> Attempts[ServerReply]:
        request = message("ModelInferRequest")(model_name=model, model_version=version or "")
        for name, given in without_nulls(arrays).items():
            datatype, array = to_tensor(name, given)
            request.inputs.add(name=name, datatype=datatype, shape=array.shape)
            request.raw_input_contents.append(oip_tensors.pack(array))
        for name in outputs or ():
            request.outputs.add(name=name)
        return (yield from _call("ModelInfer", request, "ModelInferResponse", options))

    def contract(self, model: str, version: str | None, options: CallOptions) -> Attempts[Contract]:
        """The contract as the server holds it now, from the model's configuration."""
        return (yield from self.fetch(model, version, options))[0]

    def fetch(self, model: str, version: str | None, options: CallOptions) -> Attempts[tuple[Contract, str]]:
        request = message("ModelConfigRequest")(name=model, version=version or "")
        reply = yield from _call("ModelConfig", request, "ModelConfigResponse", options)
        parameters = reply.body.config.parameters
        if oip_tensors.CONTRACT not in parameters:
            raise ProtocolError("not_implemented", f"{reply.source} gives no contract for {model!r}", help="use infer")
        with _reading(reply):
            contract = Contract.from_json(parameters[oip_tensors.CONTRACT].string_value)
        # A name that a map lacks would be made by asking for it.
        return contract, parameters["bundle"].string_value if "bundle" in parameters else ""

    def contracts(self, model: str, version: str | None, options: CallOptions) -> Attempts[list[str]]:
        request = message("ModelConfigRequest")(name=model, version=version or "")
        reply = yield from _call("ModelConfig", request, "ModelConfigResponse", options)
        parameters = reply.body.config.parameters
        return parameters[CONTRACTS].string_value.split(",") if CONTRACTS in parameters else []

    def models(self, options: CallOptions) -> Attempts[list[dict[str, Any]]]:
        reply = yield from _call(
            "RepositoryIndex", message("RepositoryIndexRequest")(), "RepositoryIndexResponse", options
        )
        return [{"name": item.name, "version": item.version, "state": item.state} for item in reply.body.models]

    def ready(self, model: str | None, options: CallOptions) -> Attempts[bool]:
        name = "ServerReady" if model is None else "ModelReady"
        request = message(f"{name}Request")() if model is None else message(f"{name}Request")(name=model)
        try:
            reply = yield _send(name, request, options, options.timeout)
        except NoReply:
            return False
        try:
            return reply.status == 0 and bool(message(f"{name}Response").FromString(reply.body).ready)
        except DecodeError:
            return False


def _parameter(value: Any) -> Any:
    return getattr(value, value.WhichOneof("parameter_choice") or "string_param")


def _send(name: str, request: Any, options: CallOptions, left: float) -> Send:
    return Send(name, request.SerializeToString(), options.headers, left)


def _call(name: str, request: Any, response: str, options: CallOptions) -> Attempts[ServerReply]:
    return call(lambda left: _send(name, request, options, left), lambda reply: _read(reply, response), options)


def _read(reply: ServerReply, response: str) -> ServerReply:
    """The reply with its message in place of the bytes; raises the error of a failed call."""
    if reply.status:
        raise error(reply)
    with foreign.reading(reply.source, _OK, reply.body):
        return replace(reply, body=message(response).FromString(reply.body))


_OK = "OK"


def _reading(reply: ServerReply) -> AbstractContextManager[None]:
    return foreign.reading(reply.source, _OK, str(reply.body))


def _tensors(reply: ServerReply, asked: Sequence[str] = ()) -> tuple[dict[str, Array], dict[str, Any]]:
    """Output arrays, the asked ones among them, and parameters of an answer; also where it has typed contents."""
    answer = reply.body
    with _reading(reply):
        raw = answer.raw_output_contents
        if raw and len(raw) != len(answer.outputs):
            raise foreign.Misread(f"it has {len(raw)} raw tensors for {len(answer.outputs)} outputs")
        arrays = {
            tensor.name: from_tensor(tensor.datatype, tensor.shape, raw[at]) if raw else _typed(tensor)
            for at, tensor in enumerate(answer.outputs)
        }
        return chosen(arrays, asked), {name: _parameter(value) for name, value in answer.parameters.items()}


def _typed(tensor: Any) -> Array:
    values = getattr(tensor.contents, oip_tensors.CONTENTS[tensor.datatype])
    array: Array = np.empty(
        len(values), object if tensor.datatype == "BYTES" else oip_tensors.DATATYPES[tensor.datatype]
    )
    array[:] = list(values)
    return array.reshape(tuple(tensor.shape))


def error(reply: ServerReply) -> FivefoldError:
    """The error of a failed call: its code from the trailer, paths and help from the rich status."""
    from google.rpc import error_details_pb2, status_pb2

    code = reply.headers.get("fivefold-code")
    if code is None:
        sentence = foreign.answered(reply.source, _NAMES.get(reply.status, str(reply.status)), reply.body)
        return error_of({"code": _BY_STATUS.get(reply.status, "internal"), "error": sentence})
    body: dict[str, Any] = {"error": reply.body, "code": code}
    retry_after: float | None = None
    try:
        status = status_pb2.Status.FromString(reply.headers.get("grpc-status-details-bin", b""))
    except (DecodeError, TypeError):
        # The sentence and the code are worth more than the details that something on the way has spoiled.
        status = status_pb2.Status()
    for packed in status.details:
        if packed.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo.FromString(packed.value)
            body |= {key: info.metadata[key] for key in ("path", "help") if info.metadata.get(key)}
        elif packed.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            refused = error_details_pb2.BadRequest.FromString(packed.value)
            body["details"] = [
                {"code": item.reason.lower(), "path": item.field, "error": item.description}
                for item in refused.field_violations
            ]
        elif packed.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            delay = error_details_pb2.RetryInfo.FromString(packed.value).retry_delay
            retry_after = delay.seconds + delay.nanos / 1e9
    return error_of(body, retry_after=retry_after, fallback=_BY_STATUS.get(reply.status, "internal"))
