"""`fivefold export --to mobile`: the bundle as it is, what a reduced build needs, and the same answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnxruntime.tools.reduced_build_config_parser import parse_config
from tests.conformance import models
from tests.support.bundles import SUM_GOLDEN, write_python, write_sum

from fivefold.cli import main
from fivefold.core.bundle.bundle import Bundle
from fivefold.edge.export.mobile import OPERATORS, ORT_MODEL, README, write

GIVEN, ANSWERS = SUM_GOLDEN


def answers(model: Path) -> list[tuple[float, int]]:
    """What ONNX Runtime itself says of the golden rows."""
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    rows = np.array([[row["a"], row["b"]] for row in GIVEN], np.float32)
    total, label = session.run(["total", "label"], {"X": rows})
    return [(float(left), int(right)) for left, right in zip(total[:, 0], label[:, 0], strict=True)]


def test_the_bundle_is_there_byte_for_byte(tmp_path: Path) -> None:
    """And the model answers its golden rows."""
    bundle = write_sum(tmp_path / "sum")
    write(bundle, tmp_path / "out")

    for name in bundle.names():
        assert (tmp_path / "out" / name).read_bytes() == bundle.read(name)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*bundle.names(), OPERATORS, README}
    assert answers(tmp_path / "out" / "model.onnx") == [(each["total"], each["label"]) for each in ANSWERS]


def test_the_operators_are_what_the_build_reads(tmp_path: Path) -> None:
    """By ONNX Runtime's own parser of such files."""
    write(write_sum(tmp_path / "sum"), tmp_path / "out")
    required, _ = parse_config(str(tmp_path / "out" / OPERATORS))

    assert required == {"ai.onnx": {17: {"ReduceSum", "Greater", "Cast"}}}


@pytest.mark.full
def test_the_ort_form_answers_alike(tmp_path: Path) -> None:
    """It is another file of another format, with a list of its own and no trace of where it was made."""
    said = write(write_sum(tmp_path / "sum"), tmp_path / "out", ort=True)
    out = tmp_path / "out"

    assert (out / ORT_MODEL).read_bytes()[4:8] == b"ORTM"
    assert answers(out / ORT_MODEL) == answers(out / "model.onnx")
    required, _ = parse_config(str(out / OPERATORS), True)
    assert set(required["ai.onnx"]) >= {13}
    assert "/tmp" not in (out / OPERATORS).read_text()
    assert said[1].startswith(f"{ORT_MODEL}: ")


def test_the_readme_names_the_tensors(tmp_path: Path) -> None:
    """And the digest."""
    bundle = write_sum(tmp_path / "sum")
    write(bundle, tmp_path / "out")
    text = (tmp_path / "out" / README).read_text()

    assert "| `X` | float32 | `a`, `b` | [rows, 2], fields in this order |" in text
    assert "| `total` | `total` |" in text
    assert bundle.digest in text


def test_what_android_needs_is_said(tmp_path: Path) -> None:
    """Or what keeps the model from it."""
    bundle = write_sum(tmp_path / "sum")
    said = write(bundle, tmp_path / "out")
    text = (tmp_path / "out" / README).read_text()

    assert said[-1].startswith("an app on Android needs fivefold.jar (services/jvm) and onnxruntime-android")
    assert f'`DIGEST` is `"{bundle.digest}"`' in text
    assert 'scorer.predict("{\\"instances\\": [" + record + "]}")' in text
    unsigned = models.bundle("integers", tmp_path)
    assert write(unsigned, tmp_path / "unsigned")[-1].startswith("not on Android: ONNX Runtime for Java has no values")


def test_what_phones_cannot_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A Python model, several models, a directory that holds something; nothing is written."""
    write_python(tmp_path / "python")
    write_sum(tmp_path / "sum")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("keep")
    python, one = str(tmp_path / "python"), str(tmp_path / "sum")
    new, full = str(tmp_path / "new"), str(tmp_path / "full")

    assert main(["export", "--to", "mobile", "--model", python, new]) == 3
    assert main(["export", "--to", "mobile", "--model", one, "--model", one, new]) == 2
    assert main(["export", "--to", "gateway", "--ort", "--model", one, new]) == 2
    assert main(["export", "--to", "mobile", "--model", one, full]) == 1
    assert not Path(new).exists()
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine"]
    assert "is a python model" in capsys.readouterr().err


def test_a_tar_is_a_bundle_too(tmp_path: Path) -> None:
    """With the same files in the end."""
    tar = write_sum(tmp_path / "sum").archive(tmp_path / "sum.tar")
    assert main(["export", "--to", "mobile", "--model", str(tar), str(tmp_path / "out")]) == 0

    assert Bundle.open(tar).digest in (tmp_path / "out" / README).read_text()
