from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.bundles import SUM_CONTRACT, contract, field, write_sum

from fivefold.core.bundle.carried import CarriedVersion
from fivefold.core.contract.contract import Contract
from fivefold.core.view import Views
from fivefold.evolution.succession import first_break


def views(path: Path, **changes: Any) -> Views:
    return write_sum(path, **changes).views


def other(version: str, minimum: float = -100) -> Contract:
    inputs = [field("a", minimum=minimum, maximum=100), field("b", minimum=-100, maximum=100)]
    raw = contract(inputs, [field("total"), field("label", "int64", minimum=0, maximum=1)])
    return Contract.from_json(raw.to_bytes().replace(b'"1.0"', f'"{version}"'.encode()))


def test_the_same_contract_breaks_nobody(tmp_path: Path) -> None:
    assert first_break(views(tmp_path / "1"), views(tmp_path / "2", version="2")) is None


def test_a_version_that_goes_is_missed_by_who_names_it(tmp_path: Path) -> None:
    broken = first_break(views(tmp_path / "1"), views(tmp_path / "2", contract=other("2.0")))

    assert broken == "version 1.0 is answered now, the new bundle answers 2.0"


def test_a_version_that_is_carried_on_is_not(tmp_path: Path) -> None:
    new = views(tmp_path / "2", contract=other("2.0"), carried=[CarriedVersion(SUM_CONTRACT)])

    assert first_break(views(tmp_path / "1"), new) is None


def test_callers_that_name_no_version_keep_what_they_may_send(tmp_path: Path) -> None:
    broken = first_break(views(tmp_path / "1"), views(tmp_path / "2", contract=other("1.0", minimum=-5)))

    assert broken is not None
    assert broken.startswith("callers that name no version break: ")
