"""What devices ask about models: the releases that they are to run, and the bytes of their archives in ranges."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Final

from starlette.requests import Request

from fivefold.core.errors import ContractError
from fivefold.edge.hub.database import HubDatabase
from fivefold.edge.hub.device_routes import DeviceRoutes
from fivefold.edge.hub.hub_app import Route
from fivefold.edge.hub.release_shelf import MAX_RANGE, ShelfOffer, archive_bytes, archive_size, releases_for
from fivefold.serving.http.http_errors import JSON, HttpReply, identity, to_bytes
from fivefold.serving.messages import Call

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_RANGE: Final = re.compile(r"bytes=([0-9]{1,18})-([0-9]{0,18})")


class ReleaseRoutes:
    """Used by one event loop."""

    def __init__(self, database: HubDatabase, devices: DeviceRoutes) -> None:
        self._database, self._devices = database, devices

    def routes(self) -> list[Route]:
        """Method, path and handler of each."""
        return [
            ("GET", "/v1/edge/{device}/models", self._models),
            ("GET", "/v1/edge/{device}/archives/{sha256}", self._archive),
        ]

    async def _models(self, request: Request, call: Call) -> HttpReply:
        device = await self._devices.admitted(request)

        def look() -> list[ShelfOffer]:
            with self._database.reading() as connection:
                return releases_for(connection, device)

        models = [
            {
                "model": each.model,
                "release": each.release,
                "descriptor": base64.b64encode(each.descriptor).decode(),
                "signature": base64.b64encode(each.signature).decode(),
            }
            for each in await self._devices.in_thread(look)
        ]
        body = to_bytes({"models": models})
        etag = f'"{hashlib.sha256(body).hexdigest()}"'
        headers = [(b"etag", etag.encode()), (b"cache-control", b"private, no-cache"), *identity(call)]
        known = [each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")]
        if etag in known:
            return HttpReply(304, headers, b"")
        return HttpReply(200, [JSON, *headers], body)

    async def _archive(self, request: Request, call: Call) -> HttpReply:
        device = await self._devices.admitted(request)
        sha256 = request.path_params["sha256"]
        if not _SHA256.fullmatch(sha256):
            raise ContractError("malformed", "expected the archive's sha256, 64 hexadecimal digits", path="sha256")

        def look() -> tuple[int, int, int, bytes]:
            with self._database.reading() as connection:
                size = archive_size(connection, device, sha256)
                if "range" not in request.headers and size > MAX_RANGE:
                    raise ContractError("malformed", f"{size} bytes are given in ranges alone", path="range")
                start, end = _span(request.headers.get("range"), size)
                wanted = start < end and request.method != "HEAD"
                return start, end, size, archive_bytes(connection, sha256, start, end) if wanted else b""

        start, end, size, body = await self._devices.in_thread(look)
        headers = [
            (b"content-type", b"application/x-tar"),
            (b"accept-ranges", b"bytes"),
            (b"etag", f'"{sha256}"'.encode()),
            *identity(call),
        ]
        if start >= end:
            return HttpReply(416, [*headers, (b"content-range", f"bytes */{size}".encode())], b"")
        if start == 0 and end == size:
            return HttpReply(200, headers, body)
        return HttpReply(206, [*headers, (b"content-range", f"bytes {start}-{end - 1}/{size}".encode())], body)


def _span(text: str | None, size: int) -> tuple[int, int]:
    """The bytes of one answer, from the first to before the last; none of them where the range lies behind the end.

    More than `MAX_RANGE` is never answered at once (RFC 9110, section 14.2: a server may answer less than was asked).
    """
    found = _RANGE.fullmatch(text or "bytes=0-")
    if found is None:
        raise ContractError("malformed", "expected one range such as bytes=0-1048575", path="range")
    start = int(found[1])
    end = min(int(found[2]) + 1 if found[2] else size, size, start + MAX_RANGE)
    return start, end
