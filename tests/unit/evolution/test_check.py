"""The command and its parts, on two contracts that differ in everything a review would look at."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from tests.support.bundles import SUM_CONTRACT, write_sum
from tests.support.live_servers import serving
from tests.support.versioned_bundle import triage_bundle

from fivefold.cli import main
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import ContractInvalid
from fivefold.evolution import allowances
from fivefold.evolution.contract_places import contract_at, contracts_in
from fivefold.evolution.presentation import FORMATS, line_of, present
from fivefold.evolution.rule_examples import RULE_EXAMPLES
from fivefold.evolution.rules import RULES
from fivefold.evolution.rules_page import page
from fivefold.evolution.traffic import replay
from fivefold.evolution.transitive import against_all
from fivefold.evolution.verdict import Judgement, judge

ROOT = Path(__file__).parents[3]
AGE = {"name": "age", "dtype": "int32", "minimum": 0, "maximum": 120}
SITE = {"name": "site", "dtype": "string", "enum": ["left", "right"], "default": "left"}
LABEL = {"name": "label", "dtype": "string", "enum": ["a", "b"]}


def contract(version: str, inputs: list[Any], outputs: list[Any] | None = None) -> Contract:
    return Contract.from_json(
        {"format": 1, "name": "demo", "version": version, "inputs": inputs, "outputs": outputs or [LABEL]}
    )


OLD = contract("1.0.0", [AGE, SITE])
NARROW = contract("1.1.0", [{**AGE, "maximum": 110}, SITE])
WIDE = contract("1.1.0", [{**AGE, "maximum": 130}, SITE])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, one in (("old", OLD), ("narrow", NARROW), ("wide", WIDE)):
        (tmp_path / f"{name}.json").write_bytes(one.to_bytes())
    return tmp_path


def rules(judgement: Judgement, direction: str = "backward") -> list[tuple[str, str]]:
    return [(one.severity, one.rule.id) for one in judgement.findings if one.direction == direction]


def test_a_break_ends_with_status_3_and_says_who_breaks(folder, capsys) -> None:
    """And how: with a record that the old reader accepts and the new one refuses."""
    assert main(["check", "old.json", "narrow.json"]) == 3
    said = capsys.readouterr()

    assert "error     backward  input-range-narrowed" in said.out
    assert '{"age": 111, "site": "left"} is refused' in said.out
    assert "stored events" in said.out
    assert "error: demo@1.1.0 against demo@1.0.0: FORWARD" in said.err


def test_what_only_new_callers_miss_is_asked_for(folder, capsys) -> None:
    """Backward is what a release needs; forward is for one that may be rolled back."""
    assert main(["check", "old.json", "wide.json"]) == 0
    assert main(["check", "old.json", "wide.json", "--mode", "forward"]) == 3
    assert main(["check", "old.json", "wide.json", "--mode", "full"]) == 3
    assert main(["check", "old.json", "wide.json", "--mode", "full", "--fail-on", "never"]) == 0
    assert "BACKWARD, callers of the old version survive" in capsys.readouterr().out


def test_equal_contracts_are_full(folder, capsys) -> None:
    """Nothing to say is said in two lines."""
    assert main(["check", "old.json", "old.json", "--mode", "full", "--fail-on", "warning"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "demo@1.0.0 to demo@1.0.0: FULL, nobody breaks; no new version",
        "0 error, 0 warning, 0 findings in all",
    ]


@pytest.mark.parametrize(
    ("old", "new", "compatibility", "bump"),
    [
        (OLD, NARROW, "FORWARD", "major"),
        (OLD, WIDE, "BACKWARD", "minor"),
        (OLD, contract("1.0.1", [{**AGE, "description": "years"}, SITE]), "FULL", "patch"),
        (OLD, contract("2", [{**AGE, "unit": "years"}, SITE]), "FULL", "minor"),
        (OLD, contract("2", [{**AGE, "dtype": "string"}, SITE][1:]), "BACKWARD", "minor"),
        (OLD, contract("2", [SITE, AGE]), "NONE", "major"),
        (OLD, OLD, "FULL", "none"),
    ],
)
def test_the_verdict_and_the_version(old, new, compatibility, bump) -> None:
    """In the words of schema registries, and of semantic versions."""
    judgement = judge(old, new)

    assert (judgement.compatibility, judgement.bump) == (compatibility, bump)


def test_the_formats(folder, capsys) -> None:
    """Each says the same of the same findings."""
    judgement = judge(OLD, NARROW)
    file = Path("narrow.json")

    assert json.loads(present(judgement, "json"))["findings"][0]["rule"] == "input-range-narrowed"
    assert "| error | backward |" in present(judgement, "markdown")
    first = present(judgement, "github", "backward", file).splitlines()[0]
    line = line_of(file, "inputs.age")
    assert first.startswith(f"::error file=narrow.json,line={line},title=input-range-narrowed::")
    assert '"age"' in file.read_text().splitlines()[line - 1]
    assert "\n" not in first
    assert set(FORMATS) == {"text", "json", "markdown", "github", "sarif"}
    for style in FORMATS:
        assert main(["check", "old.json", "narrow.json", "--format", style]) == 3
        assert "input-range-narrowed" in capsys.readouterr().out


def test_sarif_names_rules_places_and_what_is_accepted(folder) -> None:
    """As SARIF 2.1.0 has it: indices into the rules, lines from 1, suppressions."""
    exemption = allowances.Exemption("input-range-narrowed", "inputs.age", "nobody is older", date(2030, 1, 1))
    judgement = judge(OLD, NARROW)
    judgement = judgement.replaced(allowances.apply(judgement.findings, [exemption], date(2029, 1, 1)))
    log = json.loads(present(judgement, "sarif", "full", Path("narrow.json")))
    run = log["runs"][0]

    assert log["version"] == "2.1.0"
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["locations"][0]["physicalLocation"]["region"]["startLine"] >= 1
    assert run["results"][0]["suppressions"] == [{"kind": "external", "justification": "nobody is older"}]


def test_what_is_accepted_is_so_until_a_day(folder, capsys) -> None:
    """Afterwards the entry is itself an error, and one that meets nothing is said."""
    entry = {"rule": "input-range-narrowed", "path": "inputs.age", "reason": "nobody is older"}
    (folder / "allow.json").write_text(json.dumps({"allow": [{**entry, "expires": "2999-01-01"}]}))
    (folder / "over.toml").write_text(
        '[[allow]]\nrule = "input-range-narrowed"\npath = "*"\nreason = "then"\nexpires = 2020-01-01\n'
    )

    assert main(["check", "old.json", "narrow.json", "--allow", "allow.json"]) == 0
    assert "accepted: nobody is older" in capsys.readouterr().out
    assert main(["check", "old.json", "narrow.json", "--allow", "over.toml"]) == 3
    said = capsys.readouterr().out
    assert "allowance-expired" in said
    assert "error     backward  input-range-narrowed" in said
    assert main(["check", "old.json", "wide.json", "--allow", "allow.json"]) == 0
    assert "allowance-unused" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[1]", "expected an object"),
        (
            '{"allow": [{"rule": "input-range-narowed", "path": "*", "reason": "x", "expires": "2030-01-01"}]}',
            "no such",
        ),
        ('[{"rule": "inputs-reordered", "path": "*", "reason": " ", "expires": "2030-01-01"}]', "not empty"),
        ('[{"rule": "inputs-reordered", "path": "*", "reason": "x", "expires": "soon"}]', "a day such as"),
        ('[{"rule": "inputs-reordered", "path": "*", "reason": "x", "until": 1}]', "unknown member 'until'"),
    ],
)
def test_a_wrong_file_of_allowances_is_refused(folder, text, message) -> None:
    """A misspelt rule would accept nothing, quietly."""
    (folder / "allow.json").write_text(text)

    with pytest.raises(ContractInvalid, match=message):
        allowances.load(folder / "allow.json")


def test_recorded_requests_are_replayed(folder, capsys) -> None:
    """Those that were none of the old contract are counted apart."""
    lines = [
        {"age": 115},
        {"inputs": {"age": 111, "site": "right"}, "contract": "1.0.0"},
        {"inputs": {"age": 20}, "contract": "demo@1.0.0"},
        {"age": 999},
        {"inputs": {"age": 1}, "contract": "0.9.0"},
        # Another model's, whose contract has the same number.
        {"inputs": {"age": 111}, "contract": "other@1.0.0"},
    ]
    (folder / "requests.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    judged = replay(judge(OLD, NARROW), OLD, NARROW, folder / "requests.jsonl")

    assert judged.replayed is not None
    assert (judged.replayed.read, judged.replayed.hit, judged.replayed.foreign) == (3, 2, 3)
    assert judged.findings[0].traffic == 2
    assert main(["check", "old.json", "narrow.json", "--traffic", "requests.jsonl"]) == 3
    assert "2 of 3 recorded requests are refused or changed" in capsys.readouterr().out


def test_a_request_without_a_version_meets_the_new_contract_as_it_is(folder) -> None:
    """It has no adapter: a changed default changes it, a lost alias refuses it."""
    new = contract("2.0.0", [{**AGE, "aliases": []}, {**SITE, "default": "right"}])
    old = contract("1.0.0", [{**AGE, "aliases": ["years"]}, SITE])
    (folder / "r.jsonl").write_text(
        '{"years": 3, "site": "left"}\n{"age": 3}\n{"inputs": {"age": 3}, "contract": "1.0.0"}\n'
    )
    judged = replay(judge(old, new), old, new, folder / "r.jsonl")

    assert judged.replayed is not None
    assert judged.replayed.by_place == (
        ("input-alias-removed", "inputs.age", 1),
        ("input-default-changed", "inputs.site", 1),
    )


def test_a_warning_that_requests_run_into_is_an_error(folder) -> None:
    """What nobody could decide has been decided by what came."""
    old = contract("1", [{"name": "code", "dtype": "string", "pattern": "a[ab]{60}c[ab]{60}d|x"}])
    new = contract("2", [{"name": "code", "dtype": "string", "pattern": "a[ab]{60}c[ab]{60}d|y[ab]{50}"}])
    (folder / "r.jsonl").write_text('{"code": "x"}\n')
    judged = judge(old, new)
    replayed = replay(judged, old, new, folder / "r.jsonl")

    assert [rule for severity, rule in rules(replayed) if severity == "error"] == ["input-pattern-narrowed"]


def test_a_line_that_is_not_json_is_named(folder) -> None:
    """By its number."""
    (folder / "r.jsonl").write_text('{"age": 1}\n{\n')

    with pytest.raises(ContractInvalid, match="line 2"):
        replay(judge(OLD, NARROW), OLD, NARROW, folder / "r.jsonl")


def test_a_contract_is_held_against_all_that_are_still_served(folder, capsys) -> None:
    """Two steps, each of which is safe, can be one that is not."""
    first = contract("1.0.0", [AGE])
    second = contract("1.1.0", [AGE, SITE])
    third = contract("1.2.0", [AGE, {**SITE, "default": "right"}])
    for one in (first, second):
        (folder / f"{one.version}.json").write_bytes(one.to_bytes())
    for name in ("old", "narrow", "wide"):
        (folder / f"{name}.json").unlink()
    judged = against_all(judge(first, third), first, third, contracts_in(str(folder)))

    assert judge(first, third).compatibility == "FULL"
    assert ("error", "input-default-changed") in rules(judged)
    assert {one.against for one in judged.findings if one.severity == "error" and one.direction == "backward"} == {
        "demo@1.1.0"
    }
    (folder / "third.json").write_bytes(third.to_bytes())
    assert main(["check", "1.0.0.json", "third.json", "--transitive", "."]) == 3
    assert "against demo@1.1.0" in capsys.readouterr().out


def test_a_bundle_that_carries_the_old_version_keeps_its_promise() -> None:
    """The adapter fills in the caller's default, not the model's."""
    new = contract("1.1.0", [AGE, {**SITE, "default": "right"}])

    assert ("error", "input-default-changed") in rules(judge(OLD, new))
    assert rules(judge(OLD, new, carried=["1.0.0"])) == [("info", "input-default-changed")]


def test_what_a_bundle_carries_is_read_from_it(folder) -> None:
    """Its older versions count backward, its newer ones forward."""
    triage_bundle(folder / "triage")

    assert contract_at("triage").carried == ("1.0.0", "3.0.0")


@pytest.mark.parametrize("text", ["nowhere.json", "nowhere.tar", "nowhere/"])
def test_what_is_not_there_is_named(folder, text, capsys) -> None:
    """With status 3."""
    assert main(["check", "old.json", text]) == 3
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["http://[x", "grpc://[x", "http://user:secret@x:port", "http://x\x01"])
def test_what_is_no_url_is_named(folder, url, capsys) -> None:
    """With status 3, and no password."""
    assert main(["check", "old.json", url]) == 3
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert " is no URL" in error
    assert "secret" not in error


def test_a_contract_remembers_its_file(folder) -> None:
    """Reviews place their remarks in it."""
    found = contract_at("old.json")

    assert (found.contract, found.file, found.digest) == (OLD, Path("old.json"), None)


def test_every_rule_has_an_example_that_shows_it() -> None:
    """But those that two contracts alone cannot break."""
    assert RULES.keys() - RULE_EXAMPLES.keys() == {"model-changed", "allowance-expired", "allowance-unused"}
    assert RULE_EXAMPLES.keys() <= RULES.keys()
    assert (ROOT / "docs" / "evolution" / "rules.md").read_text() == page()


def test_every_rule_that_breaks_values_shows_a_record() -> None:
    """An error about values is no opinion."""
    for id, example in RULE_EXAMPLES.items():
        for one in judge(*example.contracts()).findings:
            group = id.split("-")[1]
            shown = group in ("type", "range", "enum", "length", "pattern", "nullable", "shape")
            if one.rule.id == id and one.severity == "error" and shown:
                assert one.example is not None, id


def test_a_bundle_is_held_against_the_server_that_runs(folder, capsys) -> None:
    """A server of one model is asked for it, one of several has to be told which."""
    write_sum(folder / "one")
    write_sum(folder / "other", name="other")
    changed = SUM_CONTRACT.to_json() | {"version": "2.0.0"}
    changed["inputs"][0] = changed["inputs"][0] | {"maximum": 50}
    write_sum(folder / "two", version="2", contract=Contract.from_json(changed))
    with serving([Bundle.open(folder / "one")]) as url:
        assert main(["check", url, "two"]) == 3
        assert "inputs.a: maximum 100 became 50" in capsys.readouterr().out
        assert main(["check", url, "one"]) == 0
    with serving([Bundle.open(folder / "one"), Bundle.open(folder / "other")]) as url:
        assert main(["check", url, "two"]) == 2
        assert "#demo" in capsys.readouterr().err
        assert main(["check", f"{url}#demo@1", "two"]) == 3
    assert main(["check", "mailto://x", "two"]) == 3


def test_another_model_under_the_same_contract_is_said(folder, capsys) -> None:
    """Callers survive; answers may differ."""
    write_sum(folder / "one")
    write_sum(folder / "two", version="2")

    assert main(["check", "one", "two"]) == 0
    assert "model-changed" in capsys.readouterr().out


def test_one_key_is_not_shown_to_two_servers(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is one's, and the other might keep it."""
    monkeypatch.setenv("FIVEFOLD_KEY", "k")

    assert main(["check", "http://127.0.0.1:1", "http://127.0.0.1:2#m"]) != 0
    said = capsys.readouterr().err
    assert "FIVEFOLD_KEY would be shown to two servers" in said
