"""The gate of a release, against a real server: what it lets through, what it refuses, what can be accepted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route
from tests.support import grpc_calls
from tests.support.bundles import SUM_CONTRACT, put_file, write_sum
from tests.support.judging_bundles import judge_bundle
from tests.support.live_servers import running, serving
from tests.support.versioned_bundle import triage_bundle

from fivefold.cli import EXIT, main
from fivefold.core.bundle.answering import answering
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.bundle.carried import CarriedVersion
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import Unavailable
from fivefold.release.gate import Report, check


def bounded(maximum: float, version: str = "1.0") -> Contract:
    """The sum's contract with another bound."""
    contract = SUM_CONTRACT.to_json() | {"version": version}
    contract["inputs"][0] = contract["inputs"][0] | {"maximum": maximum}
    return Contract.from_json(contract)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of bundles to read only: demo@1 and demo@2 of one contract, demo@3 of another, and `other`."""
    home = tmp_path_factory.mktemp("release")
    write_sum(home / "one")
    write_sum(home / "two", version="2")
    write_sum(home / "three", version="3", contract=bounded(50))
    write_sum(home / "other", name="other")
    return home


@pytest.fixture(scope="module")
def live(home: Path) -> Iterator[str]:
    """A service of demo@1."""
    with serving([Bundle.open(home / "one")]) as url:
        yield url


def verdicts(report: Report) -> dict[str, str]:
    """By subject; the last one of a subject counts."""
    return {finding.subject: finding.verdict for finding in report.findings}


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit status, standard output and error of `fivefold release check`."""
    status = main(["release", "check", *words])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_a_new_version_under_the_same_contract_may_go_ahead(home: Path, live: str) -> None:
    """And so may the same bundle again, or a model that is new."""
    for names in (["two"], ["one"], ["one", "two"], ["one", "other"]):
        report = check([str(home / name) for name in names], live)

        assert report.error is None, report.to_json()
        assert report.findings


def test_a_contract_that_breaks_callers_is_refused_by_its_rule(
    home: Path, live: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the exit status of the error's code, and the way to accept it."""
    status, out, err = run(capsys, "--model", str(home / "three"), "--against", live)

    assert status == EXIT["contract_unsupported"]
    assert "refused   demo" in out
    sentence = "the contract changes: inputs.a: maximum 100 became 50 (input-range-narrowed)"
    assert out.count(sentence) == 1
    assert out.count("--accept-contract-change demo") == len([line for line in out.splitlines() if "help:" in line])
    assert err == ""
    status, out, err = run(
        capsys, "--model", str(home / "three"), "--against", live, "--accept-contract-change", "demo"
    )
    assert (status, err) == (0, "")
    assert "accepted  demo" in out
    assert "the release may go ahead" in out


def test_a_change_of_another_model_is_not_accepted_along(home: Path, live: str) -> None:
    """Consent is given by name."""
    assert (
        main(
            ["release", "check", "--model", str(home / "three"), "--against", live, "--accept-contract-change", "other"]
        )
        == 3
    )
    assert (
        main(["release", "check", "--model", str(home / "other"), "--against", live, "--accept-removal", "other"]) == 3
    )


def test_a_model_that_disappears_is_refused(home: Path, live: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Unless its name is given."""
    status, out, err = run(capsys, "--model", str(home / "other"), "--against", live)
    assert status == EXIT["model_not_found"]
    assert "--accept-removal demo" in out
    assert err == ""
    assert "ok        other" in out

    assert run(capsys, "--model", str(home / "other"), "--against", live, "--accept-removal", "demo")[0] == 0


def test_the_default_version_is_what_callers_without_one_get(home: Path) -> None:
    """A second version beside the first changes nothing for them, unless it becomes the default."""
    with serving([Bundle.open(home / "one")]) as url:
        both = [str(home / "one"), str(home / "three")]

        assert check(both, url, defaults={"demo": "1"}).error is None
        report = check(both, url)

    assert verdicts(report) == {
        "demo@1": "ok",
        "demo@3": "ok",
        "demo": "refused",
        "demo, contract 1.0": "refused",
        "demo@1, contract 1.0": "ok",
    }


def test_a_kept_version_keeps_its_contract(home: Path, tmp_path: Path) -> None:
    """Callers that name a version are asked for, too, where it is not the default."""
    changed = write_sum(tmp_path / "one", contract=bounded(50))
    with serving([Bundle.open(home / "one"), Bundle.open(home / "two")]) as url:
        report = check([str(changed.path), str(home / "two")], url)

    assert report.error is not None
    assert refused(report) == {"demo@1", "demo@1, contract 1.0"}


def refused(report: Report) -> set[str]:
    """The subjects that are."""
    return {finding.subject for finding in report.findings if finding.verdict == "refused"}


def test_a_contract_that_breaks_nobody_goes_ahead(home: Path, live: str, tmp_path: Path) -> None:
    """As long as the version that callers name stays answered."""
    wider = write_sum(tmp_path / "wider", version="2", contract=bounded(1000))
    renumbered = write_sum(tmp_path / "renumbered", version="2", contract=bounded(1000, "1.1"))
    carrying = answering(renumbered, tmp_path / "carrying", [CarriedVersion(SUM_CONTRACT)])

    assert check([str(wider.path)], live).error is None
    assert check([str(carrying.path)], live).error is None
    dropped = check([str(renumbered.path)], live)
    assert verdicts(dropped) == {"demo@2": "ok", "demo": "ok", "demo, contract 1.0": "refused"}
    assert dropped.error is not None
    assert dropped.error.code == "contract_unsupported"
    assert "is answered now, the release answers 1.1" in str(dropped.error)
    assert "fivefold pack --answers" in str(dropped.error.help)


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_every_version_that_is_answered_stays_so(tmp_path: Path, scheme: str) -> None:
    """Also those that a bundle carries, and the one that callers without a version get."""
    now = triage_bundle(tmp_path / "now")
    again = triage_bundle(tmp_path / "again", version="2")
    without = answering(now, tmp_path / "without", [each for each in now.carried if each.newer])
    moved = answering(now, tmp_path / "moved", now.carried, "2.0.0")
    with serving([now]) as http, grpc_calls.world([now]) as grpc:
        url = http if scheme == "http" else f"grpc://{grpc.server.address}"
        assert check([str(again.path)], url).error is None
        gone = {"triage, contract 1.0.0", "triage@1, contract 1.0.0"}
        # Version 2.0.0 answers more than callers of 1.0.0 know: a class that they have no word for.
        assert refused(check([str(without.path)], url)) == {"triage", "triage@1"} | gone
        assert refused(check([str(moved.path)], url)) == {"triage", "triage@1"}


@pytest.mark.parametrize("defaults", [{"demo": "9"}, {"nobody": "1"}])
def test_what_a_server_would_not_start_with_is_refused(home: Path, live: str, defaults: dict[str, str]) -> None:
    """A default that does not exist; and a version given twice."""
    assert check([str(home / "one")], live, defaults=defaults).error is not None
    twice = check([str(home / "one"), str(home / "one")], live)
    assert "given twice" in str(twice.error)


def test_every_bundle_that_fails_is_named(
    home: Path, live: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not only the first; models are not said to disappear because their bundle failed."""
    wrong = write_sum(tmp_path / "wrong")
    put_file(tmp_path / "wrong", "golden.jsonl", wrong.read("golden.jsonl").replace(b'"label":1', b'"label":0'))
    flipped = write_sum(tmp_path / "flipped")
    (tmp_path / "flipped" / "model.onnx").write_bytes(flipped.read("model.onnx")[:-1] + b"!")
    references = [
        f"{home / 'one'}#sha256={'0' * 64}",
        str(tmp_path / "wrong"),
        str(tmp_path / "flipped"),
        "https://h/x.tar",
    ]
    status, out, _ = run(
        capsys, *(word for text in references for word in ("--model", text)), "--against", live, "--json"
    )
    report = json.loads(out)

    assert status == EXIT["bundle_invalid"]
    assert report["ok"] is False
    assert [finding["verdict"] for finding in report["findings"]] == ["refused"] * 4
    assert {finding["code"] for finding in report["findings"]} == {"bundle_invalid"}
    assert "golden" in report["findings"][1]["says"]
    assert report["findings"][3]["help"]


def test_signatures_are_asked_for(home: Path, live: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where a key is given."""
    assert main(["bundle", "keygen", str(tmp_path / "key.pem")]) == 0
    signed = Bundle.open(home / "one").copy(tmp_path / "one")
    line = ["--model", str(signed.path), "--against", live, "--public-key", str(tmp_path / "key.pub.pem")]
    assert run(capsys, *line)[0] == EXIT["bundle_invalid"]

    assert main(["bundle", "sign", str(signed.path), "--key", str(tmp_path / "key.pem")]) == 0
    status, out, _ = run(capsys, *line)
    assert status == 0
    assert "signed by" in out


def test_a_service_that_is_not_there_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Because nobody can say what its callers rely on."""
    line = ["--model", str(home / "one"), "--against", "http://127.0.0.1:1", "--timeout", "1"]
    status, out, err = run(capsys, *line)
    assert status == EXIT["not_ready"]
    assert "--allow-unreachable" in out
    assert err == ""

    status, out, err = run(capsys, *line, "--allow-unreachable")
    assert (status, err) == (0, "")
    assert "accepted" in out


GONE = "http://127.0.0.1:1"
"""Where nobody answers."""


def test_what_has_never_served_anything_is_a_first_release(home: Path) -> None:
    """Also where one has failed before: nobody has anything to lose."""
    report = check([str(home / "one")], GONE, timeout=1, ever_served=lambda: False)

    assert report.error is None
    says = "has never served anything: a first release"
    assert ("ok", says) in [(each.verdict, each.says) for each in report.findings]


def test_what_has_served_and_does_not_answer_is_refused(home: Path) -> None:
    """And so is one of which nobody knows; the sentence says both."""

    def unknown() -> bool:
        raise Unavailable("not_ready", "GET /apis: 403 Forbidden")

    for ever_served, said in ((lambda: True, "not known"), (unknown, "nor whether anything ever was: GET /apis: 403")):
        report = check([str(home / "one")], GONE, timeout=1, ever_served=ever_served)

        assert report.error is not None
        assert report.error.code == "not_ready"
        assert said in report.error.message


def test_a_bad_first_release_is_refused_all_the_same(home: Path, tmp_path: Path) -> None:
    """Its bundles are opened whether anybody asks for them or not."""
    report = check([str(tmp_path / "nothing")], GONE, timeout=1, ever_served=lambda: False)

    assert report.error is not None


def test_who_answers_is_asked_whatever_the_cluster_says(home: Path, live: str) -> None:
    """A service whose operator has not looked yet has callers already."""
    report = check([str(home / "three")], live, ever_served=lambda: False)

    assert report.error is not None
    assert report.error.code == "contract_unsupported"


def test_the_cluster_is_asked_from_a_pod_alone(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Elsewhere that is said beside what is not known."""
    line = ["--model", str(home / "one"), "--against", GONE, "--timeout", "1", "--rayservice", "scores"]
    status, out, _ = run(capsys, *line)

    assert status == EXIT["not_ready"]
    assert "nor whether anything ever was: expected to run in a pod" in out


def foreign(answer: Any) -> Starlette:
    """A service of somebody else."""
    return Starlette(routes=[Route("/{path:path}", lambda request: answer, methods=["GET", "POST"])])


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (JSONResponse({"error": "who are you?", "code": "unauthenticated"}, 401), "unauthenticated"),
        (PlainTextResponse("<html>", 200), "not_found"),
        (JSONResponse([{"id": 1}]), "internal"),
        (PlainTextResponse("no such page", 404), "not_found"),
    ],
)
def test_a_service_that_answers_otherwise_is_refused(home: Path, answer: Any, code: str) -> None:
    """Also where an unreachable one would be accepted."""
    with running(foreign(answer)) as url:
        report = check([str(home / "one")], url)

    assert report.error is not None
    assert report.error.code == code


def test_the_key_goes_with_every_question(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the option or the variable."""
    seen: list[str | None] = []
    contract = SUM_CONTRACT.to_json()

    async def answer(request: Request) -> JSONResponse:
        seen.append(request.headers.get("authorization"))
        return JSONResponse(
            contract if request.method == "GET" else [{"name": "demo", "version": "1", "state": "READY"}]
        )

    application = Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])
    with running(application) as url:
        assert run(capsys, "--model", str(home / "one"), "--against", url, "--key", "k1")[0] == 0
        monkeypatch.setenv("FIVEFOLD_KEY", "k2")
        assert run(capsys, "--model", str(home / "one"), "--against", url)[0] == 0

    assert seen == ["Bearer k1"] * 5 + ["Bearer k2"] * 5


def test_a_url_that_is_none_is_a_wrong_command_line(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2."""
    status, _, err = run(capsys, "--model", str(home / "one"), "--against", "fivefold:8000")

    assert status == 2
    assert "expected a URL" in err


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models of one contract that answer one golden row of four differently, and recorded rows."""
    home = tmp_path_factory.mktemp("judged")
    for name, edge in (("old", 50), ("new", 40)):
        judge_bundle(home / name, edge=edge, sizes=(10, 45, 60, 90), version=name)
    (home / "rows.jsonl").write_text('{"contract": "judge@1.0.0", "inputs": {"size": 70, "colour": "red"}}\n' * 6)
    return home


def test_a_model_that_answers_otherwise_is_refused_with_the_numbers(
    judged: Path, live: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where a bound is given, on golden rows and recorded ones; otherwise the numbers are shown."""
    line = ["--model", str(judged / "new"), "--against", live, "--accept-removal", "demo", "--old", str(judged / "old")]

    status, out, err = run(capsys, *line)
    assert (status, err) == (0, "")
    assert "ok        judge@new  against judge@old: verdict differs in 1 of 4 rows (25 %); score changes nowhere" in out
    assert run(capsys, *line, "--max-disagreement", "0.25")[0] == 0
    status, out, err = run(capsys, *line, "--max-disagreement", "0.2")
    assert status == EXIT["bundle_invalid"]
    assert "refused   judge@new" in out
    assert "verdict differs in 1 of 4 rows (25 %), more than 20 %; worst where class of verdict is small" in out
    assert run(capsys, *line, "--max-disagreement", "0.2", "--rows", str(judged / "rows.jsonl"))[0] == 0


def test_a_comparison_that_cannot_be_made_refuses(
    home: Path, judged: Path, live: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """No old bundle, none of that name, no file; and rows without a bundle are a slip."""
    line = ["--model", str(home / "two"), "--against", live]

    assert run(capsys, *line, "--old", str(judged / "old"))[0] == EXIT["model_not_found"]
    assert run(capsys, *line, "--old", str(home / "nowhere"))[0] == EXIT["bundle_invalid"]
    assert run(capsys, *line, "--old", str(home / "one"), "--rows", "none.jsonl")[0] == EXIT["not_found"]
    for alone in (["--max-disagreement", "0.1"], ["--old-is-served"]):
        status, _, err = run(capsys, *line, *alone)
        assert status == 2
        assert "--old REFERENCE" in err


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_a_comparison_with_what_is_not_served_proves_nothing(
    home: Path, judged: Path, capsys: pytest.CaptureFixture[str], scheme: str
) -> None:
    """Each of two models against the bundle that answers now; of another one it is said which digest that has."""
    served = [Bundle.open(judged / "old"), Bundle.open(home / "one")]
    releases = ["--model", str(judged / "new"), "--model", str(home / "two")]
    with serving(served) as http, grpc_calls.world(served) as grpc:
        live = http if scheme == "http" else f"grpc://{grpc.server.address}"
        line = [*releases, "--against", live, "--old-is-served"]
        both = ["--old", str(judged / "old"), "--old", str(home / "one")]
        status, out, err = run(capsys, *line, *both)
        assert (status, err) == (0, "")
        assert "against judge@old: verdict differs in 1 of 4 rows" in out
        assert "against demo@1: " in out

        status, out, _ = run(capsys, *line, "--old", str(judged / "new"))
        assert status == EXIT["bundle_invalid"]
        digest = served[0].digest[:16]
        assert f"is not what is served: {digest}… answers as judge now" in out
        assert "help: --old names the bundle that is served" in out
        assert run(capsys, *line, "--old", str(home / "other"))[0] == EXIT["model_not_found"]
    line = [*releases, "--against", "http://127.0.0.1:1", "--timeout", "1", "--old-is-served", *both]
    assert run(capsys, *line)[0] == EXIT["not_ready"]
    assert run(capsys, *line, "--allow-unreachable")[0] == 0
