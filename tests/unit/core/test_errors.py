"""The error tree: codes are total and errors survive travel between processes."""

import pickle

import pytest

from fivefold.core import errors


def test_every_code_belongs_to_one_family():
    """No code is drawn twice."""
    assert len(set(errors.CODES)) == len(errors.CODES)


@pytest.mark.parametrize("family", errors.FAMILIES)
def test_errors_survive_pickling(family):
    """An error raised in another process arrives whole."""
    invalid = family in (errors.ContractInvalid, errors.BundleInvalid)
    rest = {} if invalid else {"details": (errors.Violation("out_of_range", "inputs.x[0]", "m"),), "retry_after": 1.5}
    made = family(*([] if invalid else [family.codes[0]]), "sentence", path="inputs.x", help="do this", **rest)

    copy = pickle.loads(pickle.dumps(made))

    assert type(copy) is family
    assert copy.to_json("r1") == made.to_json("r1")
    assert copy.retry_after == made.retry_after


def test_a_family_refuses_foreign_codes():
    """A code outside the family is a defect, found at once."""
    with pytest.raises(ValueError, match="has no code"):
        errors.NotFound("internal", "x")


def test_details_are_capped():
    """At most sixteen violations travel."""
    many = [errors.Violation("out_of_range", f"inputs.x[{i}]", "m") for i in range(40)]

    assert len(errors.ContractError.of(many).details) == 16
