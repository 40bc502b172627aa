"""`Client` and `AsyncClient`: the same calls, performed blocking or awaited."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

import numpy.typing as npt

from fivefold.client import grpc_client as over_grpc
from fivefold.client import http_client as over_http
from fivefold.client.retry import CONTRACT_VERSION, Attempts, CallOptions, NoReply, Pause, Retries, Send, ServerReply
from fivefold.client.transports import (
    AsyncGrpcTransport,
    AsyncHttpTransport,
    GrpcTransport,
    HttpTransport,
    is_grpc,
    is_private,
)
from fivefold.core import redact
from fivefold.core.contract.contract import Contract

VARIABLE = "FIVEFOLD_KEY"

T = TypeVar("T")
Arrays = Mapping[str, npt.ArrayLike]


@dataclass(frozen=True, slots=True)
class Prediction:
    """Answers to records, one a row, and where they come from.

    `metadata` has `model`, `version`, `bundle` (sha256), `contract`, `transport` and `request_id`.
    """

    predictions: list[dict[str, Any]]
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Inference:
    """Output arrays by name, shape [rows, *shape], and the same metadata. BYTES outputs are object arrays of bytes."""

    outputs: dict[str, npt.NDArray[Any]]
    metadata: dict[str, Any]


class _Dialect(Protocol):
    """How one transport spells the calls."""

    def predict(
        self, model: str, version: str | None, records: Sequence[Any], options: CallOptions
    ) -> Attempts[tuple[list[dict[str, Any]], dict[str, Any]]]: ...

    def infer(
        self, model: str, version: str | None, arrays: Arrays, outputs: Sequence[str] | None, options: CallOptions
    ) -> Attempts[tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]]: ...

    def contract(self, model: str, version: str | None, options: CallOptions) -> Attempts[Contract]: ...

    def contracts(self, model: str, version: str | None, options: CallOptions) -> Attempts[list[str]]: ...

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


class _Calls:
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
        self._timeout = timeout
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
        seconds = self._timeout if timeout is None else timeout
        return CallOptions(seconds, self._retries, headers, time.monotonic() + seconds)

    def _under(self, contract: str | None) -> CallOptions:
        options = self._options(None, None)
        return options if contract is None else options.under(contract)

    def _predict(
        self, records: Sequence[Any], model: str, version: str | None, timeout: float | None, request_id: str | None
    ) -> Attempts[Prediction]:
        found = yield from self._dialect.predict(model, version, records, self._options(timeout, request_id))
        return Prediction(*found)

    def _infer(
        self,
        arrays: Arrays,
        model: str,
        version: str | None,
        outputs: Sequence[str] | None,
        timeout: float | None,
        request_id: str | None,
    ) -> Attempts[Inference]:
        found = yield from self._dialect.infer(model, version, arrays, outputs, self._options(timeout, request_id))
        return Inference(*found)


class Client(_Calls):
    """A blocking client; thread-safe, closed by `close` or a `with` block.

    Every call raises the `FivefoldError` that the server raised: same code, same path, same details. Calls are retried
    while the server says that it is not ready, overloaded or rate limited, or cannot be reached, honouring Retry-After
    and never past `timeout` (seconds).

    `key` is an API key or a token, otherwise `FIVEFOLD_KEY` from the environment ("" sends none). Over a connection
    that others can read it is not sent: `ValueError`, unless `allow_plaintext` says that the network is trusted. `ca`
    is a PEM file of the certificate authorities that https and grpcs trust, in place of the usual ones. `contract` is
    the contract version that records and arrays are written for; without it the server answers under its default one.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        ca: str | os.PathLike[str] | None = None,
        allow_plaintext: bool = False,
        timeout: float = 30.0,
        retries: Retries | None = None,
        headers: Mapping[str, str] | None = None,
        contract: str | None = None,
        **transport: Any,
    ) -> None:
        super().__init__(url, key, allow_plaintext, timeout, retries or Retries(), headers, contract)
        trusted = None if ca is None else Path(ca)
        kind = GrpcTransport if is_grpc(url) else HttpTransport
        self._transport: GrpcTransport | HttpTransport = kind(url, trusted, **transport)

    def predict(
        self,
        records: Sequence[Any],
        *,
        model: str,
        version: str | None = None,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> Prediction:
        """Predictions for records: JSON objects (or positional arrays), one a row."""
        return self._perform(self._predict(records, model, version, timeout, request_id))

    def infer(
        self,
        arrays: Arrays,
        *,
        model: str,
        version: str | None = None,
        outputs: Sequence[str] | None = None,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> Inference:
        """Output arrays for input arrays, one a field, first axis = rows; binary on the wire."""
        return self._perform(self._infer(arrays, model, version, outputs, timeout, request_id))

    def contract(self, model: str, version: str | None = None, *, contract: str | None = None) -> Contract:
        """The contract that a model is served under: in that version, or the one that this client is answered under."""
        return self._perform(self._dialect.contract(model, version, self._under(contract)))

    def contracts(self, model: str, version: str | None = None) -> list[str]:
        """The contract versions that a model answers, oldest first; empty where the server does not know of any."""
        return self._perform(self._dialect.contracts(model, version, self._options(None, None)))

    def models(self) -> list[dict[str, Any]]:
        """What is served: `{name, version, state}` each."""
        return self._perform(self._dialect.models(self._options(None, None)))

    def ready(self, model: str | None = None) -> bool:
        """Whether the server, or one model, takes requests; False also when nothing answers."""
        return self._perform(self._dialect.ready(model, self._options(None, None)))

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _perform(self, attempts: Attempts[T]) -> T:
        step = _Step(attempts)
        while not step.done:
            if isinstance(step.want, Pause):
                time.sleep(step.want.seconds)
                step.go_on(None)
                continue
            try:
                step.go_on(self._transport.send(step.want))
            except NoReply as err:
                step.fail(err)
        return step.result


class AsyncClient(_Calls):
    """The same client for asyncio; closed by `close` or an `async with` block."""

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        ca: str | os.PathLike[str] | None = None,
        allow_plaintext: bool = False,
        timeout: float = 30.0,
        retries: Retries | None = None,
        headers: Mapping[str, str] | None = None,
        contract: str | None = None,
        **transport: Any,
    ) -> None:
        super().__init__(url, key, allow_plaintext, timeout, retries or Retries(), headers, contract)
        trusted = None if ca is None else Path(ca)
        kind = AsyncGrpcTransport if is_grpc(url) else AsyncHttpTransport
        self._transport: AsyncGrpcTransport | AsyncHttpTransport = kind(url, trusted, **transport)

    async def predict(
        self,
        records: Sequence[Any],
        *,
        model: str,
        version: str | None = None,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> Prediction:
        """See `Client.predict`."""
        return await self._perform(self._predict(records, model, version, timeout, request_id))

    async def infer(
        self,
        arrays: Arrays,
        *,
        model: str,
        version: str | None = None,
        outputs: Sequence[str] | None = None,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> Inference:
        """See `Client.infer`."""
        return await self._perform(self._infer(arrays, model, version, outputs, timeout, request_id))

    async def contract(self, model: str, version: str | None = None, *, contract: str | None = None) -> Contract:
        """See `Client.contract`."""
        return await self._perform(self._dialect.contract(model, version, self._under(contract)))

    async def contracts(self, model: str, version: str | None = None) -> list[str]:
        """See `Client.contracts`."""
        return await self._perform(self._dialect.contracts(model, version, self._options(None, None)))

    async def models(self) -> list[dict[str, Any]]:
        """See `Client.models`."""
        return await self._perform(self._dialect.models(self._options(None, None)))

    async def ready(self, model: str | None = None) -> bool:
        """See `Client.ready`."""
        return await self._perform(self._dialect.ready(model, self._options(None, None)))

    async def close(self) -> None:
        await self._transport.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _perform(self, attempts: Attempts[T]) -> T:
        step = _Step(attempts)
        while not step.done:
            if isinstance(step.want, Pause):
                await asyncio.sleep(step.want.seconds)
                step.go_on(None)
                continue
            try:
                step.go_on(await self._transport.send(step.want))
            except NoReply as err:
                step.fail(err)
        return step.result


class _Step(Generic[T]):
    """Attempts under way: what they want next, or their result."""

    def __init__(self, attempts: Attempts[T]) -> None:
        self._attempts = attempts
        self.done = False
        self.result: T
        self.want: Send | Pause
        self._advance(lambda: next(attempts))

    def go_on(self, reply: ServerReply | None) -> None:
        """Hand the attempts what they asked for."""
        self._advance(lambda: self._attempts.send(reply))  # type: ignore[arg-type]  # a pause is answered with nothing

    def fail(self, error: NoReply) -> None:
        """Tell the attempts that their message got no reply."""
        self._advance(lambda: self._attempts.throw(error))

    def _advance(self, step: Any) -> None:
        try:
            self.want = step()
        except StopIteration as stop:
            self.done, self.result = True, stop.value
