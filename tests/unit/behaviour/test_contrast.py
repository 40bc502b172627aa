"""Two bundles on the same rows: every row is accounted for, every difference is the one that was made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from tests.support.bundles import contract, field
from tests.support.judging_bundles import judge_bundle, judge_contract
from tests.support.versioned_bundle import triage_bundle, triage_contract

from fivefold.behaviour.contrast import BehaviourDifference, OutputDifference, contrast
from fivefold.behaviour.measures import Change, Disagreement
from fivefold.behaviour.output_pairs import output_pairs
from fivefold.behaviour.picture import draw
from fivefold.behaviour.thresholds import BehaviourBounds
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import NotFound, ProtocolError, RunFailed


def recorded(path: Path, *lines: Any) -> Path:
    """A file of JSON lines; text stands as it is."""
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return path


def row(size: Any, colour: str = "red", contract: str = "judge@1.0.0") -> dict[str, Any]:
    return {"contract": contract, "inputs": {"size": size, "colour": colour}}


def output(found: BehaviourDifference, name: str) -> OutputDifference:
    return next(each for each in found.outputs if each.name == name)


def slices(found: OutputDifference, slicing: str) -> dict[str, tuple[int, int]]:
    """Rows and differing ones of each slice."""
    return {
        each.slice: (
            each.measure.rows,
            each.measure.differ if isinstance(each.measure, Disagreement) else each.measure.changed,
        )
        for each in found.slices
        if each.slicing == slicing
    }


def test_a_model_agrees_with_itself(tmp_path: Path) -> None:
    """Golden rows that both have count once."""
    one = judge_bundle(tmp_path / "one")
    found = contrast(one, one)

    assert [(each.name, each.read, each.compared) for each in found.sources] == [("golden rows, both", 2, 2)]
    assert [each.whole.to_json()["rows"] for each in found.outputs] == [2, 2]
    assert output(found, "verdict").whole == Disagreement(2, 0, pytest.approx((0, 1 - 0.025**0.5)))
    assert BehaviourBounds(0, 0).broken(found) == []


def test_every_row_is_found_where_it_differs(tmp_path: Path) -> None:
    """As a whole, by the old answer's class, by a category, by quarters and by source."""
    old = judge_bundle(tmp_path / "old", edge=50)
    new = judge_bundle(tmp_path / "new", edge=40, factor=2, sizes=(20,))
    rows = recorded(
        tmp_path / "rows.jsonl",
        *(row(size, colour) for size in range(0, 100, 2) for colour in ("red", "green")),
    )
    found = contrast(old, new, [rows], ["colour", "size"])
    verdict, score = output(found, "verdict"), output(found, "score")

    assert [(each.name, each.compared) for each in found.sources] == [
        ("golden rows, old", 2),
        ("golden rows, new", 1),
        ("rows.jsonl", 100),
    ]
    assert (verdict.whole.rows, verdict.whole.to_json()["differ"]) == (103, 10)
    assert slices(verdict, "class of verdict") == {"small": (52, 10), "large": (51, 0)}
    assert slices(verdict, "colour") == {"red": (52, 5), "green": (51, 5)}
    assert slices(verdict, "rows") == {"golden rows, old": (2, 0), "golden rows, new": (1, 0), "rows.jsonl": (100, 10)}
    assert sum(rows for rows, _ in slices(verdict, "size").values()) == 103
    assert len(slices(verdict, "size")) == 4
    assert [(each.source, each.number, each.old, each.new) for each in verdict.examples][:2] == [
        ("rows.jsonl", 41, "small", "large"),
        ("rows.jsonl", 42, "small", "large"),
    ]
    assert isinstance(score.whole, Change)
    assert (score.whole.largest, score.whole.changed) == (98.0, 101)
    assert score.whole.mean == pytest.approx((2 * sum(range(0, 100, 2)) + 10 + 90 + 20) / 103)
    assert slices(score, "class of verdict") == {"small": (52, 50), "large": (51, 51)}
    assert score.examples[0].number in (99, 100)
    broken = BehaviourBounds(0.05, 90).broken(found)
    assert "verdict differs in 10 of 103 rows (9.71 %), more than 5 %; worst where size is above" in broken[0]
    assert "score changes by up to 98, more than 90; worst where" in broken[1]


def test_what_one_side_refuses_is_counted_by_code_and_path(tmp_path: Path) -> None:
    """And by whoever is alone with it; a broken line, and rows of other contracts, too."""
    old = judge_bundle(tmp_path / "old")
    new = judge_bundle(tmp_path / "new", contract=judge_contract(minimum=5), sizes=(13.5, 90))
    rows = recorded(
        tmp_path / "rows.jsonl",
        row(1),
        row(4, "blue"),
        row(50),
        row(13),
        row(101),
        row(7, "pink"),
        "{",
        "",
        row(7, contract="judge@9.9"),
        row(7, contract="other@1.0.0"),
        {"contract": 7, "inputs": {}},
        {"size": 60, "colour": "red"},
    )
    found = contrast(old, new, [rows])

    assert [(each.side, each.code, each.path, each.rows) for each in found.refused] == [
        ("file", "malformed", "", 1),
        ("file", "malformed", "contract", 1),
        ("old", "contract_unsupported", "", 1),
        ("old", "model_failed", "", 1),
        ("old", "not_in_enum", "inputs.colour", 1),
        ("old", "out_of_range", "inputs.size", 1),
        ("new", "out_of_range", "inputs.size", 3),
        ("new", "contract_unsupported", "", 1),
        ("new", "model_failed", "", 1),
        ("new", "not_in_enum", "inputs.colour", 1),
    ]
    assert found.sources[-1].foreign == {"other@1.0.0": 1}
    assert (found.sources[-1].read, found.sources[-1].compared) == (11, 2)
    assert (found.lost, found.gained) == (2, 0)
    assert "the new model refuses 2 of 7 rows that the old one answers" in BehaviourBounds(0.1).broken(found)[0]
    assert "most often out_of_range at inputs.size" in BehaviourBounds(0.1).broken(found)[0]


def test_nothing_is_said_where_nothing_could_be_compared(tmp_path: Path) -> None:
    """Not that all is well."""
    old = triage_bundle(tmp_path / "old")
    new = judge_bundle(tmp_path / "new")

    with pytest.raises(RunFailed, match="no row could be compared; 2 refused by the old model: contract_unsupported"):
        contrast(old, new)


def test_rows_and_fields_that_are_not_there(tmp_path: Path) -> None:
    """A slip is an error."""
    one = judge_bundle(tmp_path / "one")
    with pytest.raises(NotFound, match="there is no file"):
        contrast(one, one, [tmp_path / "none.jsonl"])
    with pytest.raises(ProtocolError, match="no such input") as refused:
        contrast(one, one, by=["color"])
    assert refused.value.help == "did you mean 'colour'?"


def test_each_row_speaks_its_own_version(tmp_path: Path) -> None:
    """Answers are compared under the old bundle's contract, whichever version a row was recorded under."""
    old = Bundle.write(
        tmp_path / "old",
        contract=triage_contract("1.0.0"),
        model={
            "model/first.py": b"import numpy as np\n\n\nclass First:\n    def predict(self, columns):\n"
            b"        return {'level': np.where(columns['mass'] < 3, 'low', 'high').astype(object)}\n"
        },
        runtime="python",
        entry="first:First",
        golden=([{"mass": 0}], [{"level": "low"}]),
        tolerance=0.0,
    )
    new = triage_bundle(tmp_path / "new")
    rows = recorded(
        tmp_path / "rows.jsonl",
        {"contract": "triage@1.0.0", "inputs": {"mass": 1}},
        {"contract": "2.0.0", "inputs": {"weight": 50, "dose": 1}},
        {"mass": 2.5},
    )
    found = contrast(old, new, [rows])

    assert found.contract == "triage@1.0.0"
    assert [each.name for each in found.outputs] == ["level"]
    # 1.0.0 is carried: extreme is its callers' high. Rows of 2.0.0 need an adapter that the old bundle cannot have.
    assert [(each.source, each.number, each.old, each.new) for each in found.outputs[0].examples] == [
        ("golden rows, old", 0, "low", "high"),
        ("rows.jsonl", 1, "low", "high"),
        ("rows.jsonl", 3, "low", "high"),
    ]
    assert found.notes == (
        "old: rows of triage@2.0.0 cannot be asked of triage@1.0.0: inputs.weight: dtype float64 comes, float32 is "
        "taken; inputs.weight: minimum -1 comes, 0 is taken",
    )
    assert found.rows == 3
    assert [(each.side, each.code, each.rows) for each in found.refused] == [("old", "contract_unsupported", 4)]


def test_a_version_that_is_not_carried_is_adapted_and_noted(tmp_path: Path) -> None:
    """A new bundle without the old version is compared as if it had it."""
    old = judge_bundle(tmp_path / "old")
    wider = judge_contract("2.0.0", maximum=200)
    new = judge_bundle(tmp_path / "new", contract=wider, edge=40, sizes=(150, 45))
    found = contrast(old, new)

    assert found.rows == 2
    assert [(each.side, each.code, each.rows) for each in found.refused] == [("old", "contract_unsupported", 2)]
    assert found.notes[-2:] == (
        "new: does not carry judge@1.0.0, its answers are adapted as if it did",
        "new: does not carry judge@1.0.0, whose rows are adapted as if it did",
    )


def fields(*outputs: dict[str, Any]) -> Any:
    return contract([field("x")], list(outputs)).outputs


def test_labels_are_compared_by_name_and_never_by_place() -> None:
    """The same numbers in another order are the same answer."""
    old = fields(field("p", shape=[2], labels=["a", "b"]))
    new = fields(field("p", shape=[3], labels=["b", "c", "a"]))
    pairs, left_out = output_pairs(old, new)

    assert [(each.name, each.kind, each.shared) for each in pairs] == [
        ("p, largest label", "category", ()),
        ("p", "number", ("a", "b")),
    ]
    assert left_out == ["p, c: only one of the two has it"]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (field("y"), field("y", "string"), "y: number in the old model, string in the new one"),
        (field("y", unit="m"), field("y", unit="ft"), "y: m in the old model, ft in the new one"),
        (field("y", shape=[2]), field("y", shape=[3]), "y: shape [2] in the old model, [3] in the new one"),
        (field("y", shape=[2]), field("y", shape=[2], labels=["a", "b"]), "y: only one of the two has labels"),
    ],
)
def test_what_cannot_be_compared_is_left_out_by_name(old: dict[str, Any], new: dict[str, Any], reason: str) -> None:
    """With its reason, never as if it agreed."""
    pairs, left_out = output_pairs(fields(old, field("z")), fields(new, field("w")))

    assert pairs == []
    assert left_out == [reason, "z: the new model does not give it", "w: only the new model gives it"]


def test_the_picture_is_a_document_with_readable_text(tmp_path: Path) -> None:
    """Well-formed whatever the names are, without a script, with colours for dark readers."""
    old, new = judge_bundle(tmp_path / "old"), judge_bundle(tmp_path / "new", edge=5, factor=3)
    svg = draw(contrast(old, new, by=["colour"]))
    texts = [each.text for each in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]

    assert "colour: red" in texts
    assert "verdict: rows that differ" in texts
    assert "prefers-color-scheme:dark" in svg
    assert "<script" not in svg
