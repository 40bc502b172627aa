"""`fivefold bundle answer`, and the options by which `fivefold pack` says the same of a new bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.versioned_bundle import triage_bundle, triage_contract

from fivefold.cli import main
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.bundle.carried import CarriedVersion

SUM = """
class Sum:
    def predict(self, columns):
        return {"total": columns["a"] + columns["b"]}
"""


def sum_contract(version: str, *inputs: dict[str, Any]) -> str:
    """A contract.json of the sum."""
    outputs = [{"name": "total", "dtype": "float64"}]
    return json.dumps({"format": 1, "name": "sum", "version": version, "inputs": inputs, "outputs": outputs})


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The three contracts of a model as files, the model as bundles with one version and with all, and a class."""
    monkeypatch.chdir(tmp_path)
    for version in ("1.0.0", "2.0.0", "3.0.0"):
        Path(f"c{version[0]}.json").write_bytes(triage_contract(version).to_bytes())
    triage_bundle(tmp_path / "alone", carried=())
    triage_bundle(tmp_path / "all")
    a = {"name": "a", "dtype": "float64"}
    Path("adder_v.py").write_text(SUM)
    Path("old.json").write_text(sum_contract("1.0.0", a))
    Path("new.json").write_text(sum_contract("1.1.0", a, {"name": "b", "dtype": "float64", "default": 2}))
    Path("required.json").write_text(sum_contract("1.1.0", a, {"name": "b", "dtype": "float64"}))
    return tmp_path


def test_a_bundle_is_given_further_versions(capsys: pytest.CaptureFixture[str]) -> None:
    """The given one stays as it is; a line for each version says what its callers are to know."""
    before = Bundle.open("alone").digest
    words = ["--answers", "c1.json", "--answers-newer", "c3.json", "--deprecated", "1.0.0=2026-07-01"]

    assert main(["bundle", "answer", "alone", *words, "--sunset", "1.0.0=2027-01-31", "--output", "more"]) == 0

    bundle = Bundle.open("more")
    assert capsys.readouterr().out.splitlines() == [
        f"more: triage@1, sha256 {bundle.digest}",
        "answers   1.0.0  by an adapter, for callers that name none, deprecated since 2026-07-01, "
        "may be gone from 2027-01-31",
        "answers   2.0.0  the model's own",
        "answers   3.0.0  by an adapter, without note",
    ]
    assert Bundle.open("alone").digest == before != bundle.digest
    assert bundle.carried == Bundle.open("all").carried


def test_a_program_reads_the_same_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """With the digest that a deployment asks for."""
    line = ["bundle", "answer", "alone", "--answers", "c1.json", "--default-contract", "2.0.0", "--output", "more"]

    assert main([*line, "--json"]) == 0

    said = json.loads(capsys.readouterr().out)
    assert said["digest"] == Bundle.open("more").digest
    assert (said["contracts"], said["default_contract"]) == (["1.0.0", "2.0.0"], "2.0.0")
    assert said["signed"] is False


def test_a_bundle_shows_its_versions(capsys: pytest.CaptureFixture[str]) -> None:
    """One with its own alone has no line of it."""
    for place in ("all", "alone"):
        assert main(["bundle", "show", place]) == 0
    assert main(["bundle", "verify", "all"]) == 0
    lines = capsys.readouterr().out.splitlines()

    assert [line.split()[1] for line in lines if line.startswith("answers")] == ["1.0.0", "2.0.0", "3.0.0"]
    assert lines[-1].startswith("ok: triage@1")


def test_a_bundle_in_place_of_a_contract_gives_all_that_it_answers() -> None:
    """As a directory or a .tar: what its callers rely on goes on, with the dates that they were told."""
    Bundle.open("all").archive("all.tar")
    a = {"name": "weight", "dtype": "float64", "minimum": -1, "aliases": ["mass"]}
    newest = triage_contract("3.0.0").to_json() | {"version": "4.0.0"}
    newest["inputs"] = [a, *newest["inputs"][1:], {"name": "site", "dtype": "string", "default": "l"}]
    Path("c4.json").write_text(json.dumps(newest))
    Path("tri_v.py").write_bytes(Bundle.open("all").read("model/triage.py"))

    assert main(["pack", "tri_v:Triage", "--contract", "c4.json", "--answers", "all.tar", "--output", "next"]) == 0

    bundle = Bundle.open("next")
    assert list(bundle.views) == ["1.0.0", "2.0.0", "3.0.0", "4.0.0"]
    assert not any(each.newer for each in bundle.carried)
    assert bundle.carried[0] == Bundle.open("all").carried[0]
    assert bundle.default_contract == "1.0.0"


def test_a_bundle_that_is_taken_back_answers_what_came_after_it() -> None:
    """Also where that answers the version that is served again: what stands before it there is older, the rest newer.

    So who names none gets what they had before the release.
    """
    before = Bundle.open("all").carried[:1]
    own = CarriedVersion(triage_contract("2.0.0"))
    triage_bundle(Path("later"), contract=triage_contract("3.0.0"), carried=(*before, own))
    triage_bundle(Path("strange"), contract=triage_contract("3.0.0"), carried=())

    for place, versions in (("later", ["1.0.0", "2.0.0", "3.0.0"]), ("strange", ["2.0.0", "3.0.0"])):
        assert main(["bundle", "answer", "alone", "--answers-newer", place, "--output", f"from-{place}"]) == 0
        bundle = Bundle.open(f"from-{place}")
        assert list(bundle.views) == versions
        assert [each.newer for each in bundle.carried] == [
            version > "2.0.0" for version in versions if version != "2.0.0"
        ]
        assert bundle.default_contract == versions[0]
        assert bundle.views["3.0.0"].ignored == ("note",)


def test_a_new_bundle_answers_what_it_is_packed_with(capsys: pytest.CaptureFixture[str]) -> None:
    """Each option of `bundle answer` is one of `pack`."""
    line = ["pack", "adder_v:Sum", "--contract", "new.json", "--answers", "old.json", "--output", "b", "--json"]
    dates = ["--deprecated", "1.0.0=2026-07-01", "--sunset", "1.0.0=2027-01-31"]

    assert main([*line, *dates, "--default-contract", "1.1.0"]) == 0

    bundle = Bundle.open("b")
    assert json.loads(capsys.readouterr().out)["digest"] == bundle.digest
    assert list(bundle.views) == ["1.0.0", "1.1.0"]
    assert bundle.default_contract == "1.1.0"
    assert [str(bundle.views["1.0.0"].deprecated), str(bundle.views["1.0.0"].sunset)] == ["2026-07-01", "2027-01-31"]


@pytest.mark.parametrize(
    ("line", "status", "error", "help"),
    [
        ("bundle answer alone", 2, "required: --output", "fivefold bundle answer --help"),
        ("bundle answer nowhere --output o", 3, "there is no bundle at nowhere", ""),
        ("bundle answer alone --answers nowhere.json --output o", 3, "cannot read nowhere.json", ""),
        ("bundle answer alone --answers adder_v.py --output o", 3, "not JSON", ""),
        ("bundle answer alone --answers c2.json --output o", 3, "contracts[0].version: '2.0.0' twice", ""),
        ("bundle answer alone --answers old.json --output o", 3, "contracts[0].name: expected 'triage'", ""),
        (
            "bundle answer alone --answers c1.json --default-contract 3.0.0 --output o",
            3,
            "expected one of 2.0.0, 1.0.0, got '3.0.0'",
            "",
        ),
        (
            "bundle answer alone --answers c1.json --sunset 3.0.0=2027-01-31 --output o",
            3,
            "--sunset 3.0.0: the bundle is not to answer that version",
            "versions: 1.0.0",
        ),
        (
            "bundle answer alone --deprecated 2.0.0=2027-01-31 --output o",
            3,
            "--deprecated 2.0.0: the bundle is not to answer that version",
            "none beside its own",
        ),
        ("bundle answer alone --sunset 1.0.0 --output o", 2, "expected VERSION=YYYY-MM-DD, got '1.0.0'", "--help"),
        ("bundle answer alone --sunset 1.0.0=2027-02-30 --output o", 2, "expected VERSION=YYYY-MM-DD", "--help"),
        (
            "bundle answer alone --answers c1.json --deprecated 1.0.0=2027-02-01 --sunset 1.0.0=2027-01-31 --output o",
            3,
            "contracts[0].sunset: before the deprecation",
            "",
        ),
        (
            "pack adder_v:Sum --quiet --contract required.json --answers old.json --output o",
            3,
            "inputs.b: required, and callers of 1.0.0 do not send it",
            "fivefold check shows why",
        ),
        ("pack adder_v:Sum --quiet --contract new.json --answers nowhere --output o", 3, "cannot read nowhere", ""),
        (
            "pack adder_v:Sum --quiet --contract new.json --default-contract 7 --output o",
            3,
            "expected one of 1.1.0",
            "",
        ),
    ],
)
def test_errors_are_two_lines_and_an_exit_code(
    line: str, status: int, error: str, help: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And nothing is written."""
    try:
        got = main(line.split())
    except SystemExit as ended:
        got = int(ended.code or 0)
    captured = capsys.readouterr()

    assert got == status, captured
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert error in captured.err
    assert help in captured.err
    assert "Traceback" not in captured.err
    assert not Path("o").exists()


def test_two_contracts_of_one_version_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Whichever comes first; the same one twice is one."""
    Path("other.json").write_text(Path("c1.json").read_text().replace('"low"', '"lower"'))

    assert main(["bundle", "answer", "alone", "--answers", "c1.json", "--answers", "other.json", "--output", "o"]) == 3
    assert "other.json: another contract has the version '1.0.0'" in capsys.readouterr().err
    assert main(["bundle", "answer", "alone", "--answers", "c1.json", "--answers", "c1.json", "--output", "o"]) == 0
