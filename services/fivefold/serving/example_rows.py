"""A bundle's golden rows as callers of one contract version would send and get them, for whoever shows examples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fivefold.core.evolution.pairing import pairs

if TYPE_CHECKING:
    from fivefold.core.bundle.bundle import Bundle
    from fivefold.core.columns import Columns
    from fivefold.core.view import View


def example_rows(bundle: Bundle, view: View, most: int) -> tuple[Columns, Columns]:
    """At most so many golden rows under a view: its inputs and its outputs, row for row.

    Under another version than the model's own there are those alone that its callers can send and that reach the model
    as they are; none, maybe.
    """
    given, answers = bundle.golden()
    if view.into is None:
        chosen, out = given.slice(0, most), answers.slice(0, most)
        return chosen, out if view.back is None else view.back(out)
    names = {own.name: caller.name for caller, own in pairs(view.inputs, bundle.contract.inputs).matched}
    records = given.to_records()
    asked = [{names[name]: value for name, value in record.items() if name in names} for record in records]
    reading = view.records.read(asked)
    sent = [row for row, bad in enumerate(reading.bad.tolist()) if not bad] if reading.violations else range(given.rows)
    reached = view.into(reading.columns).to_records()
    kept = [at for at, row in enumerate(sent) if reached[at] == records[row]][:most]
    rows = [sent[at] for at in kept]
    out = answers.take(_places(rows))
    return reading.columns.take(_places(kept)), out if view.back is None else view.back(out)


def _places(rows: list[int]) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array(rows, np.int64)
