"""What both clients share: the arguments of a call, the dialect that spells it, and what comes back.

Performing a call is left to `clients`, retrying it to `retry`.
"""

from __future__ import annotations

import math
import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy.typing as npt

from fivefold.client import grpc_client as over_grpc
from fivefold.client import http_client as over_http
from fivefold.client.retry import CONTRACT_VERSION, Attempts, CallOptions, Retries
from fivefold.client.tables import Given, given
from fivefold.client.transports import is_grpc, is_private
from fivefold.core import redact
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import NotFound

VARIABLE = "FIVEFOLD_KEY"

T = TypeVar("T")
P = TypeVar("P")
Arrays = Mapping[str, npt.ArrayLike]


@dataclass(frozen=True, slots=True)
class Prediction(Generic[P]):
    """Answers, one a row, and where they come from.

    `predictions` has the form of what was asked: a list of records for a list of records, a DataFrame for a DataFrame
    (`tables` names the forms). `metadata` has `model`, `version`, `bundle` (sha256), `contract`, `transport` and
    `request_id`.
    """

    predictions: P
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Inference:
    """Output arrays by name, shape [rows, *shape], and the same metadata. BYTES outputs are object arrays of bytes."""

    outputs: dict[str, npt.NDArray[Any]]
    metadata: dict[str, Any]


class _Dialect(Protocol):
    """How one transport spells the calls."""

    def predict(
        self, model: str, version: str | None, given: Given, options: CallOptions
    ) -> Attempts[tuple[Any, dict[str, Any]]]: ...

    def infer(
        self, model: str, version: str | None, arrays: Arrays, outputs: Sequence[str] | None, options: CallOptions
    ) -> Attempts[tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]]: ...

    def contract(self, model: str, version: str | None, options: CallOptions) -> Attempts[Contract]: ...

    def contracts(self, model: str, version: str | None, options: CallOptions) -> Attempts[list[str]]: ...

    def fetch(self, model: str, version: str | None, options: CallOptions) -> Attempts[tuple[Contract, str]]: ...

    def models(self, options: CallOptions) -> Attempts[list[dict[str, Any]]]: ...

    def ready(self, model: str | None, options: CallOptions) -> Attempts[bool]: ...


def authorization(url: str, key: str | None, allow_plaintext: bool) -> dict[str, str]:
    """The header that carries a key, `FIVEFOLD_KEY` where none is given; empty where there is none either.

    Raises `ValueError` for a connection that others can read, and for a key that no header can hold; neither quotes it.
    """
    given = os.environ.get(VARIABLE, "") if key is None else key
    if not given:
        return {}
    source = VARIABLE if key is None else "key"
    if not (given.isascii() and given.isprintable() and " " not in given):
        raise ValueError(f"{source}: expected printable ASCII without spaces")
    if not allow_plaintext and not is_private(url):
        raise ValueError(
            f"{source}: {redact.address(url)} is not encrypted, so others could read the key on its way; "
            "use https or grpcs, or say allow_plaintext=True"
        )
    return {"authorization": f"Bearer {given}"}


class Calls:
    """What both clients share: the dialect, the defaults, and how arguments become attempts."""

    def __init__(
        self,
        url: str,
        key: str | None,
        allow_plaintext: bool,
        timeout: float,
        retries: Retries,
        headers: Mapping[str, str] | None,
        contract: str | None,
    ) -> None:
        self.url = url
        self._timeout = _seconds(timeout)
        self._only: str | None = None
        self._retries = retries
        self._headers = dict(headers or {})
        if contract is not None:
            self._headers[CONTRACT_VERSION] = contract
        # A header that the caller has written itself is nothing to improve by the environment.
        if key is not None or "authorization" not in map(str.lower, self._headers):
            self._headers |= authorization(url, key, allow_plaintext)
        self._dialect: _Dialect = over_grpc.GrpcDialect() if is_grpc(url) else over_http.HttpDialect()

    def _options(self, timeout: float | None, request_id: str | None) -> CallOptions:
        # One id for all attempts of a call: the server's log then tells the whole story.
        headers = {**self._headers, "x-request-id": request_id or uuid.uuid4().hex}
        seconds = self._timeout if timeout is None else _seconds(timeout)
        return CallOptions(seconds, self._retries, headers, time.monotonic() + seconds)

    def _under(self, contract: str | None) -> CallOptions:
        options = self._options(None, None)
        return options if contract is None else options.under(contract)

    def _one(self, model: str | None, options: CallOptions) -> Attempts[str]:
        """The model to ask: the named one, or the only one that is served."""
        if model is not None or self._only is not None:
            return model or self._only or ""
        names = list(dict.fromkeys(str(item["name"]) for item in (yield from self._dialect.models(options))))
        if len(names) != 1:
            shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
            message = f"{len(names)} models are served ({shown}), and none was named" if names else "no model is served"
            raise NotFound("model_not_found", message, help="say which: model=…" if names else None)
        self._only = names[0]
        return names[0]

    def _about(self, model: str | None, options: CallOptions, ask: Callable[[str], Attempts[T]]) -> Attempts[T]:
        """A call about a model, which need not be named."""
        name = yield from self._one(model, options)
        try:
            return (yield from ask(name))
        except NotFound:
            # Another one may be the only one by now: the next call looks again, this one was for the old one.
            self._only = None
            raise

    def _predict(
        self, data: Any, model: str | None, version: str | None, timeout: float | None, request_id: str | None
    ) -> Attempts[Prediction[Any]]:
        rows, options = given(data), self._options(timeout, request_id)
        found = yield from self._about(model, options, lambda name: self._dialect.predict(name, version, rows, options))
        return Prediction(*found)

    def _infer(
        self,
        arrays: Arrays,
        model: str | None,
        version: str | None,
        outputs: Sequence[str] | None,
        timeout: float | None,
        request_id: str | None,
    ) -> Attempts[Inference]:
        options = self._options(timeout, request_id)
        found = yield from self._about(
            model, options, lambda name: self._dialect.infer(name, version, arrays, outputs, options)
        )
        return Inference(*found)

    def _bundle(self, model: str | None, version: str | None) -> Attempts[str]:
        options = self._options(None, None)
        return (yield from self._about(model, options, lambda name: self._dialect.fetch(name, version, options)))[1]

    def _contract(self, model: str | None, version: str | None, contract: str | None) -> Attempts[Contract]:
        options = self._under(contract)
        return self._about(model, options, lambda name: self._dialect.contract(name, version, options))

    def _contracts(self, model: str | None, version: str | None) -> Attempts[list[str]]:
        options = self._options(None, None)
        return self._about(model, options, lambda name: self._dialect.contracts(name, version, options))


def _seconds(timeout: float) -> float:
    """A time budget; raises `ValueError` for what is none."""
    if not 0 < timeout < math.inf:
        raise ValueError(f"timeout: expected a number of seconds above 0, got {timeout!r}")
    return timeout
