"""What a call does, free of I/O: a generator that yields what to send and how long to pause.

A driver performs the sends and pauses, blocking or awaiting. Retries live here: only what the server says can be tried
again (`not_ready`, `overloaded`, `rate_limited`) or what never reached it is, after the wait that the server asked for,
and never beyond the caller's deadline. Encoding a call for a transport is left to the dialects.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import Any, Generic, TypeVar

from fivefold.core.errors import FAMILIES, FivefoldError, Interrupted, Unavailable, Violation

T = TypeVar("T")

CONTRACT_VERSION = "x-contract-version"
"""The header, and gRPC metadata, that names the contract version of a call."""

RETRIED = ("not_ready", "overloaded", "rate_limited")


@dataclass(frozen=True, slots=True)
class Send:
    """One message to perform: a path or a method's name, its body, and seconds left for it."""

    target: str
    body: Any
    headers: dict[str, str] = field(repr=False)
    timeout: float
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class ServerReply:
    """What came back: a status, headers in lower case, a body (bytes, or a message), and the address that it is from.

    The address, `source`, is as a sentence may show it.
    """

    status: int
    headers: dict[str, Any]
    body: Any
    source: str = ""


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait for some seconds."""

    seconds: float


class NoReply(Exception):
    """The message got no reply. The text says from where and why; `late`: the time ran out.

    `final` is the error to raise where asking again cannot help, `help` a line for the one after all attempts.
    """

    def __init__(
        self, reason: str, *, late: bool = False, final: FivefoldError | None = None, help: str | None = None
    ) -> None:
        super().__init__(reason)
        self.late = late
        self.help = help
        self.final = final


Attempts = Generator[Send | Pause, ServerReply, T]


@dataclass(frozen=True, slots=True)
class Retries:
    """How often, and how long between: full jitter under a doubling limit where the server names no time (seconds)."""

    attempts: int = 4
    first: float = 0.1
    most: float = 5.0

    def wait(self, attempt: int, retry_after: float | None) -> float:
        """The pause before attempt `attempt` (counted from 1)."""
        if retry_after is not None:
            return retry_after
        return random.uniform(0, min(self.most, self.first * 2**attempt))  # noqa: S311  # spreads clients, hides nothing


@dataclass(frozen=True, slots=True)
class CallOptions:
    """What every call has: seconds until its deadline, retries, and headers (gRPC metadata)."""

    timeout: float
    retries: Retries
    headers: dict[str, str] = field(repr=False)
    """Not shown: they may hold a key."""
    until: float | None = None
    """When the time is up (`time.monotonic`), for a call that takes several messages."""

    def under(self, contract: str) -> CallOptions:
        """The same for a call that names this contract version."""
        return replace(self, headers={**self.headers, CONTRACT_VERSION: contract})

    def sent(self, left: float) -> dict[str, str]:
        """The headers of one attempt: the server learns how long the caller will still wait."""
        return {**self.headers, "x-request-timeout": f"{left:.6f}"}


def call(send: Callable[[float], Send], read: Callable[[ServerReply], T], options: CallOptions) -> Attempts[T]:
    """Send, read, and try again while it can help. `send` gets the seconds that are left, `read` raises on errors."""
    timeout, retries, until = options.timeout, options.retries, options.until
    deadline = time.monotonic() + timeout if until is None else until
    attempt = 0
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise Interrupted("deadline_exceeded", f"no answer within {timeout:g} s")
        try:
            return read((yield send(left)))
        except NoReply as err:
            if err.late:
                raise Interrupted("deadline_exceeded", f"no answer within {timeout:g} s") from err
            if err.final is not None:
                raise err.final from err
            # Inference changes nothing on the server, so a call whose fate is unknown may be made again.
            failure: FivefoldError = Unavailable("not_ready", f"cannot reach {err}", help=err.help)
        except FivefoldError as err:
            if err.code not in RETRIED:
                raise
            failure = err
        attempt += 1
        pause = retries.wait(attempt, failure.retry_after)
        if attempt >= retries.attempts or time.monotonic() + pause >= deadline:
            raise failure
        yield Pause(pause)


def error_of(body: dict[str, Any], *, retry_after: float | None = None, fallback: str = "internal") -> FivefoldError:
    """The error of an error body: the same class, code, path and details that the server raised."""
    code, path, help = (_text(body.get(name)) for name in ("code", "path", "help"))
    message = _text(body.get("error")) or "the server gave no reason"
    given = body.get("details")
    details = tuple(
        Violation(
            _text(item.get("code")), _text(item.get("path")), _text(item.get("error")), _text(item.get("help")) or None
        )
        for item in (given if isinstance(given, list) else ())
        if isinstance(item, dict)
    )
    message = message.removeprefix(f"{path}: ") if path else message
    rest: dict[str, Any] = {"path": path, "help": help or None}
    code = code or fallback
    for family in FAMILIES:
        if code in family.codes:
            if len(family.codes) == 1 and code.endswith("_invalid"):
                return family(message, **rest)
            return family(code, message, details=details, retry_after=retry_after, **rest)
    return error_of({**body, "code": fallback, "error": f"{message} ({code})"}, retry_after=retry_after)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def seconds(text: str | None) -> float | None:
    """The seconds of a `Retry-After`, which may be a date too; None for anything else."""
    if not text:
        return None
    try:
        wait = float(text)
    except ValueError:
        try:
            wait = parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return max(wait, 0.0) if math.isfinite(wait) else None


class CallSteps(Generic[T]):
    """Attempts under way: what they want next, or their result."""

    def __init__(self, attempts: Attempts[T]) -> None:
        self._attempts = attempts
        self.done = False
        self.result: T
        self.want: Send | Pause
        self._advance(lambda: next(attempts))

    def go_on(self, reply: ServerReply | None) -> None:
        """Hand the attempts what they asked for."""
        self._advance(lambda: self._attempts.send(reply))  # type: ignore[arg-type]  # a pause is answered with nothing

    def fail(self, error: NoReply) -> None:
        """Tell the attempts that their message got no reply."""
        self._advance(lambda: self._attempts.throw(error))

    def _advance(self, step: Any) -> None:
        try:
            self.want = step()
        except StopIteration as stop:
            self.done, self.result = True, stop.value
