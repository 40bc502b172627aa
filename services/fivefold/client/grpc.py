"""The gRPC dialect: tensors in raw form, and records turned into tensors by the model's own contract.

The protocol has no records. The client asks for the contract once a model and version (it travels in the model's
configuration) and reads records with the same readers as the server, so a bad record gets the same code and path here.
Messages live in a descriptor pool of this module's own: another library in the same process may bring its own copy of
the protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from fivefold import oip
from fivefold.client.flow import Flow, NoReply, Reply, Send, call, error_of
from fivefold.client.http import sayable, tensor_array, wire
from fivefold.core.columns import Array, Columns
from fivefold.core.contract import Contract
from fivefold.core.errors import FivefoldError, ProtocolError
from fivefold.core.readers.records import Records

if TYPE_CHECKING:
    from fivefold.client.api import CallOptions

_NOT_FOUND, _UNIMPLEMENTED = 5, 12
_BY_STATUS = {
    1: "cancelled", 3: "malformed", 4: "deadline_exceeded", _NOT_FOUND: "model_not_found", 7: "forbidden",
    8: "too_large", _UNIMPLEMENTED: "not_implemented", 14: "not_ready", 16: "unauthenticated",
}  # fmt: skip
"""What a status means when something on the way, not Fivefold, has answered (grpc/statuscodes)."""


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


class Dialect:
    """The calls over gRPC. Contracts are kept for the life of the client, per model and asked version."""

    def __init__(self) -> None:
        self._contracts: dict[tuple[str, str | None], Contract] = {}

    def predict(
        self, model: str, version: str | None, records: Sequence[Any], options: CallOptions
    ) -> Flow[tuple[list[dict[str, Any]], dict[str, Any]]]:
        """Records in, records out, by way of tensors."""
        contract = yield from self.contract(model, version, options)
        columns = Records(contract.inputs).read([_plain(record) for record in records]).accept()
        arrays, metadata = yield from self.infer(model, version, columns, None, options)
        outputs = {field.name: _column(arrays[field.name], field.kind) for field in contract.outputs}
        return Columns(contract.outputs, outputs, columns.rows).to_records(), metadata

    def infer(
        self,
        model: str,
        version: str | None,
        arrays: Mapping[str, Any],
        outputs: Sequence[str] | None,
        options: CallOptions,
    ) -> Flow[tuple[dict[str, Array], dict[str, Any]]]:
        """Arrays in, arrays out."""
        request = message("ModelInferRequest")(model_name=model, model_version=version or "")
        for name, given in sayable(arrays).items():
            datatype, array = wire(name, given)
            request.inputs.add(name=name, datatype=datatype, shape=array.shape)
            request.raw_input_contents.append(oip.pack(array))
        for name in outputs or ():
            request.outputs.add(name=name)
        reply = yield from _call("ModelInfer", request, "ModelInferResponse", options)
        found = {
            tensor.name: tensor_array(tensor.datatype, tensor.shape, raw)
            for tensor, raw in zip(reply.outputs, reply.raw_output_contents, strict=True)
        }
        return found, {name: _parameter(value) for name, value in reply.parameters.items()}

    def contract(self, model: str, version: str | None, options: CallOptions) -> Flow[Contract]:
        """The contract, from the model's configuration."""
        known = self._contracts.get((model, version))
        if known is None:
            request = message("ModelConfigRequest")(name=model, version=version or "")
            reply = yield from _call("ModelConfig", request, "ModelConfigResponse", options)
            if oip.CONTRACT not in reply.config.parameters:
                raise ProtocolError("not_implemented", f"the server gives no contract for {model!r}", help="use infer")
            known = Contract.from_json(reply.config.parameters[oip.CONTRACT].string_value)
            self._contracts[model, version] = known
        return known

    def models(self, options: CallOptions) -> Flow[list[dict[str, Any]]]:
        """The repository index."""
        reply = yield from _call(
            "RepositoryIndex", message("RepositoryIndexRequest")(), "RepositoryIndexResponse", options
        )
        return [{"name": item.name, "version": item.version, "state": item.state} for item in reply.models]

    def ready(self, model: str | None, options: CallOptions) -> Flow[bool]:
        """One question, asked once."""
        name = "ServerReady" if model is None else "ModelReady"
        request = message(f"{name}Request")() if model is None else message(f"{name}Request")(name=model)
        try:
            reply = yield _send(name, request, options, options.timeout)
        except NoReply:
            return False
        return reply.status == 0 and bool(message(f"{name}Response").FromString(reply.body).ready)


def _plain(value: Any) -> Any:
    """A record with numpy values made Python's."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _column(array: Array, kind: str) -> Array:
    if kind != "string":
        return array
    out = np.empty(array.shape, object)
    out.reshape(-1)[:] = [item.decode() for item in array.reshape(-1)]
    return out


def _parameter(value: Any) -> Any:
    return getattr(value, value.WhichOneof("parameter_choice") or "string_param")


def _send(name: str, request: Any, options: CallOptions, left: float) -> Send:
    return Send(name, request.SerializeToString(), options.headers, left)


def _call(name: str, request: Any, response: str, options: CallOptions) -> Flow[Any]:
    send: Callable[[float], Send] = lambda left: _send(name, request, options, left)  # noqa: E731  # one line says it
    return call(send, lambda reply: _read(reply, response), timeout=options.timeout, retries=options.retries)


def _read(reply: Reply, response: str) -> Any:
    if reply.status:
        raise error(reply)
    return message(response).FromString(reply.body)


def error(reply: Reply) -> FivefoldError:
    """The error of a failed call: its code from the trailer, paths and help from the rich status."""
    from google.rpc import error_details_pb2, status_pb2

    body: dict[str, Any] = {"error": reply.body}
    retry_after: float | None = None
    if "fivefold-code" in reply.headers:
        body["code"] = reply.headers["fivefold-code"]
    status = status_pb2.Status.FromString(reply.headers.get("grpc-status-details-bin", b""))
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
