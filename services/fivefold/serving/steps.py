"""One request on its way through a model: its steps, and when each ended.

Who runs the steps, and where, is left to `scheduler`; what a request's bytes mean, to the transports.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Generic, TypeVar

from fivefold.core import telemetry as vocabulary
from fivefold.core.errors import ContractError, Interrupted
from fivefold.serving.contract_version import other_version
from fivefold.serving.messages import Answer, Call, Codec, InferRequest, expired
from fivefold.serving.suspects import DEATHS, mark_of, refusal

if TYPE_CHECKING:
    from fivefold.core.columns import Columns
    from fivefold.serving.repository import Model
    from fivefold.serving.suspects import Suspects

Given = TypeVar("Given")
T = TypeVar("T")


class InferenceSteps(Generic[Given, T]):
    """One request's steps, and when each ended (`time.perf_counter`, 0.0 = not reached). A step may run in a thread."""

    __slots__ = (
        "abandoned",
        "answered",
        "call",
        "checked",
        "checking",
        "codec",
        "columns",
        "encoded",
        "given",
        "mark",
        "marked",
        "model",
        "note",
        "queued",
        "request",
        "rows",
        "scored",
        "scoring",
        "suspects",
        "view",
    )

    def __init__(self, model: Model, call: Call, codec: Codec[Given, T], given: Given) -> None:
        self.model, self.call, self.codec, self.given = model, call, codec, given
        self.view = model.view
        self.rows = 0
        self.abandoned = self.marked = False
        """Nobody waits for the answer any more."""
        self.suspects: Suspects | None = None
        """Where a request is noted while a bundle's own code works on it."""
        self.mark, self.note = 0, -1
        self.request: InferRequest
        self.columns: Columns
        self.answered: Columns
        """What the model has answered, under the caller's view."""
        self.queued = self.checking = self.checked = self.scoring = self.scored = self.encoded = 0.0

    def check(self) -> None:
        """Decode and check; raises `ContractError`, and `ProtocolError` for a contract version that is not served."""
        self._in_time()
        self.checking = time.perf_counter()
        try:
            if self.call.contract is not None:
                self.view = self.model.view_of(self.call.contract)
            if self.model.marks and not self.marked:
                # Once: what takes long is begun again in a thread.
                self.marked = True
                self.call.marks += self.model.marks[self.view]
            self.request = self.codec.decode(self.given, self.view, self.call)
            reading = self.request.reading
            self.rows = reading.rows
            self.columns = reading.accept()
            if self.view.into is not None:
                self.columns = self.view.into(self.columns)
        except ContractError as error:
            raise other_version(error, self.model.views) from None
        finally:
            self.checked = time.perf_counter()

    @property
    def deadline(self) -> float | None:
        """When the request's time is up, on `time.monotonic`."""
        return self.call.deadline

    def score(self) -> T:
        """Score and encode; raises `ModelFailed`, or what encoding raises."""
        self.begin()
        try:
            columns = self.model.scorer.score(self.columns)
        except BaseException:
            self.scored = time.perf_counter()
            raise
        return self.finish(columns)

    def begin(self) -> bool:
        """The model is about to start; whether it should be on this request alone, because a replica died with it.

        Raises `Interrupted` where the time is up or nobody waits any more, and `ModelFailed` for what must not be tried
        again.
        """
        if self.abandoned:
            raise Interrupted("cancelled", "the caller has hung up")
        self._in_time()
        deaths = self._note() if self.suspects is not None else 0
        self.scoring = time.perf_counter()
        return deaths > 0

    def _note(self) -> int:
        """Note that the model works on this; how many replicas have died with it in work."""
        assert self.suspects is not None
        self.mark = self.mark or mark_of(self.model.bundle.digest, self.columns)
        deaths = self.suspects.deaths(self.mark)
        if deaths >= DEATHS:
            raise refusal(deaths)
        if self.note < 0:
            self.note = self.suspects.enter(self.mark)
        return deaths

    def leave(self) -> None:
        """The model has come back, with an answer or without."""
        if self.suspects is not None:
            note, self.note = self.note, -1
            self.suspects.leave(note)

    def finish(self, columns: Columns) -> T:
        """Encode what the model has answered."""
        self.scored = time.perf_counter()
        if self.suspects is not None:
            self.leave()
            self.suspects.acquit(self.mark)
        model, call = self.model, self.call
        if self.view.back is not None:
            columns = self.view.back(columns)
        self.answered = columns
        metadata = model.metadata | {"transport": call.transport, "request_id": call.request_id}
        if self.view is not model.view:
            metadata["contract"] = self.view.name
        out = self.codec.encode(Answer(columns, metadata, model), self.request)
        self.encoded = time.perf_counter()
        return out

    def stages(self) -> list[vocabulary.Stage]:
        """The spans of the steps that were reached; `queue` is the wait for a thread."""
        out = []
        if self.queued:
            begun = self.checking if self.checking > self.queued else self.scoring
            out.append(vocabulary.Stage("queue", self.queued, begun or time.perf_counter()))
        for name, start, end in (
            ("check", self.checking, self.checked),
            ("score", self.scoring, self.scored),
            ("encode", self.scored, self.encoded),
        ):
            if start and end:
                out.append(vocabulary.Stage(name, start, end))
        return out

    def _in_time(self) -> None:
        deadline = self.call.deadline
        if deadline is not None and time.monotonic() >= deadline:
            raise expired()
