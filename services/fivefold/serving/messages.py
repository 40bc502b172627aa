"""What a transport and the inference path tell each other: a call, the request in it, its answer.

    bytes ──Codec.decode──> InferRequest ──accept, score──> Answer ──Codec.encode──> bytes

A transport's codec keeps nothing between the two; what it must know again when it encodes stands in the request.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from fivefold.core.errors import Interrupted

if TYPE_CHECKING:
    from fivefold.core.check.findings import Reading
    from fivefold.core.columns import Columns
    from fivefold.core.fields.field import Field
    from fivefold.core.view import View
    from fivefold.serving.repository import Model

Given = TypeVar("Given", contravariant=True)
Out = TypeVar("Out", covariant=True)

INLINE_SECONDS = 0.002
"""How long a reading may hold up the event loop, by its own estimate."""


@dataclass(slots=True)
class Call:
    """One request, as far as it does not depend on the wire.

    `deadline` is on `time.monotonic`, `started` on `time.perf_counter`, both in seconds. `timeout` is the text of
    `x-request-timeout`, which the dataplane parses. `size` is what the body takes to read (`reading_size`). `gone`
    returns when the caller has hung up; a transport that cancels the task instead leaves it out. `marks` are headers
    (gRPC: trailing metadata) that its answer carries.
    `traceparent` is the caller's, and afterwards ours. `patience` is how long a step of reading may take where it is
    made; on the event loop that is not long. `contract` is the contract version that the caller speaks; None: the
    bundle's default one. `headers` are the request's own, by lower-case name, for a scheduler that goes by one of them.
    """

    transport: str
    request_id: str
    deadline: float | None = None
    traceparent: str | None = None
    timeout: str | None = None
    size: int = 0
    gone: Callable[[], Awaitable[None]] | None = None
    marks: tuple[tuple[bytes, bytes], ...] = ()
    started: float = field(default_factory=time.perf_counter)
    patience: float = INLINE_SECONDS
    contract: str | None = None
    headers: Mapping[bytes, bytes] | None = None

    def begin(self, seconds: float) -> None:
        """What a reader asks before a step that takes so long (`Watch`); raises `Lengthy` where it must not be here."""
        if seconds > self.patience:
            raise Lengthy
        self.look()

    def look(self) -> None:
        """What a reader asks between its steps; raises `Interrupted` where the time is up."""
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise expired()


RAW_LIGHTNESS: Final = 4
"""How many raw bytes are read in the time of one that has to be parsed. A hundred would be true of numbers that are all
good: they are taken as they lie there, and compared with their bounds. What is wrong with bad ones takes longer."""


def reading_size(size: int, raw: int) -> int:
    """What a body takes to read, in bytes that are parsed: of its `size`, `raw` are numbers as they lie in memory."""
    return size - raw + raw // RAW_LIGHTNESS


class Lengthy(Exception):  # nothing is wrong
    """A reading turns out to be too long for the event loop: it is to be begun again in a thread."""


def expired() -> Interrupted:
    """The error of a request that was not answered in time."""
    return Interrupted("deadline_exceeded", "the time for this request is up")


@dataclass(slots=True)
class InferRequest:
    """What the bytes of a request mean."""

    reading: Reading
    """The rows, under the inputs of the caller's view."""

    outputs: Sequence[Field]
    """What the answer is to hold, in order: outputs of the caller's view."""

    raw: Sequence[bool] = ()
    """Whether each of them goes as raw bytes, where the transport has a choice."""

    id: str | None = None
    """The caller's own name for the request, for the protocols that give it back."""

    by_column: bool = False
    """Whether the rows came as columns, and go back so, where the transport has a choice."""


@dataclass(slots=True)
class Answer:
    """A model's answer: output columns under the caller's view, and metadata that every transport carries in its own
    place."""

    columns: Columns
    metadata: dict[str, str]
    model: Model


class Codec(Protocol[Given, Out]):
    """A transport's own half of an inference. Both methods may run in a thread, several of them at a time."""

    def decode(self, given: Given, view: View, call: Call, /) -> InferRequest:
        """Read what was sent; `call` is asked where that is long (`Watch`). Raises `FivefoldError`."""
        ...

    def encode(self, answer: Answer, request: InferRequest, /) -> Out:
        """Write the answer to a request of `decode`'s."""
        ...
