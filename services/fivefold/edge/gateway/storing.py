"""No answer before its event is on the disk: a scheduler that stores what it has answered, and what it has refused.

A request says where its events go by `x-fivefold-lane`, and, where the gateway lets it, by `x-fivefold-store: none`
that there are to be none; its answer says in `x-fivefold-sequence` which numbers they have in that lane of the outbox
`x-fivefold-outbox`. Running models is `Scheduler`'s, what the events say `answer_events`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from fivefold.core.errors import AccessError, ContractError, ModelFailed, ProtocolError
from fivefold.edge.gateway import answer_events
from fivefold.edge.outbox.stored import LANES
from fivefold.serving.scheduler import Scheduler

if TYPE_CHECKING:
    from fivefold.edge.gateway.outbox_writer import IdentifiedEvent, OutboxWriter
    from fivefold.serving.messages import Call
    from fivefold.serving.steps import InferenceSteps

T = TypeVar("T")

LANE: Final = b"x-fivefold-lane"
STORE: Final = b"x-fivefold-store"
SEQUENCE: Final = b"x-fivefold-sequence"
OUTBOX: Final = b"x-fivefold-outbox"

ASKING: Final = (LANE, STORE)
TELLING: Final = (LANE, OUTBOX, SEQUENCE)
"""The headers of requests, and of answers: what a page of another origin may send and read."""

APPEND_KEY: Final = b":append-key"
"""Not a header that a caller of HTTP can send: its name is none there."""

DEFAULT_LANE: Final = "bulk"

INLINE_ROWS: Final = 64
"""The events of a request with more rows are made in a thread."""


class StoringScheduler(Scheduler):
    """Answers when the events of the answer are on the disk."""

    def __init__(self, writer: OutboxWriter, refusals: bool, allow_unstored: bool, *rest: Any) -> None:
        """`refusals`: store them too. `allow_unstored`: a caller may ask for no event. The rest is `Scheduler`'s."""
        super().__init__(*rest)
        self._writer, self._refusals, self._allow_unstored = writer, refusals, allow_unstored

    async def run(self, inference: InferenceSteps[Any, T]) -> T:
        """See `Scheduler`. Raises `RunFailed(storage_failed)` where the outbox is full: then nothing is answered."""
        lane = asked_lane(inference.call, allow_unstored=self._allow_unstored)
        if lane is None:
            return await super().run(inference)
        try:
            answer = await super().run(inference)
        except (ContractError, ModelFailed, ProtocolError) as error:
            if self._refusals:
                # The name is gone when the clause ends, and the event may be made after that.
                refused = error
                await self._store(inference, lane, lambda: answer_events.refusal(inference, refused))
            raise
        await self._store(inference, lane, lambda: answer_events.predictions(inference))
        return answer

    async def _store(
        self, inference: InferenceSteps[Any, Any], lane: str, make: Callable[[], list[IdentifiedEvent]]
    ) -> None:
        # Until then the request is in work: a model that is replaced meanwhile stays open.
        self.inflight += 1
        try:
            events = make() if inference.rows <= INLINE_ROWS else await asyncio.to_thread(make)
            numbers = await self._writer.append(lane, events, append_key(inference.call))
        finally:
            self.inflight -= 1
        if numbers:
            inference.call.marks += stored_marks(lane, self._writer.outbox.id, numbers)


def append_key(call: Call) -> bytes:
    """The key under which a call's events are stored once; empty: each call is another."""
    return (call.headers or {}).get(APPEND_KEY, b"")


def stored_marks(lane: str, outbox: str, numbers: list[int]) -> tuple[tuple[bytes, bytes], ...]:
    """What an answer says of its events."""
    return (LANE, lane.encode()), (OUTBOX, outbox.encode()), (SEQUENCE, sequence(numbers))


def sequence(numbers: list[int]) -> bytes:
    """The numbers of one request's events, which have no holes: `7`, or `7-12`."""
    return b"%d" % numbers[0] if len(numbers) == 1 else b"%d-%d" % (numbers[0], numbers[-1])


def asked_lane(call: Call, *, allow_unstored: bool) -> str | None:
    """The lane that a request asks for; None: none of its events are to be stored.

    Raises `ContractError(malformed)` for a lane or a wish that is none, `AccessError(forbidden)` for one that is not
    granted.
    """
    headers = call.headers or {}
    lane = headers.get(LANE, DEFAULT_LANE.encode()).decode("latin-1")
    if lane not in LANES:
        raise ContractError("malformed", f"{LANE.decode()}: expected {' or '.join(LANES)}, got {lane[:64]!r}")
    store = headers.get(STORE)
    if store is None:
        return lane
    if store != b"none":
        raise ContractError("malformed", f"{STORE.decode()}: expected none, got {store[:64].decode('latin-1')!r}")
    if not allow_unstored:
        raise AccessError(
            "forbidden",
            "this gateway keeps an event of every answer",
            help="leave out x-fivefold-store, or start it with --allow-unstored",
        )
    return None
