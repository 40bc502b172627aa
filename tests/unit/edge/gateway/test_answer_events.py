"""What an event says, and the ids of events."""

from __future__ import annotations

import uuid

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.support.bundles import contract, field

from fivefold.core.columns import Columns
from fivefold.edge.gateway.answer_events import _records, event_ids


@given(st.integers(0, 2**48 - 1), st.integers(0, 50))
def test_ids_are_uuids_of_version_7(now: int, count: int) -> None:
    """As the standard library reads them; the time stands in front, so that they sort by it."""
    ids = [uuid.UUID(text) for text in event_ids(count, now)]

    assert len(set(ids)) == count
    assert all((each.version, each.variant, each.int >> 80) == (7, uuid.RFC_4122, now) for each in ids)


def test_numbers_that_json_lacks_are_named() -> None:
    """They would become null, which is another value."""
    fields = contract([field("x", "float64", shape=[2], allow_nan=True), field("y", "float64")], [field("z")]).inputs
    values = {"x": np.array([[np.nan, 1.0], [np.inf, -np.inf]]), "y": np.array([1.0, 2.0])}
    columns = Columns(fields, values, 2)

    assert _records(columns) == [{"x": ["NaN", 1.0], "y": 1.0}, {"x": ["Infinity", "-Infinity"], "y": 2.0}]
