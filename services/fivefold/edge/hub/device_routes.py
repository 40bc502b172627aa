"""What devices ask: batches of events, watermarks, reports, and the releases that they are to run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import msgspec
from starlette.requests import Request

from fivefold.core.errors import AccessError, ContractError, ProtocolError
from fivefold.edge.hub.batch_commit import BatchCommit
from fivefold.edge.hub.copied_outboxes import note_copy
from fivefold.edge.hub.database import HubDatabase
from fivefold.edge.hub.device_register import milliseconds, store_report
from fivefold.edge.hub.event_ledger import Applied, DeviceBatch, lane_ids, lane_watermarks
from fivefold.edge.hub.hub_app import Route
from fivefold.edge.hub.release_shelf import record_trials
from fivefold.edge.hub.request_access import RequestAccess
from fivefold.edge.sync.lane_batches import decode_batch
from fivefold.edge.sync.lane_protocol import (
    AFTER,
    LANE_NAME,
    MAX_BATCH_BYTES,
    MEDIA_TYPE,
    OUTBOX_COPIED,
    OUTBOX_HEADER,
    OUTBOX_ID,
    SEQUENCE_GAP,
    BatchReply,
    DeviceReport,
    Watermarks,
)
from fivefold.serving.admission import FREE
from fivefold.serving.dataplane import Dataplane
from fivefold.serving.http.http_errors import JSON, HttpReply, identity, to_bytes
from fivefold.serving.http.request_body import inflater, read_body
from fivefold.serving.messages import Call

T = TypeVar("T")

MAX_REPORT_BYTES: Final = 64 << 10
THREADS: Final = 8
MAX_ID: Final = 64
"""Characters of an event's id."""

COPIED_HELP: Final = (
    "two outboxes have one id: a disk's image on two devices, or a backup; let this one go on under an id of its own: "
    "fivefold gateway outbox resume"
)


class DeviceRoutes:
    """The routes below `/v1/edge/`; used by one event loop."""

    def __init__(self, plane: Dataplane, database: HubDatabase, commit: BatchCommit, access: RequestAccess) -> None:
        self._plane, self._database, self._commit, self._access = plane, database, commit, access
        self.threads = ThreadPoolExecutor(THREADS, "fivefold-hub")

    def routes(self) -> list[Route]:
        """Method, path and handler of each."""
        return [
            ("POST", "/v1/edge/{device}/lanes/{lane}/events", self._events),
            ("GET", "/v1/edge/{device}/watermark", self._watermark),
            ("PUT", "/v1/edge/{device}/report", self._report),
        ]

    async def admitted(self, request: Request) -> str:
        """The device that asks, which is the one of the path. Raises `AccessError`, and `Unavailable`."""
        key = self._access.credential(request)
        try:
            found = await self.in_thread(lambda: self._access.device_key(key))
        except AccessError as error:
            raise self._access.refused(error, request) from None
        self._access.own(found, request.path_params["device"])
        return found

    async def in_thread(self, step: Callable[[], T]) -> T:
        """A step that waits for the store, or takes long."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, step)

    async def _events(self, request: Request, call: Call) -> HttpReply:
        device = await self.admitted(request)
        lane = request.path_params["lane"]
        if not LANE_NAME.match(lane):
            raise ContractError("malformed", "expected a lane such as alerts or bulk", path="lane")
        outbox = _outbox(request.headers.get(OUTBOX_HEADER, ""), OUTBOX_HEADER)
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != MEDIA_TYPE:
            raise ProtocolError(
                "unsupported_media_type", f"expected content-type {MEDIA_TYPE}, got {media_type[:64] or 'none'!r}"
            )
        after = request.query_params.get(AFTER)
        if after is not None and len(after) > MAX_ID:
            raise ContractError("malformed", f"expected an id of at most {MAX_ID} characters", path=AFTER)
        applied = await self._apply(request, call, device, outbox, lane, after)
        if applied.copied:
            return _conflict(call, applied, OUTBOX_COPIED, applied.copied, COPIED_HELP)
        if applied.hole:
            what = f"the lane is here up to {applied.acked_through}, and the first line lies behind a hole"
            return _conflict(call, applied, SEQUENCE_GAP, what, f"send on from {applied.acked_through + 1}")
        reply = BatchReply(acked_through=applied.acked_through, rejected=applied.rejected, id=applied.id)
        members = msgspec.to_builtins(reply)
        if not reply.id:
            del members["id"]
        return _json(call, members)

    async def _apply(
        self, request: Request, call: Call, device: str, outbox: str, lane: str, after: str | None
    ) -> Applied:
        headers = dict(request.scope["headers"])
        inflate = inflater(headers.get(b"content-encoding"), MAX_BATCH_BYTES)
        room = self._plane.room
        raw = await read_body(headers, request.receive, self._plane.settings, room)
        held = max(len(raw) - FREE, 0)
        try:
            if inflate is not None:
                # What it may become is held from here on; what it is, is known when that is over.
                room.take(MAX_BATCH_BYTES)
                held += MAX_BATCH_BYTES
            lines = await self.in_thread(lambda: decode_batch(raw if inflate is None else inflate(raw)))
            call.size = len(raw)
            return await asyncio.wrap_future(self._commit.submit(DeviceBatch(device, outbox, lane, lines, after)))
        finally:
            room.give(held)

    async def _watermark(self, request: Request, call: Call) -> HttpReply:
        device = await self.admitted(request)
        outbox = _outbox(request.query_params.get("outbox", ""), "outbox")

        def look() -> Watermarks:
            with self._database.reading() as connection:
                lanes = lane_watermarks(connection, device, outbox)
                return Watermarks(outbox=outbox, lanes=lanes, ids=lane_ids(connection, device, outbox, lanes))

        return _json(call, await self.in_thread(look))

    async def _report(self, request: Request, call: Call) -> HttpReply:
        device = await self.admitted(request)
        headers = dict(request.scope["headers"])
        raw = await read_body(headers, request.receive, self._plane.settings, self._plane.room)
        self._plane.room.give(max(len(raw) - FREE, 0))
        if len(raw) > MAX_REPORT_BYTES:
            raise ContractError("too_large", f"expected a report of at most {MAX_REPORT_BYTES} bytes, got {len(raw)}")
        report = parse_report(raw)

        def store() -> None:
            with self._database.transaction() as connection:
                marks = lane_watermarks(connection, device, report.outbox)
                store_report(connection, device, msgspec.to_builtins(report))
                record_trials(connection, device, report)
                for lane, code in report.stopped.items():
                    # Of an outbox that nothing has come of there is no copy.
                    if code == OUTBOX_COPIED and marks.get(lane):
                        note_copy(connection, (device, report.outbox, lane), marks[lane], milliseconds())

        await self.in_thread(store)
        return HttpReply(204, [*identity(call)], b"")


def parse_report(raw: bytes) -> DeviceReport:
    """A report; raises `ContractError` with the place of what is wrong."""
    try:
        return msgspec.json.decode(raw, type=DeviceReport)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as err:
        raise ContractError("malformed", f"expected a device's report: {err}") from None


def _outbox(text: str, name: str) -> str:
    if not OUTBOX_ID.match(text):
        raise ContractError("malformed", f"expected an outbox' id, 32 hexadecimal digits, got {text[:64]!r}", path=name)
    return text


def _conflict(call: Call, applied: Applied, code: str, what: str, help: str) -> HttpReply:
    """A 409: not an error of this product's requests, but a word of the protocol that says where the hub is."""
    about = {
        "error": f"seq: {what}",
        "code": code,
        "path": "seq",
        "help": help,
        "acked_through": applied.acked_through,
        "id": applied.id,
        "request_id": call.request_id,
    }
    return HttpReply(409, [JSON, *identity(call)], to_bytes(about))


def _json(call: Call, value: Any) -> HttpReply:
    return HttpReply(200, [JSON, *identity(call)], to_bytes(value))
