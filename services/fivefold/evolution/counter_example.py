"""A record that shows a finding: one that the sending contract accepts and the receiving one refuses or changes.

Records are made from examples and witnesses of `fivefold.core.evolution.inclusion`, and none is given that both
readers have not been asked about: what cannot be shown so has no example.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fivefold.core.check.findings import Reading, describe
from fivefold.core.errors import Violation
from fivefold.core.evolution.inclusion import common, example
from fivefold.core.evolution.number_set import NumberSet
from fivefold.core.evolution.pairing import Pairing, pairs
from fivefold.core.fields.field import ABSENT, Field
from fivefold.core.readers.records import Records

MOST_FIELDS = 64
"""Fields up to which an example is a whole record; of larger contracts it holds the fields that matter."""


MOST_EXAMPLES = 64
"""Examples that are made for one side of such a contract in one direction."""


@dataclass(frozen=True, slots=True)
class Example:
    """A record of the sending contract, and what the receiving one makes of it."""

    record: Any
    """JSON: an object, or an array with one value a field."""
    outcome: Literal["refused", "changed"]
    says: str
    """The reader's own sentence, or the values before and after."""
    code: str | None = None
    """The code of the refusal."""

    def to_json(self) -> dict[str, Any]:
        out = {"record": self.record, "outcome": self.outcome, "says": self.says}
        return out if self.code is None else {**out, "code": self.code}


class Prober:
    """Makes records of the senders' fields and asks both readers; every method gives an `Example`, or None."""

    def __init__(self, side: str, senders: Sequence[Field], receivers: Sequence[Field], pairing: Pairing) -> None:
        self._side, self._pairing = side, pairing
        self._whole = max(len(senders), len(receivers)) <= MOST_FIELDS
        self._senders, self._receivers = tuple(senders), tuple(receivers)
        self._pair: _Pair | None = None
        self._made = 0

    def value(self, sender: Field, receiver: Field, witness: Any) -> Example | None:
        """A record with a value that the receiver refuses or changes, once names are mapped."""
        self._made += 1
        if not self._whole and self._made > MOST_EXAMPLES:
            return None
        pair = self._about((sender,), (receiver,))
        return pair.asked(pair.base | {sender.name: witness}, receiver.name, sender.name, adapted=True)

    def unsent(self, field: Field) -> Example | None:
        """A record that leaves out a field of the receiver that the sender does not have."""
        pair = self._about(self._senders[:1], (field,))
        return pair.asked(pair.base, field.name, None, adapted=True, filled=False)

    def unknown(self, field: Field) -> Example | None:
        """A record with a field that the receiver does not have."""
        pair = self._about((field,), self._receivers[:1])
        return pair.asked(pair.base, field.name, None, adapted=False)

    def named(self, sender: Field, receiver: Field, name: str) -> Example | None:
        """A record that gives a field under a name that the receiver no longer knows."""
        pair = self._about((sender,), (receiver,))
        if sender.name not in pair.base:
            return None
        record = {name if key == sender.name else key: value for key, value in pair.base.items()}
        return pair.asked(record, name, None, adapted=False)

    def left_out(self, sender: Field, receiver: Field) -> Example | None:
        """A record without a field that is optional for the sender."""
        pair = self._about((sender,), (receiver,))
        record = {key: value for key, value in pair.base.items() if key != sender.name}
        return pair.asked(record, receiver.name, sender.name, adapted=False)

    def positional(self) -> Example | None:
        """A row without names that is read into other fields."""
        pair = _Pair(self._side, self._senders, self._receivers, self._pairing)
        row = pair.row()
        return None if row is None else pair.asked_by_place(row)

    def _about(self, senders: Sequence[Field], receivers: Sequence[Field]) -> _Pair:
        if not self._whole:
            return _Pair(self._side, senders, receivers, pairs(senders, receivers))
        if self._pair is None:
            self._pair = _Pair(self._side, self._senders, self._receivers, self._pairing)
        return self._pair


class _Pair:
    """Two readers and a record that the first accepts."""

    def __init__(self, side: str, senders: Sequence[Field], receivers: Sequence[Field], pairing: Pairing) -> None:
        self._side = side
        self._senders, self._receivers, self._pairing = senders, receivers, pairing
        self._reads, self._takes = Records(senders), Records(receivers)
        to = {sender.name: receiver for sender, receiver in pairing.matched}
        elements = {field.name: common(field, to.get(field.name, field)) for field in senders}
        self.base = {
            field.name: spread(field, elements[field.name]) for field in senders if elements[field.name] is not ABSENT
        }
        self._fill = {field.name: spread(field, example(field)) for field in pairing.unsent if field.required}

    def asked(
        self, record: Mapping[str, Any], at: str, sent: str | None, *, adapted: bool, filled: bool = True
    ) -> Example | None:
        """What the receiver makes of a record at its name `at`; `sent` is the sender's name of the same field.

        `adapted` maps names as the adapter does and leaves out what the receiver does not know. `filled` gives it what
        nobody sends, so that only this field is at stake.
        """
        reading = self._reads.read([record])
        if reading.violations:
            return None
        whole = reading.columns.to_records()[0]
        if adapted:
            offered = {receiver.name: whole[sender.name] for sender, receiver in self._pairing.matched}
        else:
            offered = self._known(record, at)
        if filled:
            offered |= {name: value for name, value in self._fill.items() if name not in offered}
        got = self._takes.read([offered])
        refused = self._refusal(got, at)
        if refused is not None:
            return Example(dict(record), "refused", self._said(refused), refused.code)
        if got.violations:
            # Another field is refused: alone, this one would be read.
            got = self._takes.read([offered | self._legal(at)])
        if sent is None or got.violations:
            return None
        value = got.columns.to_records()[0][at]
        if same(whole[sent], value):
            return None
        return Example(dict(record), "changed", f"{self._side}.{at}: {describe(whole[sent])} became {describe(value)}")

    def _known(self, record: Mapping[str, Any], at: str) -> dict[str, Any]:
        """The record as it is, but for fields that are not at stake and that the receiver would refuse by their name.

        Those are mapped, or left out, as the adapter does.
        """
        names = {
            name: receiver for sender, receiver in self._pairing.matched for name in (sender.name, *sender.aliases)
        }
        takes = {name for receiver in self._receivers for name in (receiver.name, *receiver.aliases)}
        out: dict[str, Any] = {}
        for name, value in record.items():
            if name == at or name in takes:
                out[name] = value
            elif name in names:
                out[names[name].name] = value
        return out

    def _legal(self, at: str) -> dict[str, Any]:
        values = {field.name: (field, example(field)) for field in self._receivers if field.name != at}
        return {name: spread(field, value) for name, (field, value) in values.items() if value is not ABSENT}

    def _refusal(self, reading: Reading, at: str) -> Violation | None:
        path = f"inputs.{at}"
        return next((v for v in reading.violations if v.path == path or v.path.startswith(f"{path}[")), None)

    def _said(self, violation: Violation) -> str:
        # A reader of records speaks of inputs, whatever it reads.
        return f"{self._side}{violation.path.removeprefix('inputs')}: {violation.message}"

    def row(self) -> list[Any] | None:
        """A row without names, with a value of its own in each field where there are enough."""
        out: list[Any] = []
        for field in self._senders:
            values = [value for value in _several(field) if value not in out]
            element = values[0] if values else self.base.get(field.name, ABSENT)
            if element is ABSENT:
                return None
            out.append(spread(field, element) if values else element)
        return out

    def asked_by_place(self, row: list[Any]) -> Example | None:
        """What the receiver makes of a row without names."""
        reading, got = self._reads.read([row]), self._takes.read([row])
        if reading.violations:
            return None
        if got.violations:
            return Example(row, "refused", self._said(got.violations[0]), got.violations[0].code)
        sent, taken = reading.columns.to_records()[0], got.columns.to_records()[0]
        for sender, receiver in self._pairing.matched:
            if not same(sent[sender.name], taken[receiver.name]):
                before, after = describe(sent[sender.name]), describe(taken[receiver.name])
                return Example(row, "changed", f"{self._side}.{receiver.name}: {before} became {after}")
        return None


def spread(field: Field, element: Any) -> Any:
    """A row's value of the field that holds the element everywhere."""
    if element is ABSENT:
        return ABSENT
    value = element
    for size in reversed(field.shape):
        value = [value] * size
    return value


def same(one: Any, two: Any) -> bool:
    """Whether two JSON values are the same one: 1 is 1.0, and no boolean."""
    if isinstance(one, list) and isinstance(two, list):
        return len(one) == len(two) and all(map(same, one, two))
    return isinstance(one, bool) == isinstance(two, bool) and bool(one == two)


def _several(field: Field) -> list[Any]:
    """A few legal elements of the field."""
    if field.kind == "bool":
        return [True, False]
    if field.enum is not None:
        return list(field.enum[:64])
    if not field.numeric:
        return [example(field)]
    numbers = NumberSet(field)
    low = numbers.example() if field.minimum is None else numbers.low
    return [value for value in (low + step for step in range(64)) if numbers.holds(value)]
