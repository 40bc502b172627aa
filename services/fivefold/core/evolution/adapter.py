"""Columns of one contract version as columns of another: how a model answers callers of a version that is not its own.

    into   a caller's inputs to the model's: renamed by alias, widened, defaults filled, what the model lacks left out
    back   the model's outputs to the caller's: renamed by alias, widened, new outputs left out, what the caller's
           version does not know put under its `unknown` member

An adapter exists only where it can keep its promise for every value that the caller's contract allows: nothing is
refused on the way that the caller's own reader has accepted. Which fields belong together is left to `pairing`, whether
a value fits to `inclusion`; who is given an adapter, to `fivefold.core.view`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fivefold.core.columns import Array, Columns, Nulls, Renaming
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import ModelFailed
from fivefold.core.evolution.inclusion import Misfit, covered, misfits
from fivefold.core.evolution.pairing import pairs
from fivefold.core.fields.field import Field
from fivefold.core.readers.defaults import Defaults

ROUNDING = 1e-6
"""How far a sum of several numbers may leave a bound, relative to it, before that is more than rounding."""

Convert = Callable[[Array, Nulls | None], Array]
"""A sender's column, and where it is null, as the receiver's."""


class NotAdaptable(Exception):
    """The model cannot answer every caller of that contract version."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = tuple(reasons)
        """A sentence for each field at fault, its path in front."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """The way from a caller's contract version to the model's own and back. Both directions are thread-safe."""

    into: Callable[[Columns], Columns] | None
    """Columns of the caller's inputs to columns of the model's; None: they are the same."""

    back: Callable[[Columns], Columns] | None
    """Columns of the model's outputs to columns of the caller's, raising `ModelFailed` where added labels leave the
    caller's bounds; None: they are the same."""

    ignored: tuple[str, ...]
    """Inputs of the caller's that the model does not take."""

    @classmethod
    def between(cls, caller: Contract, own: Contract, *, newer: bool = False) -> Adapter:
        """The adapter for callers of `caller` to a model of `own`; raises `NotAdaptable`.

        `newer` says that the caller's version came after the model's: an input that it requires and the model does not
        have cannot be left out then. In an older version it can: the model has learnt to do without it.
        """
        reasons: list[str] = []
        inputs = pairs(caller.inputs, own.inputs)
        for sender, receiver in inputs.matched:
            reasons += _reasons("inputs", sender.name, sender, receiver)
        for missing in inputs.unsent:
            if missing.required:
                reasons.append(f"inputs.{missing.name}: required, and callers of {caller.version} do not send it")
        for extra in inputs.unreceived:
            if newer and extra.required:
                reasons.append(f"inputs.{extra.name}: {caller.version} requires it, and the model does not have it")
        outputs = pairs(own.outputs, caller.outputs)
        for sender, receiver in outputs.matched:
            reasons += _reasons("outputs", receiver.name, sender, receiver)
        for missing in outputs.unsent:
            reasons.append(f"outputs.{missing.name}: the model does not give it")
        if reasons:
            raise NotAdaptable(reasons)
        into = _Way(inputs.matched, own.inputs, inputs.unsent, caller.inputs)
        back = _Way(outputs.matched, caller.outputs, (), own.outputs)
        return cls(
            None if into.identity else into,
            None if back.identity else back,
            tuple(extra.name for extra in inputs.unreceived),
        )


def _misfits(sender: Field, receiver: Field) -> list[Misfit]:
    """What keeps values of the sender from the receiver, its `unknown` member considered.

    A unit, or labels, that only one of them names is nothing that values show; whoever compares the contracts is told.
    """
    taken = covered(sender, receiver)
    return [
        each
        for each in misfits(sender, receiver)
        if each.aspect not in taken and (each.decided or each.aspect not in ("unit", "labels"))
    ]


def _reasons(side: str, name: str, sender: Field, receiver: Field) -> list[str]:
    out = []
    for each in _misfits(sender, receiver):
        mine, other = (_shown(field, each.aspect) for field in (sender, receiver))
        doubt = "" if each.decided else ", and nobody can say whether all of it fits"
        out.append(f"{side}.{name}: {each.aspect} {mine} comes, {other} is taken{doubt}")
    return out


def _shown(field: Field, aspect: str) -> str:
    value = getattr(field, aspect)
    if isinstance(value, tuple):
        value = list(value)
    text = "none" if value is None else str(value)
    return text if len(text) <= 64 else f"{text[:63]}…"


@dataclass(slots=True)
class _Way:
    """One direction: each receiver's column by its sender's, or by its default."""

    matched: tuple[tuple[Field, Field], ...]
    receivers: tuple[Field, ...]
    unsent: tuple[Field, ...]
    senders: tuple[Field, ...]
    same: Renaming = field(init=False)
    """Columns that stay as they are."""
    changed: list[tuple[Field, Field, Convert]] = field(init=False)
    masked: list[tuple[Field, Field]] = field(init=False)
    """Receivers whose nulls a mask has to tell (`Field.null_is_value`)."""
    defaults: Defaults = field(init=False)

    def __post_init__(self) -> None:
        same: dict[str, str] = {}
        self.changed, self.masked = [], []
        for sender, receiver in self.matched:
            convert = _conversion(sender, receiver)
            if convert is None:
                same[receiver.name] = sender.name
            else:
                self.changed.append((sender, receiver, convert))
            if receiver.null_is_value:
                self.masked.append((sender, receiver))
        self.same = Renaming(same)
        self.defaults = Defaults(self.unsent)

    @property
    def identity(self) -> bool:
        """Whether columns pass as they are."""
        names = [receiver.name for receiver in self.receivers]
        return (
            not self.changed
            and self.same.old == {name: name for name in names}
            and names == [sender.name for sender in self.senders]
            and all(sender.null_is_value == receiver.null_is_value for sender, receiver in self.matched)
        )

    def __call__(self, columns: Columns) -> Columns:
        rows = columns.rows
        more: dict[str, Array] = {}
        nulls: dict[str, Nulls] = {}
        for sender, receiver, convert in self.changed:
            mask = columns.nulls(sender.name) if sender.nullable else None
            more[receiver.name] = convert(columns[sender.name], mask)
        for sender, receiver in self.masked:
            if sender.nullable:
                nulls[receiver.name] = columns.nulls(sender.name)
            else:
                nulls[receiver.name] = np.zeros((rows, *receiver.shape), np.bool_)
        for index, missing in enumerate(self.unsent):
            out = np.empty((rows, *missing.shape), missing.numpy_dtype)
            out[:] = self.defaults.cell(index)
            more[missing.name] = out
            if (null := self.defaults.null(index)) is not None:
                nulls[missing.name] = np.full(out.shape, null)
        return columns.renamed(self.receivers, self.same, more, nulls)


def _conversion(sender: Field, receiver: Field) -> Convert | None:
    """How the sender's column becomes the receiver's; None: it is the receiver's."""
    known = set(receiver.enum or ())
    if receiver.unknown is not None and known and not (sender.enum and known.issuperset(sender.enum)):
        return _Unknown(receiver)
    if receiver.labels and receiver.labels != sender.labels and receiver.unknown is not None:
        return _Folded(sender, receiver)
    null = sender.nullable and sender.kind != "float" and (receiver.kind == "float" or sender.null != receiver.null)
    if sender.dtype == receiver.dtype and not null:
        return None
    return _Cast(receiver, null)


@dataclass(frozen=True, slots=True)
class _Cast:
    """Widened to the receiver's dtype; where `null`, its null takes the place of the sender's."""

    receiver: Field
    null: bool

    def __call__(self, array: Array, nulls: Nulls | None) -> Array:
        out = array.astype(self.receiver.numpy_dtype)
        if self.null and nulls is not None:
            out[nulls] = self.receiver.null
        return out


@dataclass(frozen=True, slots=True)
class _Unknown:
    """Members of the receiver's enum as they are, everything else its unknown one."""

    receiver: Field

    def __call__(self, array: Array, nulls: Nulls | None) -> Array:
        receiver = self.receiver
        out = array.astype(receiver.numpy_dtype)
        known = receiver.limits.known
        strange = np.array([value not in known for value in out.ravel().tolist()], np.bool_).reshape(out.shape)
        if nulls is not None:
            strange &= ~nulls
        out[strange] = receiver.unknown
        if nulls is not None:
            out[nulls] = receiver.null
        return out


class _Folded:
    """The numbers of labels that the receiver knows, in its order, and the sum of the others under its unknown one."""

    __slots__ = ("_ends", "_others", "_places", "_receiver", "_unknown")

    def __init__(self, sender: Field, receiver: Field) -> None:
        self._receiver = receiver
        self._ends = _ends(receiver)
        self._places = [
            sender.labels.index(label) if label in sender.labels and label != receiver.unknown else 0
            for label in receiver.labels
        ]
        self._unknown = receiver.labels.index(receiver.unknown)
        known = set(receiver.labels) - {receiver.unknown}
        self._others = [place for place, label in enumerate(sender.labels) if label not in known]

    def __call__(self, array: Array, _: Nulls | None) -> Array:
        receiver = self._receiver
        # Integers as Python's: a sum of theirs may be more than any dtype holds.
        wide = array.astype(np.float64 if receiver.kind == "float" else object)
        rest = np.add.reduce(wide.take(self._others, axis=-1), axis=-1)
        out = wide.take(self._places, axis=-1)
        low, high = self._ends
        # Not by the least and the most of them: where one is NaN, those are too.
        if (rest < low).any():
            rest = self._rounded(np.maximum(rest, low), rest, low)
        if (rest > high).any():
            rest = self._rounded(np.minimum(rest, high), rest, high)
        out[..., self._unknown] = rest
        return out.astype(receiver.numpy_dtype)

    def _rounded(self, inside: Array, sums: Array, bound: Any) -> Array:
        """Sums at the bound that they left by no more than rounding."""
        # Integers are not rounded.
        most = ROUNDING * max(1.0, abs(float(bound))) if self._receiver.kind == "float" else 0
        if (np.abs(sums - inside) > most).any():
            raise ModelFailed(
                "model_failed",
                "the numbers of labels that this contract version does not know add up to more than it allows",
                path=f"outputs.{self._receiver.name}",
            )
        return inside


def _ends(field: Field) -> tuple[Any, Any]:
    """The least and the most that the field allows: its bounds, or its dtype's."""
    info: Any = np.finfo(field.dtype) if field.kind == "float" else np.iinfo(field.dtype)
    number = float if field.kind == "float" else int
    low, high = field.limits.low, field.limits.high
    return number(info.min) if low is None else number(low), number(info.max) if high is None else number(high)
