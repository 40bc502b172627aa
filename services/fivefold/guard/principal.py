"""Who calls: a name for the log, what it may do, and what is left of its limits."""

from __future__ import annotations

from collections.abc import Iterable

from fivefold.core.errors import AccessError
from fivefold.guard.allowance import Allowance


class Principal:
    """A caller that has been recognised. Nothing in it is secret.

    `name` is `key:ID` or `subject:SUB`. Several tokens of one subject share its allowance.
    """

    __slots__ = ("allowance", "name", "scopes")

    def __init__(self, name: str, scopes: Iterable[str], allowance: Allowance) -> None:
        self.name = name
        self.scopes = frozenset(scopes)
        self.allowance = allowance

    def __repr__(self) -> str:
        return f"Principal({self.name!r}, {sorted(self.scopes)})"

    def release(self) -> None:
        """The request that `Guard.admit` gave this for has ended; exactly once for each."""
        self.allowance.leave()


def unauthenticated(message: str) -> AccessError:
    """The error of a caller that is not known. What it sent is never quoted: it may be another server's secret."""
    return AccessError(
        "unauthenticated", message, help="send the header authorization: Bearer KEY (in gRPC the same as metadata)"
    )
