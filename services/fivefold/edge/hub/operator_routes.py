"""What operators ask: the page and the figures behind it, health and metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

from starlette.requests import Request

from fivefold.core.errors import ContractError
from fivefold.edge.hub import console
from fivefold.edge.hub.database import HubConnection, HubDatabase
from fivefold.edge.hub.device_register import list_devices, milliseconds
from fivefold.edge.hub.device_routes import DeviceRoutes
from fivefold.edge.hub.event_ledger import head_position, quarantined_lines
from fivefold.edge.hub.forward_loop import ForwardLoop
from fivefold.edge.hub.hub_app import HubHandler, Route
from fivefold.edge.hub.release_shelf import list_releases
from fivefold.edge.hub.request_access import RequestAccess
from fivefold.serving.dataplane import Dataplane
from fivefold.serving.http.http_errors import JSON, HttpReply, identity, to_bytes
from fivefold.serving.messages import Call

MOST_DEVICES: Final = 10_000
SHOWN: Final = 100
"""Lines of the quarantine that one answer has at most."""
SHOWN_BYTES: Final = 2048


class OperatorRoutes:
    """The routes of people and programs that look at the hub; used by one event loop."""

    def __init__(
        self,
        plane: Dataplane,
        database: HubDatabase,
        access: RequestAccess,
        devices: DeviceRoutes,
        forwarding: ForwardLoop | None,
        target: str,
    ) -> None:
        """`target` is the address that is forwarded to; empty where there is none."""
        self._plane, self._database, self._access = plane, database, access
        self._devices, self._forwarding, self._target = devices, forwarding, target

    def routes(self) -> list[Route]:
        """Method, path and handler of each."""
        routes: list[Route] = [
            ("GET", "/livez", self._live),
            ("GET", "/readyz", self._ready),
            ("GET", "/metrics", self._metrics),
            ("GET", "/v1/hub/overview", self._looking(self._overview)),
            ("GET", "/v1/hub/devices", self._looking(self._device_list)),
            ("GET", "/v1/hub/quarantine", self._looking(self._quarantine)),
        ]
        return routes + [("GET", path, _file(*file)) for path, file in console.console_files().items()]

    async def _live(self, _request: Request, call: Call) -> HttpReply:
        return _answer(call, {"live": True})

    async def _ready(self, _request: Request, call: Call) -> HttpReply:
        def look() -> None:
            with self._database.reading() as connection:
                head_position(connection)

        await self._devices.in_thread(look)
        ready = self._plane.ready
        return HttpReply(200 if ready else 503, [JSON, *identity(call)], to_bytes({"ready": ready}))

    async def _metrics(self, request: Request, call: Call) -> HttpReply:
        self._access.operator(request)
        accept = request.headers.get("accept", "")
        body, media_type = await self._devices.in_thread(lambda: self._plane.telemetry.expose(accept))
        return HttpReply(200, [(b"content-type", media_type.encode()), *identity(call)], body)

    def _looking(self, look: Callable[[HubConnection, Request], Any]) -> HubHandler:
        """A handler that answers an operator what `look` finds in the store."""

        async def answer(request: Request, call: Call) -> HttpReply:
            self._access.operator(request)

            def read() -> Any:
                with self._database.reading() as connection:
                    return look(connection, request)

            body = await self._devices.in_thread(lambda: to_bytes(read()))
            return HttpReply(200, [JSON, (b"cache-control", b"no-store"), *identity(call)], body)

        return answer

    def _overview(self, connection: HubConnection, _request: Request) -> dict[str, Any]:
        head = head_position(connection)
        ((devices,),) = connection.execute("SELECT count(*) FROM hub_devices")
        ((quarantined,),) = connection.execute("SELECT count(*) FROM hub_quarantine")
        return {
            "now": milliseconds(),
            "store": self._database.where,
            "events": head,
            "devices": devices,
            "quarantined": quarantined,
            "forwarding": self._forwarded(),
            "releases": [asdict(each) for each in list_releases(connection)],
        }

    def _forwarded(self) -> dict[str, Any] | None:
        loop = self._forwarding
        if loop is None:
            return None
        trouble = loop.trouble
        return {
            "to": self._target,
            "leading": loop.leading,
            "position": loop.position,
            "trouble": None if trouble is None else {"code": trouble.code, "error": str(trouble)},
        }

    def _device_list(self, connection: HubConnection, request: Request) -> dict[str, Any]:
        most = _number(request, "limit", 1000, MOST_DEVICES)
        found = list_devices(connection, request.query_params.get("after", ""), most)
        return {"now": milliseconds(), "devices": [asdict(each) for each in found]}

    def _quarantine(self, connection: HubConnection, request: Request) -> dict[str, Any]:
        most = _number(request, "limit", SHOWN, SHOWN)
        found = []
        for line in quarantined_lines(connection, request.query_params.get("device"), most):
            shown = line.raw[:SHOWN_BYTES].decode("utf-8", "replace")
            found.append({**asdict(line), "bytes": len(line.raw), "raw": shown})
        return {"quarantine": found}


def _file(body: bytes, headers: list[tuple[bytes, bytes]]) -> HubHandler:
    async def answer(_request: Request, call: Call) -> HttpReply:
        return HttpReply(200, [*headers, *identity(call)], body)

    return answer


def _answer(call: Call, value: Any) -> HttpReply:
    return HttpReply(200, [JSON, *identity(call)], to_bytes(value))


def _number(request: Request, name: str, default: int, most: int) -> int:
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise ContractError("malformed", f"expected a number of 1 to {most}, got {text[:64]!r}", path=name)
    return int(text)
