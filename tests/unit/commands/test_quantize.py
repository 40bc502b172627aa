from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.bundles import write_sum
from tests.support.nets import answers, some_rows, write_net, write_numbers

from fivefold.cli import main
from fivefold.core.bundle.bundle import Bundle


def test_a_net_is_quantised_or_refused_by_its_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = write_net(tmp_path / "net")
    rows = some_rows(400, seed=5)
    (label,) = answers(bundle.read("model.onnx"), rows, "label")
    lines = [{"in": {"x": row.tolist()}, "out": {"label": int(one)}} for row, one in zip(rows, label, strict=True)]
    (tmp_path / "labelled.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = ["quantize", "--model", str(tmp_path / "net"), "--output", str(tmp_path / "int8"), "--json"]

    status = main([*command, "--holdout", str(tmp_path / "labelled.jsonl")])

    # A net of random weights is close to its borders, and whether it passes is not what is tested here.
    told = json.loads(capsys.readouterr().out)
    assert status == (0 if told["accepted"] else 3)
    assert (tmp_path / "int8").exists() == told["accepted"]
    assert told["labelled"] == 400
    by_name = {each["what"]: each for each in told["findings"]}
    assert by_name["int8 alone and together"]["ok"]
    assert by_name["int8 native and exact"]["ok"]


def test_what_has_no_weights_is_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sum(tmp_path / "sum")

    assert main(["quantize", "--model", str(tmp_path / "sum"), "--output", str(tmp_path / "int8")]) == 0
    assert "nothing to quantise: the model is no matrix of weights" in capsys.readouterr().out
    assert not (tmp_path / "int8").exists()


def test_numbers_without_labels_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_numbers(tmp_path / "numbers")

    assert main(["quantize", "--model", str(tmp_path / "numbers"), "--output", str(tmp_path / "int8")]) == 3
    assert "--holdout FILE" in capsys.readouterr().err


def test_what_is_written_opens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_net(tmp_path / "net", scale=0.1)
    status = main(["quantize", "--model", str(tmp_path / "net"), "--output", str(tmp_path / "int8"), "--version", "9"])
    out = capsys.readouterr().out

    assert ("REFUSED" in out) == (status == 3)
    if status == 0:
        assert Bundle.open(tmp_path / "int8").version == "9"
