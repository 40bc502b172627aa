"""What publishers ask who are at another machine: the number of a model's next release, and to put one on the shelf.

    GET  /v1/hub/models/{model}/next              {"release": N}
    PUT  /v1/hub/archives/{sha256}/chunks/{n}     one MiB of an archive, from 0 on; a chunk may come again
    POST /v1/hub/releases                         descriptor and signature; the archive's chunks are there by then

Operators alone may. The hub holds the archive against the descriptor's hash and signs nothing: whether a release is
believed, devices decide by their publisher's key. Chunks that no release followed are deleted after a day.
"""

from __future__ import annotations

import re
from typing import Final, Literal

import msgspec
from starlette.requests import Request

from fivefold.core.bundle.signature import SIGNATURE_BYTES
from fivefold.core.errors import AccessError, ContractError
from fivefold.edge.hub.database import HubConnection, HubDatabase
from fivefold.edge.hub.device_register import milliseconds
from fivefold.edge.hub.device_routes import DeviceRoutes
from fivefold.edge.hub.hub_app import Route
from fivefold.edge.hub.release_shelf import next_number, put_release
from fivefold.edge.hub.request_access import RequestAccess
from fivefold.edge.updates.descriptor import CHUNK_BYTES, ReleaseDescriptor, SignedRelease
from fivefold.serving.admission import FREE
from fivefold.serving.dataplane import Dataplane
from fivefold.serving.http.http_errors import JSON, HttpReply, identity, to_bytes
from fivefold.serving.http.request_body import read_body
from fivefold.serving.messages import Call

MOST_CHUNKS: Final = 1024
KEPT_MILLISECONDS: Final = 86_400_000

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class _Publication(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    descriptor: bytes
    signature: bytes
    channel: Literal["stable", "canary"] = "stable"
    share: int = 100


class PublishRoutes:
    """Used by one event loop."""

    def __init__(self, plane: Dataplane, database: HubDatabase, access: RequestAccess, devices: DeviceRoutes) -> None:
        self._plane, self._database, self._access, self._devices = plane, database, access, devices

    def routes(self) -> list[Route]:
        """Method, path and handler of each."""
        return [
            ("GET", "/v1/hub/models/{model}/next", self._next),
            ("PUT", "/v1/hub/archives/{sha256}/chunks/{chunk}", self._chunk),
            ("POST", "/v1/hub/releases", self._publish),
        ]

    async def _next(self, request: Request, call: Call) -> HttpReply:
        self._access.operator(request)

        def look() -> int:
            with self._database.reading() as connection:
                return next_number(connection, request.path_params["model"])

        return _answer(call, {"release": await self._devices.in_thread(look)})

    async def _chunk(self, request: Request, call: Call) -> HttpReply:
        self._publisher(request)
        sha256, text = request.path_params["sha256"], request.path_params["chunk"]
        if not _SHA256.fullmatch(sha256):
            raise ContractError("malformed", "expected the archive's sha256, 64 hexadecimal digits", path="sha256")
        if not (text.isascii() and text.isdigit() and len(text) < 6 and int(text) < MOST_CHUNKS):
            raise ContractError("malformed", f"expected a chunk's number below {MOST_CHUNKS}", path="chunk")
        body = await self._body(request)

        def store() -> None:
            with self._database.transaction() as connection:
                now = milliseconds()
                connection.execute("DELETE FROM hub_uploads WHERE at < ?", (now - KEPT_MILLISECONDS,))
                connection.execute(
                    "INSERT INTO hub_uploads (sha256, chunk, body, at) VALUES (?, ?, ?, ?) "
                    "ON CONFLICT (sha256, chunk) DO UPDATE SET body = excluded.body, at = excluded.at",
                    (sha256, int(text), body, now),
                )

        await self._devices.in_thread(store)
        return HttpReply(204, [*identity(call)], b"")

    async def _publish(self, request: Request, call: Call) -> HttpReply:
        self._publisher(request)
        raw = await self._body(request)
        try:
            given = msgspec.json.decode(raw, type=_Publication)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as err:
            raise ContractError("malformed", f"expected a release: {err}") from None
        if len(given.signature) != SIGNATURE_BYTES:
            raise ContractError("malformed", f"expected {SIGNATURE_BYTES} bytes in base64", path="signature")
        signed = SignedRelease(ReleaseDescriptor.from_json(given.descriptor), given.descriptor, given.signature)

        def publish() -> None:
            with self._database.transaction() as connection:
                sha256 = signed.descriptor.archive.sha256
                put_release(connection, signed, _uploaded(connection, sha256), given.channel, given.share)
                connection.execute("DELETE FROM hub_uploads WHERE sha256 = ?", (sha256,))

        await self._devices.in_thread(publish)
        return _answer(call, {"model": signed.descriptor.model, "release": signed.descriptor.release})

    def _publisher(self, request: Request) -> None:
        """Let an operator's program in. No page: where a hub asks for no keys, those of this machine's browsers would
        be taken for its operator."""
        self._access.operator(request)
        if "origin" in request.headers:
            raise AccessError("forbidden", "a page publishes nothing", help="fivefold hub publish --hub URL")

    async def _body(self, request: Request) -> bytes:
        headers = dict(request.scope["headers"])
        body = await read_body(headers, request.receive, self._plane.settings, self._plane.room)
        self._plane.room.give(max(len(body) - FREE, 0))
        if len(body) > CHUNK_BYTES:
            raise ContractError("too_large", f"expected at most {CHUNK_BYTES} bytes, got {len(body)}")
        return body


def _uploaded(connection: HubConnection, sha256: str) -> bytes:
    rows = connection.execute("SELECT body FROM hub_uploads WHERE sha256 = ? ORDER BY chunk", (sha256,))
    return b"".join(bytes(body) for (body,) in rows)


def _answer(call: Call, value: object) -> HttpReply:
    return HttpReply(200, [JSON, *identity(call)], to_bytes(value))
