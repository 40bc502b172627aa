"""The table of pipelines on WebAssembly: what it counts, and that a pipeline which does not agree is seen."""

from __future__ import annotations

from loadtest.wasm_matrix.__main__ import HEADS, Agreement, table

from fivefold.parity.row_agreement import RuntimeAgreement


def found(name: str, limit: float, **members: object) -> Agreement:
    """A pipeline as it was measured."""
    told = {"asked": 100, "refused": 10, "same_refusal": 10, **members}
    return Agreement(name, limit, RuntimeAgreement("wasm-node", **told))  # type: ignore[arg-type]


def test_every_pipeline_has_a_line_and_all_of_them_a_sentence() -> None:
    """Large answers are far apart and close for their size; what is allowed nothing is counted apart."""
    tree = found("tree", 0.0, classed=90, same_class=90)
    linear = found("linear", 1e-5, largest=0.25, largest_scaled=2.5e-7)
    wrong = found(
        "wrong", 1e-5, largest=0.5, largest_scaled=0.5, classed=90, same_class=89, status="differs", differing=3
    )

    *lines, _, sentence = table([tree, linear, wrong]).splitlines()

    assert lines[0] == f"| {' | '.join(HEADS)} |"
    assert lines[2] == "| tree | 100 | 0 | 0 | none | 90 of 90 | 10 of 10 |"
    assert lines[3] == "| linear | 100 | 0.25 | 2.5e-07 | 1e-05 | - | 10 of 10 |"
    assert lines[4].endswith("| 89 of 90 | 10 of 10; DIFFERS in 3 rows |")
    assert sentence == (
        "2 of 3 pipelines agree, 300 rows asked: 1 are held to the bit, the largest difference of the other 2 is 0.5, "
        "relative above 1; the class is the same in 179 of 180 rows."
    )


def test_one_that_could_not_be_asked_is_no_agreement() -> None:
    """Its reason stands in the table."""
    absent = found("tree", 0.0, status="absent", reason="there is no node on this machine")

    assert not absent.agrees
    assert "not here: there is no node" in table([absent])
