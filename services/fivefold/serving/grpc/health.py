"""The standard health service, `grpc.health.v1.Health`: Check and Watch.

The service names are "" and `inference.GRPCInferenceService` for the server, a model's name, and `name/version`. A
watcher hears of a model that comes or goes, and NOT_SERVING when a drain begins; then its stream ends, so that watchers
never hold up the drain.
Nobody is asked for a key here: probes and load balancers have none. What makes a server ready is left to `Dataplane`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from grpc_health.v1 import health_pb2 as wire

from fivefold.core.errors import FivefoldError, NotFound, Unavailable
from fivefold.serving.grpc import grpc_errors
from fivefold.serving.grpc.call import Unary, asked, asking, begin, parse

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from fivefold.serving.dataplane import Dataplane
    from fivefold.serving.grpc.call import Context
    from fivefold.serving.messages import Call

SERVICE = "grpc.health.v1.Health"


class Health:
    """Answers for the server and each of its models; `servers` are the names that mean the whole of it."""

    def __init__(self, dataplane: Dataplane, servers: tuple[str, ...]) -> None:
        self._dataplane = dataplane
        self._servers = ("", *servers, SERVICE)
        self._drained = False
        self._changed = asyncio.Event()

    def drain(self) -> None:
        """Tell the watchers."""
        self._drained = True
        self.refresh()

    def refresh(self) -> None:
        """Have the watchers look again: other models are served, or none any more."""
        before, self._changed = self._changed, asyncio.Event()
        before.set()

    @property
    def check(self) -> Unary:
        """The handler of Check."""
        return asking(self._dataplane, wire.HealthCheckRequest, self._check, None)

    async def watch(self, raw: bytes, context: Context) -> AsyncIterator[bytes]:
        """The handler of Watch: the status now, each other one that it becomes, and the end at the drain."""
        call = begin(self._dataplane.request_id, asked(context))
        try:
            service = parse(wire.HealthCheckRequest, raw, self._dataplane.settings.max_body_bytes).service
        except FivefoldError as error:
            await grpc_errors.abort(context, self._dataplane.refuse(call, error), call)
        told = None
        while True:
            # Before the status: what changes afterwards is waited for.
            changed, ended = self._changed, self._drained
            status = self._status(service)
            if status != told:
                told = status
                yield _reply(status).SerializeToString()
            if ended:
                break
            await changed.wait()
        await grpc_errors.abort(context, draining(self._dataplane.settings.retry_after), call)

    def _check(self, request: wire.HealthCheckRequest, _call: Call) -> Message:
        status = self._status(request.service)
        if status == wire.HealthCheckResponse.SERVICE_UNKNOWN:
            raise NotFound(
                "model_not_found",
                f"no service {request.service[:128]!r} has a health here",
                help='"", a model\'s name, or name/version',
            )
        return _reply(status)

    def _status(self, service: str) -> wire.HealthCheckResponse.ServingStatus:
        if service not in self._servers:
            name, _, version = service.partition("/")
            try:
                self._dataplane.models.find(name, version or None)
            except NotFound:
                return wire.HealthCheckResponse.SERVICE_UNKNOWN
        if self._dataplane.ready and not self._drained:
            return wire.HealthCheckResponse.SERVING
        return wire.HealthCheckResponse.NOT_SERVING


def draining(retry_after: float) -> Unavailable:
    """The error that ends the streams of a server that goes away."""
    return Unavailable("not_ready", "this server is going away; another one answers", retry_after=retry_after)


def _reply(status: wire.HealthCheckResponse.ServingStatus) -> Message:
    reply: Message = wire.HealthCheckResponse(status=status)
    return reply
