"""Whether every legal value of one field is a legal and equal value of another, and a value that shows why not.

The sender's values are those that its own reader gives: bounds count together with the range of the dtype, floats are
those of the dtype, members of an enumeration that other keywords forbid are none. Equal is what reads the same as JSON.
Text is decided by `automaton`. What a difference means to callers, and what an adapter can do about it, is left to
`fivefold.evolution` and to whoever adapts.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from fivefold.core.evolution.automaton import Undecided, shortest
from fivefold.core.evolution.number_set import NumberSet
from fivefold.core.fields.field import ABSENT, Field

LONGEST = 100_000
"""Code points, bytes or elements up to which a witness is made."""


@dataclass(frozen=True, slots=True)
class Misfit:
    """One reason why a legal value of the sender might not be a legal, equal value of the receiver.

    `aspect` is the keyword, or `kind` for values that never convert. `decided` is False where nobody can say: a pattern
    that is too much to compare, a unit or labels that only one side names. `witness` is a row's value of the sender, as
    JSON (null is None), that the receiver refuses or changes; ABSENT where JSON cannot show it: a difference of meaning
    alone, NaN and the infinities, or text that is too long.
    """

    aspect: str
    decided: bool = True
    witness: Any = ABSENT


def misfits(sender: Field, receiver: Field) -> list[Misfit]:
    """Why a legal value of `sender` might not be a legal, equal value of `receiver`; empty: every value is."""
    out = [*_meaning(sender, receiver)]
    if (sender.numeric, receiver.numeric) != (True, True) and sender.kind != receiver.kind:
        found = _foreign(sender, receiver)
        if found is None and receiver.nullable:
            found = ABSENT  # nothing but null comes, and null fits
        return [Misfit("kind", witness=_row(sender, found)), *out]
    if sender.shape != receiver.shape:
        out.insert(0, Misfit("shape", witness=_row(sender, example(sender))))
    if sender.nullable and not receiver.nullable:
        out.append(Misfit("nullable", witness=_row(sender, None)))
    if sender.numeric:
        out += _numeric(sender, receiver)
    elif sender.kind == "string":
        out += _text(sender, receiver)
    elif sender.kind == "bytes":
        out += _bytes(sender, receiver)
    return out


def covered(sender: Field, receiver: Field) -> frozenset[str]:
    """The aspects in which the receiver's `unknown` takes whatever the sender has more than the receiver knows.

    Text outside of the receiver's enumeration becomes the unknown member; numbers of labels that the receiver does not
    have are added to that of its unknown label, where it has all others under the same names. Whether such a sum is
    within bounds is only known when there is one. Nothing can be added to a null that is an integer.
    """
    unknown = receiver.unknown
    if unknown is None:
        return frozenset()
    if receiver.enum is not None and sender.kind == receiver.kind == "string":
        return frozenset({"enum", "min_length", "max_length", "pattern"})
    summable = sender.numeric and receiver.numeric and (sender.kind == "float" or not sender.nullable)
    if summable and unknown in receiver.labels and sender.labels:
        known = set(receiver.labels) - {unknown}
        if known <= set(sender.labels) and sender.shape[:-1] == receiver.shape[:-1]:
            return frozenset({"shape", "labels"})
    return frozenset()


def example(field: Field) -> Any:
    """A legal element of the field as JSON, a plain one where there is a choice; ABSENT where there is none."""
    if field.numeric:
        found = NumberSet(field).example()
    elif field.kind == "bool":
        found = True
    elif field.kind == "bytes":
        found = _base64(field.min_length or 0)
    else:
        found = next(_members(field), ABSENT) if field.enum is not None else _shortest(field)
    return None if found is ABSENT and field.nullable else found


def common(sender: Field, receiver: Field) -> Any:
    """A legal element of the sender that the receiver keeps as it is, where one is found soon; else any of its own."""
    mine = example(sender)
    if sender == receiver:
        return mine
    candidates = (mine, example(receiver), *(sender.enum or ()))
    return next((one for one in candidates if _legal(sender, one) and _legal(receiver, one)), mine)


def _legal(field: Field, element: Any) -> bool:
    if element is None or element is ABSENT:
        return element is None and field.nullable
    if isinstance(element, bool):
        return field.kind == "bool"
    if isinstance(element, str):
        return field.kind == "bytes" or (field.kind == "string" and all(fits(element) for _, fits in _rules(field)))
    return field.numeric and NumberSet(field).holds(element)


def _meaning(sender: Field, receiver: Field) -> Iterator[Misfit]:
    for aspect in ("unit", "labels"):
        mine, other = getattr(sender, aspect), getattr(receiver, aspect)
        if mine != other:
            yield Misfit(aspect, decided=bool(mine and other))


def _row(field: Field, element: Any) -> Any:
    """A row's value that holds the element everywhere."""
    if element is ABSENT or field.size > LONGEST:
        return ABSENT
    value = element
    for size in reversed(field.shape):
        value = [value] * size
    return value


def _foreign(sender: Field, receiver: Field) -> Any:
    """An element of the sender that the receiver, of another kind, refuses."""
    if sender.kind == "bytes" and receiver.kind == "string":
        return ABSENT  # base64 is text too: what is changed is its meaning
    if receiver.kind != "bytes" or sender.kind != "string":
        return example(sender)
    if sender.enum is not None:
        candidates = _members(sender)
    else:
        least = sender.min_length or 0
        candidates = (_shortest(sender, length) for length in range(least, least + 5))
    return next((text for text in candidates if text is not ABSENT and not _is_base64(text)), ABSENT)


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except ValueError:
        return False
    return True


def _numeric(sender: Field, receiver: Field) -> Iterator[Misfit]:
    mine, other = NumberSet(sender), NumberSet(receiver)
    if not mine.empty:
        for aspect, asked, refuses in (
            ("dtype", sender.dtype != receiver.dtype, other.changes),
            ("minimum", receiver.minimum is not None, other.is_below),
            ("maximum", receiver.maximum is not None, other.is_above),
            ("enum", receiver.enum is not None, other.is_no_member),
        ):
            if not asked:
                continue
            found = mine.find(aspect, refuses, other)
            if found is not None:
                yield Misfit(aspect, witness=_row(sender, found))
        # An infinity is above every maximum, the largest finite number too.
        if sender.allow_nan and receiver.allow_nan:
            for aspect in ("minimum", "maximum"):
                bound = getattr(receiver, aspect)
                if getattr(sender, aspect) is None and bound is not None and abs(bound) >= other.most:
                    yield Misfit(aspect)
    if sender.allow_nan and not receiver.allow_nan:
        nan = sender.nullable or (receiver.kind == "float" and receiver.nullable)
        if not nan or sender.minimum is None or sender.maximum is None:
            yield Misfit("allow_nan")


def _text(sender: Field, receiver: Field) -> Iterator[Misfit]:
    if sender.enum is not None:
        members = list(_members(sender))
        for aspect, fits in _rules(receiver):
            found = next((member for member in members if not fits(member)), None)
            if found is not None:
                yield Misfit(aspect, witness=_row(sender, found))
        return
    least, most = sender.min_length or 0, sender.max_length
    if receiver.enum is not None:
        yield from _asked(sender, "enum", least, most, receiver.enum)
    if receiver.min_length is not None and receiver.min_length > least:
        shorter = receiver.min_length - 1
        yield from _asked(sender, "min_length", least, shorter if most is None else min(most, shorter))
    if receiver.max_length is not None and (most is None or most > receiver.max_length):
        yield from _asked(sender, "max_length", max(least, receiver.max_length + 1), most)
    if receiver.limits.pattern is not None and receiver.pattern != sender.pattern:
        yield from _asked(sender, "pattern", least, most, receiver.limits.pattern)


def _asked(sender: Field, aspect: str, least: int, most: int | None, refused_by: Any = None) -> Iterator[Misfit]:
    if sender.limits.pattern is None and refused_by is None:
        yield Misfit(aspect, witness=_row(sender, "a" * least) if least <= LONGEST else ABSENT)
        return
    try:
        found = shortest(sender.limits.pattern, least, most, refused_by)
    except Undecided:
        yield Misfit(aspect, decided=False)
        return
    if found is not None:
        yield Misfit(aspect, witness=_row(sender, found))


def _shortest(field: Field, least: int | None = None) -> Any:
    start = field.min_length or 0 if least is None else least
    try:
        found = shortest(field.limits.pattern, start, field.max_length)
    except Undecided:
        return ABSENT
    return ABSENT if found is None else found


def _members(field: Field) -> Iterator[Any]:
    """The members of a text's enumeration that its other keywords allow."""
    rules = [fits for aspect, fits in _rules(field) if aspect != "enum"]
    return (member for member in field.enum or () if all(fits(member) for fits in rules))


def _rules(field: Field) -> Iterator[tuple[str, Callable[[str], bool]]]:
    """The field's rules about text, by aspect."""
    least, most, pattern = field.min_length, field.max_length, field.limits.pattern
    if field.enum is not None:
        yield "enum", field.limits.known.__contains__
    if least is not None:
        yield "min_length", lambda text: len(text) >= least
    if most is not None:
        yield "max_length", lambda text: len(text) <= most
    if pattern is not None:
        yield "pattern", pattern.matches


def _bytes(sender: Field, receiver: Field) -> Iterator[Misfit]:
    least, most = sender.min_length or 0, sender.max_length
    if receiver.min_length is not None and least < receiver.min_length:
        yield Misfit("min_length", witness=_row(sender, _base64(least)))
    if receiver.max_length is not None and (most is None or most > receiver.max_length):
        yield Misfit("max_length", witness=_row(sender, _base64(max(least, receiver.max_length + 1))))


def _base64(length: int) -> Any:
    return base64.b64encode(bytes(length)).decode() if length <= LONGEST else ABSENT
