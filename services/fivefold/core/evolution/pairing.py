"""Which field of the sending contract is which field of the receiving one.

By name first, then by alias; never by place, which says nothing about meaning. What a pair's difference means is left
to `inclusion`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fivefold.core.fields.field import Field


@dataclass(frozen=True, slots=True)
class Pairing:
    """The fields of two sides, each of them once."""

    matched: tuple[tuple[Field, Field], ...]
    """Sender and receiver, in the receivers' order."""

    unsent: tuple[Field, ...]
    """Receivers for which nobody sends anything, in order."""

    unreceived: tuple[Field, ...]
    """Senders whose field nobody takes, in order."""


def pairs(senders: Sequence[Field], receivers: Sequence[Field]) -> Pairing:
    """Pair fields by the same name, then by a receiver's alias, then by a sender's alias."""
    free = {field.name: field for field in senders}
    found: dict[str, Field] = {}

    for receiver in receivers:
        if receiver.name in free:
            found[receiver.name] = free.pop(receiver.name)
    for receiver in receivers:
        alias = next((alias for alias in receiver.aliases if alias in free), None)
        if receiver.name not in found and alias is not None:
            found[receiver.name] = free.pop(alias)
    by_alias = {alias: field.name for field in senders for alias in field.aliases}
    for receiver in receivers:
        name = by_alias.get(receiver.name)
        if receiver.name not in found and name in free:
            found[receiver.name] = free.pop(name)

    return Pairing(
        tuple((found[receiver.name], receiver) for receiver in receivers if receiver.name in found),
        tuple(receiver for receiver in receivers if receiver.name not in found),
        tuple(free.values()),
    )
