"""A steady load from outside of the cluster: connections that are kept, no second try, each answer compared.

Every caller is a thread with a connection of its own to the gateway and a stroke at which it asks; a stroke that finds
it waiting is left out. What counts as wrong is decided here: an answer that never came, an error, other values than
the golden ones, a bundle that nobody serves. What may be lost is left to the tests.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

import grpc
import httpx
import numpy as np

from fivefold.core.bundle.bundle import Bundle
from fivefold.serving.grpc.proto import inference_pb2 as wire
from tests.e2e import cluster

SECONDS = 30.0
"""After which an answer counts as lost."""

SERVICE = "/inference.GRPCInferenceService"
UNARY = ("http", "grpc")
LARGE_ROWS = 1000
"""Rows of a large body, 240 kB: more than the proxy keeps to ask again."""


class Wrong(Exception):
    """An answer that is not the golden one."""


@dataclass(frozen=True)
class Question:
    """One golden row (or many) as it goes over each wire, and the answer."""

    records: dict[str, Any]
    message: wire.ModelInferRequest
    labels: list[str]
    probabilities: np.ndarray[Any, Any]
    tolerance: float

    def judge(self, labels: Sequence[str], probabilities: Any) -> None:
        """Raises `Wrong` where the answer is another one."""
        got = np.asarray(probabilities, float).reshape(-1, 2)
        if list(labels) != self.labels or got.shape != self.probabilities.shape:
            raise Wrong(f"expected {self.labels[:3]}, got {list(labels)[:3]}")
        if not (np.abs(got - self.probabilities) <= self.tolerance).all():
            raise Wrong("other probabilities")


def questions(bundle: Bundle, count: int = 16) -> list[Question]:
    """The first golden rows of the demo, one a question."""
    return [_question(bundle, np.array([row])) for row in range(count)]


def large(bundle: Bundle) -> Question:
    """A question with more rows than the proxy's buffer holds."""
    given, _ = bundle.golden()
    return _question(bundle, np.arange(LARGE_ROWS) % given.rows)


def _question(bundle: Bundle, rows: np.ndarray[Any, Any]) -> Question:
    given, answers = (columns.take(rows) for columns in bundle.golden())
    message = wire.ModelInferRequest(model_name=bundle.name)
    for each in given.fields:
        message.inputs.add(name=each.name, datatype="FP64", shape=[len(rows)])
        message.raw_input_contents.append(np.asarray(given[each.name], "<f8").tobytes())
    return Question(
        {"instances": given.to_records()},
        message,
        [str(label) for label in answers["label"].tolist()],
        np.asarray(answers["probability"], float).reshape(-1, 2),
        2 * bundle.manifest.tolerance,
    )


@dataclass(frozen=True)
class Ask:
    """What became of one ask: when, over what, by which bundle answered, and what went wrong (empty: nothing)."""

    wire: str
    caller: int
    begun: float
    ended: float
    bundle: str = ""
    failure: str = ""


@dataclass
class Course:
    """What became of a load between two moments."""

    asks: list[Ask]
    begun: float
    ended: float
    notes: list[str] = field(default_factory=list)

    def failures(self, wires: Iterable[str] = UNARY) -> list[str]:
        """What failed over these wires, with the seconds since the beginning."""
        chosen = set(wires)
        return [
            f"{ask.ended - self.begun:.1f} s {ask.wire}: {ask.failure}"
            for ask in self.asks
            if ask.failure and ask.wire in chosen
        ]

    def of(self, *wires: str) -> Course:
        """The part over these wires."""
        return Course([ask for ask in self.asks if ask.wire in wires], self.begun, self.ended, self.notes)

    def bundles(self, last: float = 5.0) -> set[str]:
        """Who answered in the last seconds."""
        return {ask.bundle for ask in self.asks if not ask.failure and ask.begun >= self.ended - last}

    @property
    def failed(self) -> int:
        """How many asks had no right answer."""
        return sum(bool(ask.failure) for ask in self.asks)

    @property
    def gap(self) -> float:
        """The longest time in seconds in which nobody had a right answer."""
        return _longest(self.begun, self.ended, [ask.ended for ask in self.asks if not ask.failure])

    @property
    def caller_gap(self) -> float:
        """The longest time in seconds in which some one caller had no right answer, its own pauses included."""
        callers: dict[int, list[float]] = {ask.caller: [] for ask in self.asks}
        for ask in self.asks:
            if not ask.failure:
                callers[ask.caller].append(ask.ended)
        return max((_longest(self.begun, self.ended, ends) for ends in callers.values()), default=0.0)

    def __str__(self) -> str:
        counts = Counter(f"{ask.wire} {ask.failure}" for ask in self.asks if ask.failure)
        told = f" {dict(counts.most_common(6))}" if counts else ""
        return (
            f"asked {len(self.asks)}, right {len(self.asks) - self.failed}, failed {self.failed}{told}, "
            f"longest gap {self.gap:.2f} s for everybody, {self.caller_gap:.2f} s for one caller"
        )


def _longest(begun: float, ended: float, moments: list[float]) -> float:
    marks = [begun, *sorted(moments), ended]
    return max(later - earlier for earlier, later in itertools.pairwise(marks))


class Load:
    """Callers that ask until the `with` block ends. Each wire has `callers[wire]` of them, each a stroke `every[wire]`.

    Wires: `http` (V1 records), `grpc` (raw tensors), `stream` (one ModelStreamInfer, a message a stroke, opened again
    when it breaks) and `large` (gRPC, a body beyond the proxy's buffer).
    """

    def __init__(
        self, bundle: Bundle, callers: dict[str, int] | None = None, contract: str | None = None, **every: float
    ) -> None:
        """Callers of the bundle's own contract; with `contract` they name it as theirs."""
        self._small, self._large = questions(bundle), [large(bundle)]
        self._headers: tuple[tuple[str, str], ...] = (("authorization", f"Bearer {cluster.key()}"),)
        if contract is not None:
            self._headers += (("x-contract-version", contract),)
        self._callers = {"http": 4, "grpc": 4, "stream": 1, "large": 1} if callers is None else callers
        self._every = {"http": 0.2, "grpc": 0.2, "stream": 0.5, "large": 1.0} | every
        self._over = threading.Event()
        self._asks: list[Ask] = []
        self._threads: list[threading.Thread] = []
        self._begun = time.monotonic()

    def __enter__(self) -> Load:
        performers = {"http": self._http, "grpc": self._grpc, "stream": self._stream, "large": self._grpc}
        index = itertools.count()
        for name, count in self._callers.items():
            for _ in range(count):
                arguments = (name, next(index), performers[name])
                self._threads.append(threading.Thread(target=self._ask, args=arguments, daemon=True))
        for thread in self._threads:
            thread.start()
        try:
            until_steady(self, len(self._threads))
        except BaseException:
            self.__exit__()
            raise
        self.restart()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(SECONDS + 10)

    def restart(self) -> None:
        """Count from now on."""
        self._begun = time.monotonic()

    def since(self, begun: float) -> list[Ask]:
        """What was asked since then and has come to an end."""
        return [ask for ask in list(self._asks) if ask.begun >= begun]

    def course(self) -> Course:
        """What became of the load since it was counted from."""
        return Course(self.since(self._begun), self._begun, time.monotonic())

    def steady(self, strokes: int = 20) -> None:
        """Wait until every caller has had so many right answers from now on."""
        until_steady(self, len(self._threads), strokes)

    def until_from(self, bundle: str, seconds: float = 120.0) -> None:
        """Wait until unary calls have been answered by this bundle alone for a while.

        Not at once when its replicas are ready: a connection that the gateway has kept to the proxy's process of
        before its last reload is good for one more answer, and that process knows the replicas of then.
        """
        cluster.until(
            "answers of the new bundle alone", lambda: self.course().of(*UNARY).bundles() == {bundle}, seconds
        )

    def _ask(self, name: str, index: int, performer: Any) -> None:
        asked = self._large if name == "large" else self._small
        rows = itertools.islice(itertools.cycle(asked), index, None)
        with performer() as ask:
            while not self._over.is_set():
                begun = time.monotonic()
                bundle, failure = "", ""
                try:
                    bundle = ask(next(rows))
                except Wrong as error:
                    failure = f"wrong: {error}"
                except httpx.HTTPError as error:
                    failure = type(error).__name__
                except grpc.RpcError as error:
                    failure = f"{error.code().name}: {(error.details() or '')[:70]}"
                self._asks.append(Ask(name, index, begun, time.monotonic(), bundle, failure))
                every = self._every[name]
                self._over.wait(every - (time.monotonic() - begun) % every)

    @contextlib.contextmanager
    def _http(self) -> Iterator[Any]:
        limits = httpx.Limits(max_connections=1, keepalive_expiry=None)
        url, headers = f"https://{cluster.ADDRESS}", dict(self._headers)
        with httpx.Client(base_url=url, verify=cluster.trust(), headers=headers, timeout=SECONDS, limits=limits) as it:

            def ask(question: Question) -> str:
                response = it.post("/v1/models/breast-cancer:predict", json=question.records)
                if response.status_code != 200:
                    raise Wrong(f"{response.status_code} {response.text[:60]}")
                answer = response.json()
                rows = answer["predictions"]
                question.judge([row["label"] for row in rows], [row["probability"] for row in rows])
                return str(answer["metadata"]["bundle"])

            yield ask

    @contextlib.contextmanager
    def _grpc(self) -> Iterator[Any]:
        with cluster.channel() as opened:
            infer = opened.unary_unary(
                f"{SERVICE}/ModelInfer", wire.ModelInferRequest.SerializeToString, wire.ModelInferResponse.FromString
            )
            yield lambda question: _judged(question, infer(question.message, SECONDS, self._headers))

    @contextlib.contextmanager
    def _stream(self) -> Iterator[Any]:
        with cluster.channel() as opened:
            stream = opened.stream_stream(
                f"{SERVICE}/ModelStreamInfer",
                wire.ModelInferRequest.SerializeToString,
                wire.ModelStreamInferResponse.FromString,
            )
            written: SimpleQueue[wire.ModelInferRequest | None] = SimpleQueue()
            call: Any = None

            def ask(question: Question) -> str:
                nonlocal call, written
                if call is None:
                    written = SimpleQueue()
                    call = stream(iter(written.get, None), metadata=self._headers)
                written.put(question.message)
                limit = threading.Timer(SECONDS, call.cancel)
                limit.start()
                try:
                    answer = next(call)
                except (grpc.RpcError, StopIteration) as error:
                    written.put(None)
                    call = None
                    if isinstance(error, StopIteration):
                        raise Wrong("the stream ended") from error
                    raise
                finally:
                    limit.cancel()
                if answer.error_message:
                    raise Wrong(answer.error_message[:60])
                return _judged(question, answer.infer_response)

            yield ask
            written.put(None)
            if call is not None:
                call.cancel()


def _judged(question: Question, response: wire.ModelInferResponse) -> str:
    raw = dict(zip((output.name for output in response.outputs), response.raw_output_contents, strict=True))
    labels, at = [], 0
    while at < len(raw["label"]):
        size = int.from_bytes(raw["label"][at : at + 4], "little")
        labels.append(raw["label"][at + 4 : at + 4 + size].decode())
        at += 4 + size
    question.judge(labels, np.frombuffer(raw["probability"], "<f4"))
    return response.parameters["bundle"].string_param


def until_steady(load: Load, callers: int, strokes: int = 3) -> None:
    """Wait until every caller has had so many right answers from now on."""
    begun = time.monotonic()

    def right() -> bool:
        counts = Counter(ask.caller for ask in load.since(begun) if not ask.failure)
        return len(counts) == callers and min(counts.values()) >= strokes

    cluster.until(f"{strokes} right answers for each of {callers} callers", right, 300)
