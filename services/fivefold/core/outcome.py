"""What is kept of input that was refused: one record with one JSON form, whoever refused it and wherever it came from.

A line of batch's quarantine is this, and so is a dead letter. Where such a record goes is left to the adapter.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from fivefold.core.errors import FivefoldError, Violation

RAW_BYTES = 4096
"""Bytes of `raw` that the JSON form shows (characters of a text, items of an array in it)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One thing that was refused: where it stood, what stood there, and what was wrong with it."""

    where: Mapping[str, Any]
    """The adapter's own JSON values, in its own order: file, row, line and offset, or topic, partition and offset."""

    code: str
    """One of `fivefold.core.errors.CODES`."""

    path: str
    """Of the value, as of a request with this one row."""

    message: str
    help: str | None = None

    details: tuple[Violation, ...] = ()
    """All violations, the first of which is the one above."""

    contract: str = ""
    """`NAME@VERSION` of the contract that refused it; empty where the adapter says so elsewhere."""

    bundle: str = ""
    """The digest of the bundle; empty where the adapter says so elsewhere."""

    columns: Mapping[str, Any] | None = None
    """Values by which the adapter's reader finds the row again: None where none are wanted."""

    raw: bytes | Mapping[str, Any] | None = None
    """What stood there: bytes as they came, or a mapping of column to value; None where there is nothing to show."""

    @classmethod
    def of(
        cls,
        error: FivefoldError,
        where: Mapping[str, Any],
        raw: bytes | Mapping[str, Any] | None = None,
        *,
        columns: Mapping[str, Any] | None = None,
        contract: str = "",
        bundle: str = "",
    ) -> Refusal:
        """The record of an error."""
        return cls(
            where=where,
            code=error.code,
            path=error.path,
            message=error.message,
            help=error.help,
            details=error.details,
            contract=contract,
            bundle=bundle,
            columns=columns,
            raw=raw,
        )

    def to_json(self) -> dict[str, Any]:
        """`where`'s own members, then `code, path, message, help?, details?, contract?, bundle?, columns?` and what
        stood there: `raw`, or `raw_base64` for bytes that are not UTF-8.

        `details` is there for more than one violation. Bytes are cut to `RAW_BYTES`, not in the middle of a character.
        """
        out = dict(self.where)
        out |= {"code": self.code, "path": utf8(self.path), "message": utf8(self.message)}
        if self.help:
            out["help"] = utf8(self.help)
        if len(self.details) > 1:
            out["details"] = [
                {name: utf8(value) for name, value in violation.to_json().items()} for violation in self.details
            ]
        if self.contract:
            out["contract"] = self.contract
        if self.bundle:
            out["bundle"] = self.bundle
        if self.columns:
            out["columns"] = {name: showable(value) for name, value in self.columns.items()}
        return out | _raw(self.raw)

    def to_line(self) -> bytes:
        """The JSON form in UTF-8, with a line feed behind it."""
        return msgspec.json.encode(self.to_json()) + b"\n"


def showable(value: Any) -> Any:
    """A value as JSON: bytes as base64, NaN and infinity by name, what else JSON has no type for as text; long ones are
    cut to `RAW_BYTES`."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, bytes):
        return base64.b64encode(value[:RAW_BYTES]).decode("ascii")
    if isinstance(value, list | tuple):
        return [showable(item) for item in value[:RAW_BYTES]]
    if isinstance(value, dict):
        return {utf8(str(name)): showable(item) for name, item in value.items()}
    if value is None or isinstance(value, bool | int | float):
        return value
    return utf8(str(value)[:RAW_BYTES])


def utf8(text: str) -> str:
    """Text with a replacement character for each surrogate that stands alone."""
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace") if not text.isascii() else text


def _raw(raw: bytes | Mapping[str, Any] | None) -> dict[str, Any]:
    if raw is None:
        return {}
    if isinstance(raw, Mapping):
        return {"raw": {utf8(name): showable(value) for name, value in raw.items()}}
    begun = raw[:RAW_BYTES]
    try:
        return {"raw": begun.decode()}
    except UnicodeDecodeError as err:
        # A character that only the cut has broken is left out.
        if len(raw) > RAW_BYTES and err.start >= RAW_BYTES - 3:
            return {"raw": begun[: err.start].decode()}
        return {"raw_base64": base64.b64encode(begun).decode("ascii")}
