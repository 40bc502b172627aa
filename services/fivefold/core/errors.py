"""Every error of the product, neutral of transport.

    FivefoldError
    ├── ContractError        the caller's data breaks the contract      (the reader that met the data)
    ├── ContractInvalid      a contract that cannot be enforced         (opening or packing)
    ├── BundleInvalid        a bundle that must not be served           (opening)
    ├── AccessError          unauthenticated, forbidden                 (the guard)
    ├── NotFound             route, model or version                    (routing)
    ├── ProtocolError        method, media type, contract version, ...  (routing)
    ├── Unavailable          not ready, overloaded, rate limited        (admission)
    ├── Interrupted          deadline, cancellation, slow client        (waiting)
    ├── ModelFailed          the model raised or left its contract      (scoring)
    ├── RunFailed            a run over files that cannot go on         (planning, storing, publishing)
    └── InternalError        a defect of ours; the text stays in the log

An error carries a code from `CODES`, a sentence that says what was expected, what came and where, the path of the
value, a `help` line where there is one, and up to `MAX_DETAILS` violations. What a code becomes on a transport (an HTTP
status, a gRPC code, an exit status, a quarantined row) is left to the adapter's own table; a test proves every table
total over `CODES`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

MAX_DETAILS = 16

VIOLATION_CODES = (
    "missing_field",
    "unknown_field",
    "duplicate_field",
    "null_not_allowed",
    "wrong_type",
    "wrong_shape",
    "out_of_range",
    "not_in_enum",
    "not_finite",
    "too_short",
    "too_long",
    "pattern_mismatch",
    "not_utf8",
)


@dataclass(frozen=True, slots=True)
class Violation:
    """One cell (or one whole request) that breaks the contract.

    `path` is `inputs.field[row][i][j]`, row and elements left out where they do not apply. Runtimes are compared by
    code and path; the sentence is for people.
    """

    code: str
    path: str
    message: str
    help: str | None = None

    def to_json(self) -> dict[str, str]:
        """The violation as it stands in an error body's `details`."""
        out = {"code": self.code, "path": _cut(self.path), "error": _cut(self.message)}
        if self.help:
            out["help"] = _cut(self.help)
        return out


class FivefoldError(Exception):
    """Any error of the product: `code`, sentence, `path`, `help`, `details`, and `retry_after` in seconds or None."""

    codes: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        code: str,
        message: str,
        *,
        path: str = "",
        help: str | None = None,
        details: Sequence[Violation] = (),
        retry_after: float | None = None,
    ) -> None:
        if code not in self.codes:
            raise ValueError(f"{type(self).__name__} has no code {code!r}")
        super().__init__(message)
        self.code = code
        self.message = message
        self.path = path
        self.help = help
        self.details = tuple(details[:MAX_DETAILS])
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # Ray carries errors between processes by pickle; keyword-only arguments need the long way round.
        return _rebuild, (type(self), self.code, self.message, self.path, self.help, self.details, self.retry_after)

    def to_json(self, request_id: str = "") -> dict[str, Any]:
        """The error body every transport shares: `error, code, path, help?, details?, request_id?`."""
        out: dict[str, Any] = {"error": _cut(str(self)), "code": self.code, "path": _cut(self.path)}
        if self.help:
            out["help"] = _cut(self.help)
        if self.details:
            out["details"] = [violation.to_json() for violation in self.details]
        if request_id:
            out["request_id"] = request_id
        return out


LONGEST = 2048
"""Characters of a sentence, a path or a help line as they travel: no error is as long as what it is about."""


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _rebuild(
    cls: type[FivefoldError],
    code: str,
    message: str,
    path: str,
    help: str | None,
    details: tuple[Violation, ...],
    retry_after: float | None,
) -> FivefoldError:
    return cls(code, message, path=path, help=help, details=details, retry_after=retry_after)


class ContractError(FivefoldError):
    """The caller's data breaks the contract; `details` holds the ordered violations."""

    codes = ("malformed", "too_large", *VIOLATION_CODES)

    @classmethod
    def of(cls, violations: Sequence[Violation]) -> ContractError:
        """The error of an ordered, non-empty list of violations: the first one speaks."""
        first = violations[0]
        return cls(first.code, first.message, path=first.path, help=first.help, details=violations)


class ContractInvalid(FivefoldError):
    """A contract that is not one, or that cannot be enforced everywhere alike; `path` points into contract.json."""

    codes = ("contract_invalid",)

    def __init__(self, message: str, *, path: str = "", help: str | None = None, **rest: Any) -> None:
        rest.pop("code", None)
        super().__init__("contract_invalid", message, path=path, help=help, **rest)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_invalid, (type(self), self.message, self.path, self.help)


class BundleInvalid(FivefoldError):
    """A bundle that must not be served; `path` is the file inside the bundle."""

    codes = ("bundle_invalid",)

    def __init__(self, message: str, *, path: str = "", help: str | None = None, **rest: Any) -> None:
        rest.pop("code", None)
        super().__init__("bundle_invalid", message, path=path, help=help, **rest)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_invalid, (type(self), self.message, self.path, self.help)


def first_line(err: BaseException) -> str:
    """What a library's exception says first, at most 300 characters; the name of its class where it says nothing."""
    text = str(err).strip()
    return text.splitlines()[0][:300] if text else type(err).__name__


def _rebuild_invalid(cls: Any, message: str, path: str, help: str | None) -> Any:
    return cls(message, path=path, help=help)


class AccessError(FivefoldError):
    """The caller is unknown, or known and not allowed."""

    codes = ("unauthenticated", "forbidden")


class NotFound(FivefoldError):
    """No such route, model or version."""

    codes = ("not_found", "model_not_found", "version_not_found")


class ProtocolError(FivefoldError):
    """The request is not one that this route answers."""

    codes = (
        "method_not_allowed",
        "not_acceptable",
        "unsupported_media_type",
        "not_implemented",
        "headers_too_large",
        "contract_unsupported",
    )


class Unavailable(FivefoldError):
    """Not now: `retry_after` says in how many seconds to try again."""

    codes = ("not_ready", "overloaded", "rate_limited")


class Interrupted(FivefoldError):
    """The time ran out, on the caller's side or on ours."""

    codes = ("deadline_exceeded", "cancelled", "request_timeout")


class ModelFailed(FivefoldError):
    """The model raised, or its answer leaves the contract's outputs."""

    codes = ("model_failed",)


class RunFailed(FivefoldError):
    """A run over files that cannot go on; what it has finished stays, and `help` says how to go on from there."""

    codes = ("run_conflict", "too_many_bad_rows", "input_broken", "storage_failed", "worker_lost")


class InternalError(FivefoldError):
    """A defect of ours. The sentence is fixed: the exception's own text goes to the log with the request id."""

    codes = ("internal",)


FAMILIES: tuple[type[FivefoldError], ...] = (
    ContractError,
    ContractInvalid,
    BundleInvalid,
    AccessError,
    NotFound,
    ProtocolError,
    Unavailable,
    Interrupted,
    ModelFailed,
    RunFailed,
    InternalError,
)
CODES: tuple[str, ...] = tuple(code for family in FAMILIES for code in family.codes)
