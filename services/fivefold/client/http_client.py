"""The HTTP dialect: records over V1, tensors over V2 with binary data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import msgspec
import numpy as np

from fivefold.client import foreign
from fivefold.client.retry import Flow, NoReply, Reply, Send, call, error_of, seconds
from fivefold.core import oip_tensors
from fivefold.core.check.findings import say
from fivefold.core.columns import Array, Columns
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import ContractError, FivefoldError

T = TypeVar("T")

if TYPE_CHECKING:
    from fivefold.client.clients import CallOptions

_STATUS = {
    400: "malformed", 401: "unauthenticated", 403: "forbidden", 404: "not_found", 405: "method_not_allowed",
    406: "not_acceptable", 407: "unauthenticated", 408: "request_timeout", 409: "contract_unsupported",
    410: "not_found", 413: "too_large", 415: "unsupported_media_type", 429: "rate_limited",
    431: "headers_too_large", 501: "not_implemented", 503: "not_ready", 504: "deadline_exceeded",
}  # fmt: skip
"""What a status means when something on the way, not Fivefold, has answered."""


def get(path: str, headers: dict[str, str], timeout: float) -> Send:
    """A plain GET."""
    return Send(path, b"", headers, timeout, "GET")


def model_path(prefix: str, model: str, version: str | None) -> str:
    """`/v1/models/m` or `/v1/models/m/versions/v`."""
    at = f"/{prefix}/models/{quote(model, safe='')}"
    return at if version is None else f"{at}/versions/{quote(version, safe='')}"


def predict(model: str, version: str | None, records: Sequence[Any], headers: dict[str, str], timeout: float) -> Send:
    """A V1 prediction."""
    body = msgspec.json.encode({"instances": records}, enc_hook=_plain)
    head = {"content-type": "application/json", **headers}
    return Send(f"{model_path('v1', model, version)}:predict", body, head, timeout)


def _plain(value: Any) -> Any:
    """numpy scalars and arrays inside records."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"a record cannot hold a {type(value).__name__}")


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
    for name, given in sayable(arrays).items():
        datatype, array = wire(name, given)
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
    # Tensors hardly become smaller, and take long to.
    sent = {
        "accept-encoding": "identity",
        "content-type": "application/octet-stream",
        "inference-header-content-length": str(len(head)),
        **headers,
    }
    return Send(f"{model_path('v2', model, version)}/infer", b"".join((head, *chunks)), sent, timeout)


def sayable(arrays: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arrays that travel as tensors, every null among them told apart from a value.

    Columns whose `null_value` is a value have no null in a tensor: one of nulls alone is left out where null is the
    field's default, any other is refused with `ContractError` `null_not_allowed`.
    """
    if not isinstance(arrays, Columns):
        return arrays
    out: dict[str, Any] = dict(arrays)
    for field in arrays.fields:
        if field.null_is_value and (nulls := arrays.nulls(field.name)).any():
            if not (field.default is None and nulls.all() and len(out) > 1):
                raise _no_null(field.name, nulls, f"a tensor has no null, and {say(field.null_value)} is a value")
            del out[field.name]
    return out


def _no_null(name: str, nulls: Array, message: str) -> ContractError:
    place = "".join(f"[{at}]" for at in np.argwhere(nulls)[0]) if nulls.ndim else ""
    return ContractError("null_not_allowed", message, path=f"inputs.{name}{place}", help=_NO_NULL)


_NO_NULL = (
    "send records over HTTP, which have null, or give the field a null_value outside of its legal values; "
    "in a nullable float NaN is null"
)


def _missing(item: Any) -> bool:
    """None, NaN, or pandas' own word for what is not there."""
    return item is None or (isinstance(item, float) and item != item) or type(item).__name__ in ("NAType", "NaTType")


def wire(name: str, given: Any) -> tuple[str, Array]:
    """The protocol's datatype of an array, and the array as it is packed; text becomes an object array.

    Raises `ContractError` `null_not_allowed` for None and its like, for which a tensor has no spelling.
    """
    if np.ma.isMaskedArray(given) and np.ma.getmaskarray(given).any():
        raise _no_null(name, np.ma.getmaskarray(given), "a tensor has no spelling for a masked element")
    array = np.asarray(given)
    if array.dtype.kind in "US":
        array = array.astype(object)
    if array.dtype == object:
        others = [item for item in array.reshape(-1) if not isinstance(item, str | bytes)]
        if any(map(_missing, others)):
            nulls = np.array([_missing(item) for item in array.reshape(-1)], np.bool_).reshape(array.shape)
            raise _no_null(name, nulls, "a tensor has no spelling for a missing element among objects")
        if others:
            raise TypeError(f"{name}: no tensor can hold a {type(others[0]).__name__}; give an array of one dtype")
        return "BYTES", array
    datatype = oip_tensors.NAMES.get(array.dtype.name)
    if datatype is None:
        raise TypeError(f"{name}: no tensor can hold {array.dtype}")
    return datatype, array


def read_json(reply: Reply) -> Any:
    """The JSON of a good reply; raises the error of any other."""
    _refuse(reply)
    with _reading(reply):
        return msgspec.json.decode(reply.body)


def _refuse(reply: Reply) -> None:
    """Raise what a reply is that is not the one good one: an error, a redirect, or some other success."""
    if reply.status == 200:
        return
    if reply.status < 300:
        raise foreign.unreadable(reply.source, foreign.phrase(reply.status), reply.body, "200 was to be expected")
    raise error(reply)


def _reading(reply: Reply) -> AbstractContextManager[None]:
    return foreign.reading(reply.source, foreign.phrase(reply.status), reply.body)


def read_predictions(reply: Reply, rows: int) -> tuple[list[Any], dict[str, Any]]:
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


def read_index(reply: Reply) -> list[dict[str, Any]]:
    """The repository index."""
    found = read_json(reply)
    with _reading(reply):
        if not isinstance(found, list) or not all(isinstance(item, dict) and "name" in item for item in found):
            raise foreign.Misread("it is no list of models")
        return found


def read_contract(reply: Reply) -> Contract:
    """The contract of a model."""
    found = read_json(reply)
    with _reading(reply):
        return Contract.from_json(found)


def is_ready(reply: Reply) -> bool:
    """Whether an answer says so: by its body, or, as the protocol has it, by the status alone."""
    if reply.status != 200 or not reply.body.strip():
        return reply.status == 200 and "text/html" not in reply.headers.get("content-type", "")
    try:
        found = msgspec.json.decode(reply.body)
    except (msgspec.MsgspecError, UnicodeError):
        return False
    return isinstance(found, dict) and found.get("ready") is True


def read_tensors(reply: Reply, asked: Sequence[str] = ()) -> tuple[dict[str, Array], dict[str, Any]]:
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
            arrays[tensor["name"]] = tensor_array(tensor["datatype"], shape, raw)
        if at != len(reply.body):
            raise foreign.Misread(f"its tensors end at byte {at} of {len(reply.body)}")
        for name in asked:
            if name not in arrays:
                raise foreign.Misread(f"it has no output {name!r}")
        parameters = head.get("parameters")
        return arrays, parameters if isinstance(parameters, dict) else {}


def _listed(datatype: str, shape: Sequence[int], data: Any) -> Array:
    """An array from JSON values; BYTES, which JSON has as text, are bytes here too."""
    if datatype != "BYTES":
        return np.array(data, oip_tensors.DATATYPES[datatype]).reshape(tuple(shape))
    flat = np.array(data, object).reshape(-1)
    flat[:] = [item.encode() for item in flat]
    return flat.reshape(tuple(shape))


def tensor_array(datatype: str, shape: Sequence[int], raw: bytes) -> Array:
    """An array from its raw form; BYTES stay bytes."""
    return oip_tensors.unpack(datatype, raw, int(np.prod(shape, dtype=np.int64)), "outputs").reshape(tuple(shape))


def error(reply: Reply) -> FivefoldError:
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


class Dialect:
    """The calls over HTTP."""

    def predict(
        self, model: str, version: str | None, records: Sequence[Any], options: CallOptions
    ) -> Flow[tuple[list[dict[str, Any]], dict[str, Any]]]:
        """Records in, records out."""
        return (
            yield from _call(
                lambda left: predict(model, version, records, options.sent(left), left),
                lambda reply: read_predictions(reply, len(records)),
                options,
            )
        )

    def infer(
        self,
        model: str,
        version: str | None,
        arrays: Mapping[str, Any],
        outputs: Sequence[str] | None,
        options: CallOptions,
    ) -> Flow[tuple[dict[str, Array], dict[str, Any]]]:
        """Arrays in, arrays out."""
        return (
            yield from _call(
                lambda left: infer(model, version, arrays, outputs, options.sent(left), left),
                lambda reply: read_tensors(reply, outputs or ()),
                options,
            )
        )

    def contract(self, model: str, version: str | None, options: CallOptions) -> Flow[Contract]:
        """The contract as the server holds it."""
        path = f"{model_path('v1', model, version)}/contract"
        return (yield from _call(lambda left: get(path, options.sent(left), left), read_contract, options))

    def models(self, options: CallOptions) -> Flow[list[dict[str, Any]]]:
        """The repository index."""
        return (
            yield from _call(
                lambda left: Send("/v2/repository/index", b"{}", _JSON | options.sent(left), left), read_index, options
            )
        )

    def ready(self, model: str | None, options: CallOptions) -> Flow[bool]:
        """One question, asked once."""
        path = "/v2/health/ready" if model is None else f"{model_path('v2', model, None)}/ready"
        try:
            reply = yield get(path, options.sent(options.timeout), options.timeout)
        except NoReply:
            return False
        return is_ready(reply)


_JSON = {"content-type": "application/json"}


def _call(send: Callable[[float], Send], read: Callable[[Reply], T], options: CallOptions) -> Flow[T]:
    return call(send, read, timeout=options.timeout, retries=options.retries, until=options.until)
