"""`Client` and `AsyncClient`: the same calls, performed blocking or awaited."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, overload

from fivefold.client.calls import Arrays, Calls, Inference, Prediction
from fivefold.client.retry import Attempts, CallSteps, NoReply, Pause, Retries
from fivefold.client.transports import (
    AsyncGrpcTransport,
    AsyncHttpTransport,
    GrpcTransport,
    HttpTransport,
    is_grpc,
)
from fivefold.core.contract.contract import Contract

T = TypeVar("T")


class Client(Calls):
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

    @overload
    def predict(
        self,
        data: Sequence[Any],
        *,
        model: str | None = None,
        version: str | None = None,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> Prediction[list[dict[str, Any]]]: ...

    @overload
    def predict(
        self,
        data: Mapping[str, object],
        *,
        model: str | None = None,
        version: str | None = None,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> Prediction[dict[str, Any]]: ...

    @overload
    def predict(
        self,
        data: Any,
        *,
        model: str | None = None,
        version: str | None = None,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> Prediction[Any]: ...

    def predict(
        self,
        data: Any,
        *,
        model: str | None = None,
        version: str | None = None,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> Prediction[Any]:
        """Predictions in the form that the rows have.

        `data` is a list of records (JSON objects, or arrays with one value a field), a single record, a dict of
        columns, a pandas DataFrame, a pyarrow Table, a structured numpy array, or an array of shape [rows, fields] in
        field order. `model` may be left out where one is served. Whatever breaks the contract is a `ContractError`
        with its field and row, the same over HTTP and gRPC; `TypeError` is for what is none of these forms.
        """
        return self._perform(self._predict(data, model, version, timeout, request_id))

    def infer(
        self,
        arrays: Arrays,
        *,
        model: str | None = None,
        version: str | None = None,
        outputs: Sequence[str] | None = None,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> Inference:
        """Output arrays for input arrays, one a field, first axis = rows; binary on the wire."""
        return self._perform(self._infer(arrays, model, version, outputs, timeout, request_id))

    def contract(
        self, model: str | None = None, version: str | None = None, *, contract: str | None = None
    ) -> Contract:
        """The contract that a model is served under: in that version, or the one that this client is answered under."""
        return self._perform(self._contract(model, version, contract))

    def contracts(self, model: str | None = None, version: str | None = None) -> list[str]:
        """The contract versions that a model answers, oldest first; empty where the server does not know of any."""
        return self._perform(self._contracts(model, version))

    def bundle(self, model: str | None = None, version: str | None = None) -> str:
        """The digest (sha256) of the bundle that a model is answered from; empty where the server does not say it."""
        return self._perform(self._bundle(model, version))

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
        step = CallSteps(attempts)
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


class AsyncClient(Calls):
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

    @overload
    async def predict(
        self,
        data: Sequence[Any],
        *,
        model: str | None = None,
        version: str | None = None,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> Prediction[list[dict[str, Any]]]: ...

    @overload
    async def predict(
        self,
        data: Mapping[str, object],
        *,
        model: str | None = None,
        version: str | None = None,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> Prediction[dict[str, Any]]: ...

    @overload
    async def predict(
        self,
        data: Any,
        *,
        model: str | None = None,
        version: str | None = None,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> Prediction[Any]: ...

    async def predict(
        self,
        data: Any,
        *,
        model: str | None = None,
        version: str | None = None,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> Prediction[Any]:
        """See `Client.predict`."""
        return await self._perform(self._predict(data, model, version, timeout, request_id))

    async def infer(
        self,
        arrays: Arrays,
        *,
        model: str | None = None,
        version: str | None = None,
        outputs: Sequence[str] | None = None,
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> Inference:
        """See `Client.infer`."""
        return await self._perform(self._infer(arrays, model, version, outputs, timeout, request_id))

    async def contract(
        self, model: str | None = None, version: str | None = None, *, contract: str | None = None
    ) -> Contract:
        """See `Client.contract`."""
        return await self._perform(self._contract(model, version, contract))

    async def contracts(self, model: str | None = None, version: str | None = None) -> list[str]:
        """See `Client.contracts`."""
        return await self._perform(self._contracts(model, version))

    async def bundle(self, model: str | None = None, version: str | None = None) -> str:
        """See `Client.bundle`."""
        return await self._perform(self._bundle(model, version))

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
        step = CallSteps(attempts)
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
