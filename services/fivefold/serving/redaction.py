"""What of a recorded request is not written down: fields by name, in every contract version that a model answers.

A redacted field that is optional is left out; one that is required has a legal constant of its own in every record, so
that the record can still be read: the first member of its enum, otherwise a plain value within its limits. A name means
the field in all versions, also where another version calls it something else. A name that no model has is refused:
whoever misspells one must not find the values in a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fivefold.core.errors import ContractError
from fivefold.core.evolution.inclusion import example
from fivefold.core.evolution.pairing import pairs
from fivefold.core.fields.field import ABSENT, Field
from fivefold.core.fields.suggestion import nearest
from fivefold.core.readers.records import Records
from fivefold.core.settings import SettingsError
from fivefold.core.view import View, Views


class Redaction:
    """What becomes of the redacted fields of every view; raises `SettingsError` for a name that cannot be redacted."""

    def __init__(self, models: Iterable[Views], names: Iterable[str], before: Redaction | None = None) -> None:
        """`before` is that of the models whose place these take: what they have in work is still written down."""
        self._wanted = wanted = frozenset(names)
        self._plans: dict[View, Mapping[str, Any]] = {}
        known: set[str] = set()
        for views in models:
            for view in views.values():
                for field in view.inputs:
                    known |= _names(field)
                fields = _redacted(view, views, wanted)
                self._plans[view] = {field.name: ABSENT if not field.required else _constant(field) for field in fields}
        for name in sorted(wanted - known):
            like = nearest(name, known)
            raise SettingsError(
                f"record_redact: no model that is served has an input {name!r}{f'; {like}' if like else ''}"
            )

        self._own = dict(self._plans)
        if before is not None:
            self._plans = before._own | self._own

    def following(self, models: Iterable[Views]) -> Redaction:
        """The same for models that take the place of these. Raises `SettingsError`."""
        return Redaction(models, self._wanted, self)

    def apply(self, view: View, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The records of a view, in place, without what is redacted in them."""
        for name, constant in self._plans[view].items():
            for record in records:
                if constant is ABSENT:
                    record.pop(name, None)
                else:
                    record[name] = constant
        return records


def _names(field: Field) -> set[str]:
    return {field.name, *field.aliases}


def _redacted(view: View, views: Views, wanted: frozenset[str]) -> list[Field]:
    """The view's fields that are meant by a wanted name, be it that of the same field in another version."""
    own = {field.name for field in views.own.inputs if wanted & _names(field)}
    for other in views.values():
        for sender, receiver in pairs(other.inputs, views.own.inputs).matched:
            if wanted & _names(sender):
                own.add(receiver.name)
    ours = {sender.name for sender, receiver in pairs(view.inputs, views.own.inputs).matched if receiver.name in own}
    return [field for field in view.inputs if wanted & _names(field) or field.name in ours]


def _constant(field: Field) -> Any:
    """A value that the field's own reader accepts, as JSON."""
    value = example(field)
    if value is not ABSENT:
        for size in reversed(field.shape):
            value = [value] * size
        try:
            if not Records((field,)).read([{field.name: value}]).violations:
                return value
        except ContractError:
            pass
    raise SettingsError(f"record_redact: no legal value is known to stand for the required input {field.name!r}")
