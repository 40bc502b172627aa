"""The HTTP dialect: records over V1, tensors over V2 with binary data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec
import numpy as np

from fivefold.client import foreign
from fivefold.client.array_codec import chosen, from_tensor, to_tensor, without_nulls
from fivefold.client.retry import Attempts, CallOptions, NoReply, Send, ServerReply, call, error_of, seconds
from fivefold.client.tables import Given, RecordList
from fivefold.client.under_contract import ScoredTensors, UnderContract
from fivefold.core import oip_tensors
from fivefold.core.columns import Array, Columns
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import FivefoldError, NotFound, ProtocolError

T = TypeVar("T")

_STATUS = {
    400: "malformed", 401: "unauthenticated", 403: "forbidden", 404: "not_found", 405: "method_not_allowed",
    406: "not_acceptable", 407: "unauthenticated", 408: "request_timeout", 409: "contract_unsupported",
    410: "not_found", 413: "too_large", 415: "unsupported_media_type", 429: "rate_limited",
    431: "headers_too_large", 501: "not_implemented", 503: "not_ready", 504: "deadline_exceeded",
}  # fmt: skip
"""What a status means when something on the way, not Fivefold, has answered."""


def get(path: str, headers: dict[str, str], timeout: float) -> Send:
    return Send(path, b"", headers, timeout, "GET")


def model_path(prefix: str, model: str, version: str | None) -> str:
    """`/v1/models/m` or `/v1/models/m/versions/v`."""
    at = f"/{prefix}/models/{quote(model, safe='')}"
    return at if version is None else f"{at}/versions/{quote(version, safe='')}"


def predict(model: str, version: str | None, records: Sequence[Any], headers: dict[str, str], timeout: float) -> Send:
    body = msgspec.json.encode({"instances": records})
    head = {"content-type": "application/json", **headers}
    return Send(f"{model_path('v1', model, version)}:predict", body, head, timeout)


def infer(
    model: str,
    version: str | None,
    arrays: Mapping[str, Array],
    outputs: Sequence[str] | None,
    headers: dict[str, str],
    timeout: float,
) -> Send:
    """A V2 inference with every tensor in binary, asking for binary back."""
    inputs, chunks = [], []
    for name, given in without_nulls(arrays).items():
        datatype, array = to_tensor(name, given)
        chunks.append(oip_tensors.pack(array))
        inputs.append(
            {
                "name": name,
                "shape": list(array.shape),
                "datatype": datatype,
                "parameters": {"binary_data_size": len(chunks[-1])},
            }
        )
    request: dict[str, Any] = {"inputs": inputs, "parameters": {"binary_data_output": True}}
    if outputs is not None:
        request["outputs"] = [{"name": name, "parameters": {"binary_data": True}} for name in outputs]
    head = msgspec.json.encode(request)
    # Inference hardly become smaller, and take long to.
    sent = {
        "accept-encoding": "identity",
        "content-type": "application/octet-stream",
        "inference-header-content-length": str(len(head)),
        **headers,
    }
    return Send(f"{model_path('v2', model, version)}/infer", b"".join((head, *chunks)), sent, timeout)


def read_json(reply: ServerReply) -> Any:
    """The JSON of a good reply; raises the error of any other."""
    _refuse(reply)
    with _reading(reply):
        return msgspec.json.decode(reply.body)


def _refuse(reply: ServerReply) -> None:
    """Raise what a reply is that is not the one good one: an error, a redirect, or some other success."""
    if reply.status == 200:
        return
    if reply.status < 300:
        raise foreign.unreadable(reply.source, foreign.phrase(reply.status), reply.body, "200 was to be expected")
    raise error(reply)


def _reading(reply: ServerReply) -> AbstractContextManager[None]:
    return foreign.reading(reply.source, foreign.phrase(reply.status), reply.body)


def read_predictions(reply: ServerReply, rows: int) -> tuple[list[Any], dict[str, Any]]:
    """The predictions and the metadata of a V1 answer to so many records."""
    answer = read_json(reply)
    with _reading(reply):
        found = answer.get("predictions") if isinstance(answer, dict) else None
        if not isinstance(found, list):
            raise foreign.Misread("it has no predictions")
        if len(found) != rows:
            raise foreign.Misread(f"it has {len(found)} predictions for {rows} records")
        metadata = answer.get("metadata")
        return found, metadata if isinstance(metadata, dict) else {}


def read_index(reply: ServerReply) -> list[dict[str, Any]]:
    found = read_json(reply)
    with _reading(reply):
        if not isinstance(found, list) or not all(isinstance(item, dict) and "name" in item for item in found):
            raise foreign.Misread("it is no list of models")
        return found


def read_contract(reply: ServerReply) -> Contract:
    """The contract of a model."""
    found = read_json(reply)
    with _reading(reply):
        return Contract.from_json(found)


def read_config(reply: ServerReply, model: str) -> tuple[Contract, str]:
    """The contract in a model's configuration, and the digest of its bundle ("" where there is none)."""
    none = f"{reply.source} gives no contract for {model!r}"
    way = "a server of another make takes lists of JSON records, and arrays by infer"
    try:
        found = read_json(reply)
    except NotFound as err:
        if reply.status == 404 and err.code == "not_found":
            raise ProtocolError("not_implemented", none, help=way) from err
        raise
    with _reading(reply):
        parameters = found.get("parameters") if isinstance(found, dict) else None
        if isinstance(parameters, dict) and oip_tensors.CONTRACT in parameters:
            bundle = parameters["bundle"]["string_value"] if "bundle" in parameters else ""
            return Contract.from_json(parameters[oip_tensors.CONTRACT]["string_value"]), bundle
    raise ProtocolError("not_implemented", none, help=way)


def read_versions(reply: ServerReply) -> list[str]:
    """The contract versions that a model's status lists."""
    found = read_json(reply)
    with _reading(reply):
        listed = found.get("contracts", []) if isinstance(found, dict) else None
        if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
            raise foreign.Misread("it is no model's status")
        return listed


def is_ready(reply: ServerReply) -> bool:
    """Whether an answer says so: by its body, or, as the protocol has it, by the status alone."""
    if reply.status != 200 or not reply.body.strip():
        return reply.status == 200 and "text/html" not in reply.headers.get("content-type", "")
    try:
        found = msgspec.json.decode(reply.body)
    except (msgspec.MsgspecError, UnicodeError):
        return False
    return isinstance(found, dict) and found.get("ready") is True


def read_tensors(reply: ServerReply, asked: Sequence[str] = ()) -> tuple[dict[str, Array], dict[str, Any]]:
    """Output arrays, the asked ones among them, and parameters of a V2 answer."""
    _refuse(reply)
    with _reading(reply):
        cut = int(reply.headers.get("inference-header-content-length") or len(reply.body))
        head = msgspec.json.decode(reply.body[:cut])
        if not isinstance(head, dict) or not isinstance(head.get("outputs"), list):
            raise foreign.Misread("it has no outputs")
        at, arrays = cut, {}
        for tensor in head["outputs"]:
            size = (tensor.get("parameters") or {}).get("binary_data_size")
            shape = tuple(tensor["shape"])
            if size is None:
                arrays[tensor["name"]] = _listed(tensor["datatype"], shape, tensor["data"])
                continue
            raw = reply.body[at : at + size]
            at += size
            arrays[tensor["name"]] = from_tensor(tensor["datatype"], shape, raw)
        if at != len(reply.body):
            raise foreign.Misread(f"its tensors end at byte {at} of {len(reply.body)}")
        parameters = head.get("parameters")
        return chosen(arrays, asked), parameters if isinstance(parameters, dict) else {}


def _listed(datatype: str, shape: Sequence[int], data: Any) -> Array:
    """An array from JSON values; BYTES, which JSON has as text, are bytes here too."""
    if datatype != "BYTES":
        return np.array(data, oip_tensors.DATATYPES[datatype]).reshape(tuple(shape))
    flat = np.array(data, object).reshape(-1)
    flat[:] = [item.encode() for item in flat]
    return flat.reshape(tuple(shape))


def error(reply: ServerReply) -> FivefoldError:
    """The error of a reply, also of one that something on the way has made."""
    if 300 <= reply.status < 400:
        return foreign.redirected(reply.source, reply.status, reply.headers.get("location", ""))
    retry_after = seconds(reply.headers.get("retry-after"))
    try:
        body = msgspec.json.decode(reply.body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        body = None
    if foreign.is_ours(body):
        return error_of(body, retry_after=retry_after)
    code = _STATUS.get(reply.status, "internal" if reply.status >= 500 else "malformed")
    sentence = foreign.answered(reply.source, foreign.phrase(reply.status), reply.body)
    return error_of({"code": code, "error": sentence}, retry_after=retry_after)


class HttpDialect(UnderContract):
    """The calls over HTTP."""

    def predict(
        self, model: str, version: str | None, given: Given, options: CallOptions
    ) -> Attempts[tuple[Any, dict[str, Any]]]:
        """Records that are JSON go as they are, for any server to read; all else is read here, under the contract."""
        if isinstance(given, RecordList) and given.json:
            return (yield from self._records(model, version, given.rows, options))
        return (yield from self.predict_given(model, version, given, options))

    def _records(
        self, model: str, version: str | None, rows: Sequence[Any], options: CallOptions
    ) -> Attempts[tuple[list[Any], dict[str, Any]]]:
        return (
            yield from call(
                lambda left: predict(model, version, rows, options.sent(left), left),
                lambda reply: read_predictions(reply, len(rows)),
                options,
            )
        )

    def score(self, model: str, version: str | None, columns: Columns, options: CallOptions) -> Attempts[ScoredTensors]:
        """The outputs for legal columns: by tensors, or, where those have no spelling for a null, by records."""
        if any(field.null_is_value and columns.nulls(field.name).any() for field in columns.fields):
            found, metadata = yield from self._records(model, version, columns.to_records(), options)
            return ScoredTensors(found, metadata, lambda: foreign.reading(model, foreign.phrase(200), b""))
        reply, (arrays, metadata) = yield from call(
            lambda left: infer(model, version, columns, None, options.sent(left), left),
            lambda reply: (reply, read_tensors(reply)),
            options,
        )
        return ScoredTensors(arrays, metadata, lambda: _reading(reply))

    def fetch(self, model: str, version: str | None, options: CallOptions) -> Attempts[tuple[Contract, str]]:
        """The contract and its bundle's digest, from the model's configuration."""
        path = f"{model_path('v2', model, version)}/config"
        return (
            yield from call(
                lambda left: get(path, options.sent(left), left), lambda reply: read_config(reply, model), options
            )
        )

    def infer(
        self,
        model: str,
        version: str | None,
        arrays: Mapping[str, Any],
        outputs: Sequence[str] | None,
        options: CallOptions,
    ) -> Attempts[tuple[dict[str, Array], dict[str, Any]]]:
        return (
            yield from call(
                lambda left: infer(model, version, arrays, outputs, options.sent(left), left),
                lambda reply: read_tensors(reply, outputs or ()),
                options,
            )
        )

    def contract(self, model: str, version: str | None, options: CallOptions) -> Attempts[Contract]:
        """The contract as the server holds it."""
        path = f"{model_path('v1', model, version)}/contract"
        return (yield from call(lambda left: get(path, options.sent(left), left), read_contract, options))

    def contracts(self, model: str, version: str | None, options: CallOptions) -> Attempts[list[str]]:
        path = model_path("v1", model, version)
        return (yield from call(lambda left: get(path, options.sent(left), left), read_versions, options))

    def models(self, options: CallOptions) -> Attempts[list[dict[str, Any]]]:
        return (
            yield from call(
                lambda left: Send("/v2/repository/index", b"{}", _JSON | options.sent(left), left), read_index, options
            )
        )

    def ready(self, model: str | None, options: CallOptions) -> Attempts[bool]:
        path = "/v2/health/ready" if model is None else f"{model_path('v2', model, None)}/ready"
        try:
            reply = yield get(path, options.sent(options.timeout), options.timeout)
        except NoReply:
            return False
        return is_ready(reply)


_JSON = {"content-type": "application/json"}
