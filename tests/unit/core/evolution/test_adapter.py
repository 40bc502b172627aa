"""Adapters of generated versions: whatever a caller's contract allows goes there and comes back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from tests.support.contract_values import good_rows
from tests.support.evolving_contracts import evolving

from fivefold.core.columns import Columns
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import ModelFailed
from fivefold.core.evolution.adapter import Adapter, NotAdaptable
from fivefold.core.evolution.pairing import pairs
from fivefold.core.fields.field import Field
from fivefold.core.readers.records import Records
from fivefold.evolution.changes import changes

Fields = tuple[Field, ...]
SETTINGS = settings(deadline=None, suppress_health_check=list(HealthCheck))


def hold(old: Contract, new: Contract, data: st.DataObject, payloads: int) -> None:
    """Callers of the old version on the new model, and of the new one on the old model."""
    findings = changes(old, new, examples=False)
    for caller, own, newer, direction in ((old, new, False, "backward"), (new, old, True, "forward")):
        told = [each.severity for each in findings if each.direction == direction]
        try:
            adapter = Adapter.between(caller, own, newer=newer)
        except NotAdaptable:
            adapter = None
        event("an adapter" if adapter else "no adapter")
        if adapter is None:
            # Nobody is refused an adapter whom the check has told that nothing is wrong.
            assert {"error", "warning"} & set(told)
            continue
        for senders, receivers, way in (
            (caller.inputs, own.inputs, adapter.into),
            (own.outputs, caller.outputs, adapter.back),
        ):
            for _ in range(payloads):
                record = data.draw(good_rows(Contract("x", "1", senders, new.outputs)))
                if record is not None:
                    arrives(Records(senders).read([record, record]).accept(), senders, receivers, way)


def arrives(columns: Columns, senders: Fields, receivers: Fields, way) -> None:
    """Every value, as the receiver's own reader has it, with nulls where they were."""
    adapted = columns if way is None else way(columns)
    sent, got = columns.to_records(), adapted.to_records()

    assert tuple(adapted) == tuple(field.name for field in receivers)
    assert Records(receivers).read(got).accept().to_records() == got
    for sender, receiver in pairs(senders, receivers).matched:
        assert [row[sender.name] for row in sent] == [row[receiver.name] for row in got]
        assert adapted[receiver.name].dtype == np.dtype(receiver.numpy_dtype)
        assert np.array_equal(columns.nulls(sender.name), adapted.nulls(receiver.name))


@settings(SETTINGS, max_examples=60)
@given(evolving(), st.data())
def test_whatever_a_caller_may_send_arrives(pair, data) -> None:
    """Both ways, in both directions."""
    hold(*pair, data, payloads=2)


@settings(SETTINGS, max_examples=10)
@given(evolving(versions=4), st.data())
def test_across_versions_too(chain, data) -> None:
    """The last of four, for callers of each before it."""
    for old in chain[:-1]:
        hold(old, chain[-1], data, payloads=1)


@pytest.mark.full
@pytest.mark.rare
@pytest.mark.timeout(900)
@settings(SETTINGS, max_examples=1_000)
@given(evolving(), st.data())
def test_at_length(pair, data) -> None:
    """A thousand pairs, ten thousand payloads."""
    hold(*pair, data, payloads=3)


def test_a_sum_beyond_rounding_is_the_models_failure() -> None:
    """Chances that are no shares cannot be added up under one label."""
    old, new = (
        Contract.from_json(
            {
                "format": 1,
                "name": "m",
                "version": version,
                "inputs": [{"name": "x", "dtype": "float64"}],
                "outputs": [
                    {"name": "p", "dtype": "float32", "maximum": 1, "shape": [len(labels)], "labels": labels} | more
                ],
            }
        )
        for version, labels, more in (("1", ["a", "other"], {"unknown": "other"}), ("2", ["a", "b", "c"], {}))
    )
    back = Adapter.between(old, new).back
    assert back is not None
    with pytest.raises(ModelFailed, match="add up to more"):
        back(Columns(new.outputs, {"p": np.array([[0, 0.75, 0.5]], np.float32)}, 1))


@pytest.mark.parametrize(
    ("dtype", "more", "numbers"),
    [
        ("int8", {}, [0, 100, 100]),
        ("uint64", {}, [0, 2**64 - 1, 2]),
        ("float16", {}, [0, 60000, 60000]),
        ("float32", {"maximum": 1, "nullable": True}, [[0, 0.75, 0.5], [0, np.nan, 0.5]]),
    ],
)
def test_labels_that_the_dtype_cannot_hold_or_hide_behind_nan(dtype: str, more: dict[str, Any], numbers: Any) -> None:
    """A sum never wraps, is never infinite, and a NaN beside it hides nothing."""
    old, new = (
        Contract.from_json(
            {
                "format": 1,
                "name": "n",
                "version": version,
                "inputs": [{"name": "x", "dtype": "float64"}],
                "outputs": [{"name": "p", "dtype": dtype, "shape": [len(labels)], "labels": labels} | more | unknown],
            }
        )
        for version, labels, unknown in (("1", ["a", "other"], {"unknown": "other"}), ("2", ["a", "b", "c"], {}))
    )
    back = Adapter.between(old, new).back
    assert back is not None
    given = np.atleast_2d(np.array(numbers, dtype))
    with pytest.raises(ModelFailed, match="add up to more"):
        back(Columns(new.outputs, {"p": given}, len(given)))
