"""What the README says is what happens: its blocks are run, its outputs are compared with the real ones."""

import io
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import fastapi
import joblib
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import fivefold
from fivefold.batch.engine.inline import Inline
from fivefold.batch.run.execute import score
from fivefold.cli import _parser
from fivefold.commands import score as scoring
from fivefold.core.bundle.bundle import Bundle
from fivefold.guard.keyring import Keyring
from fivefold.online.settings import OnlineSettings
from tests.support.http_calls import client
from tests.support.replica_processes import replicas
from tests.support.serve_process import SERVICES, Host, running

ROOT = SERVICES.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def block(language: str, holding: str) -> str:
    """The one block of a language that holds a text."""
    (found,) = [text for kind, text in BLOCKS if kind == language and holding in text]
    return found


def shape(text: str) -> list[str]:
    """Lines without what differs from run to run: numbers, digests and the cell with the largest difference."""
    text = re.sub(r"\(probability\[.*?\)", "(…)", text)
    lines = [re.sub(r"[0-9a-f]{64}|\d+(\.\d+)?(e-\d+)?", "#", line).split() for line in text.splitlines()]
    return [" ".join(words) for words in lines if words]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The demo bundle and what `fivefold demo` printed."""
    home = tmp_path_factory.mktemp("readme")
    return home / "bundles" / "breast-cancer", fivefold_command(home, "demo", "bundles/breast-cancer")


@pytest.fixture(scope="module")
def host(trained: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A server of the demo model."""
    with running([trained[0]], tmp_path_factory.mktemp("host")) as started:
        yield started


def fivefold_command(directory: Path, *words: str) -> str:
    """What the command prints."""
    done = subprocess.run(
        [sys.executable, "-m", "fivefold.cli", *words],
        cwd=directory,
        env=os.environ | {"PYTHONPATH": str(SERVICES)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def here(text: str, host: Host) -> str:
    """A block that asks the test's server."""
    return text.replace("127.0.0.1:8000", host.http).replace("127.0.0.1:9000", host.grpc)


def test_the_commands_of_the_installation() -> None:
    """Extras that there are, and command lines that name one bundle."""
    install, demo, serve = (shlex.split(line, comments=True) for line in block("sh", "pip install").splitlines())
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]

    assert set(re.findall(r"fivefold\[(\w+)\]", README)) <= set(extras)
    assert install[:2] == ["pip", "install"]
    (place,) = _parser().parse_args(serve[1:]).model
    assert demo[:2] == ["fivefold", "demo"]
    assert demo[2] == place


def test_every_target_and_page_that_it_names_exists() -> None:
    """`make` knows the targets, and the links lead somewhere."""
    for target in set(re.findall(r"^make ([a-z-]+)", "\n".join(text for _, text in BLOCKS), re.MULTILINE)):
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)
    links = re.findall(r"\]\(([^)#:]+)\)|(?:src|srcset)=\"([^\"]+)\"", README)
    assert links
    assert [link for pair in links for link in pair if link and not (ROOT / link).exists()] == []


@pytest.mark.host
def test_the_output_of_make_run(trained: tuple[Path, str], host: Host) -> None:
    """The printed lines are those of `fivefold demo` and `fivefold serve`."""
    printed = shape(trained[1] + host.printed())

    assert [line for line in shape(block("text", "trained gradient boosting")) if line not in printed] == []


@pytest.mark.host
def test_the_request_and_its_two_answers(host: Host) -> None:
    """The curl command gives the printed answer; with the first number changed, the printed refusal."""
    command = block("sh", ":predict")
    good, refused = (
        json.loads(subprocess.run(["bash", "-c", here(text, host)], check=True, capture_output=True).stdout)
        for text in (command, command.replace("13.9,", "61.5,", 1))
    )

    wanted = json.loads(block("json", '"predictions"'))
    assert good["metadata"].keys() == wanted["metadata"].keys()
    del good["metadata"]["request_id"], wanted["metadata"]["request_id"]
    # The digest is that of a file which holds the versions of the libraries that trained the model.
    del good["metadata"]["bundle"], wanted["metadata"]["bundle"]
    probability, said = good["predictions"][0].pop("probability"), wanted["predictions"][0].pop("probability")
    assert probability == pytest.approx(said, abs=1e-5)
    assert good == wanted
    wanted = json.loads(block("json", '"out_of_range"'))
    assert refused.keys() >= wanted.keys()
    assert {key: refused[key] for key in ("error", "code", "path")} == {
        key: wanted[key] for key in ("error", "code", "path")
    }


@pytest.mark.host
def test_the_python_client(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """The client's block prints a label and the bundle."""
    exec(here(block("python", "fivefold.Client"), host), {})

    assert re.fullmatch(r"(benign|malignant) [0-9a-f]{64}\n", capsys.readouterr().out)


@pytest.mark.host
def test_other_bundles_in_place(trained: tuple[Path, str], host: Host, tmp_path: Path) -> None:
    """The replace command on Ray: another version and back, by the replica that is there."""
    first = fivefold.open(trained[0]).bundle
    given, answers = (columns.to_records() for columns in first.golden())
    second = Bundle.write(
        tmp_path / "second",
        contract=first.contract,
        model={"model.onnx": first.read("model.onnx")},
        runtime="onnx",
        binding=first.manifest.binding,
        golden=(given, answers),
        tolerance=first.manifest.tolerance,
        name=first.name,
        version="2",
    )
    before = replicas(host)
    served = []
    for bundle in (second, first):
        words = ("replace", "--http", host.http, "--model", str(Path(bundle.path).absolute()))
        served.append(fivefold_command(tmp_path, *words).split())
        served.append(json.loads(urlopen(f"{host.url}/v1/models/{first.name}").read())["version"])

    assert served == [[first.name, "2", second.digest], "2", [first.name, "1", first.digest], "1"]
    assert replicas(host) == before


def test_the_development_server(tmp_path: Path, trained: tuple[Path, str]) -> None:
    """The first command serves, the second replaces what it serves."""
    serve, change = (shlex.split(line, comments=True)[1:] for line in block("sh", "--dev --reload").splitlines())
    (tmp_path / "bundles").mkdir()
    (tmp_path / "bundles" / "mine").symlink_to(trained[0])
    given = _parser().parse_args(serve)
    assert given.reload
    with running([tmp_path / place for place in given.model], tmp_path / "run", dev={"reload": True}) as started:
        printed = fivefold_command(tmp_path, *change, "--http", started.http)

    assert printed.split()[:2] == ["breast-cancer", "1"]


def test_packing_a_model_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pack command makes the bundle that the FastAPI block then serves."""
    frame = pd.DataFrame({"age": [20.0, 30.0, 40.0, 50.0], "visits": [1, 9, 2, 8]})
    frame.to_parquet(tmp_path / "data.parquet")
    joblib.dump(LogisticRegression().fit(frame, [0, 1, 0, 1]), tmp_path / "model.joblib")
    (pack,) = [line for line in block("sh", " pack ").splitlines() if " pack " in line]

    fivefold_command(tmp_path, *pack.split()[1:])

    (predict,) = [line for line in block("sh", " predict ").splitlines() if " predict " in line]
    answers = fivefold_command(tmp_path, *shlex.split(predict, comments=True)[1:]).splitlines()
    assert [json.loads(line)["_row"] for line in answers] == [0, 1, 2, 3]

    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(block("python", "fivefold.router"), names)
    app = names["app"]
    assert isinstance(app, fastapi.FastAPI)
    with client(app) as asking:
        path = f"/scoring/v1/models/{asking.get('/scoring/v1/models').json()['models'][0]}:predict"
        assert asking.post(path, json={"instances": [{"age": 33, "visits": 7}]}).json()["predictions"]


def test_the_class_of_ones_own(tmp_path: Path) -> None:
    """It answers as a bundle."""
    contract = {
        "format": 1,
        "name": "fraud",
        "version": "1.0.0",
        "inputs": [{"name": "amount", "dtype": "float64", "minimum": 0}],
        "outputs": [{"name": "risk", "dtype": "bool"}],
    }
    bundle = fivefold.Bundle.write(
        tmp_path / "fraud",
        contract=fivefold.Contract.from_json(contract),
        model={"model/fraud.py": block("python", "class Fraud").encode()},
        runtime="python",
        entry="fraud:Fraud",
        golden=([{"amount": 999}, {"amount": 1001}], [{"risk": False}, {"risk": True}]),
        tolerance=0,
    )

    assert fivefold.open(bundle.path).predict([{"amount": 2000}]) == [{"risk": True}]


@pytest.mark.full
def test_scoring_whole_files(tmp_path: Path, trained: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The score command is one, and publishes; here without Ray, in this process."""
    (words,) = [shlex.split(line)[1:] for line in block("sh", "fivefold score").splitlines() if line]
    rows = fivefold.open(trained[0]).bundle.golden()[0].to_records()
    (tmp_path / "data").mkdir()
    pd.DataFrame(rows).to_parquet(tmp_path / "data" / "a.parquet")
    (tmp_path / "bundles").mkdir()
    (tmp_path / "bundles" / "mine").symlink_to(trained[0])
    monkeypatch.chdir(tmp_path)
    asked = scoring.asked(_parser().parse_args(words))
    assert asked is not None

    report = score(*asked, out=io.StringIO(), actors=Inline).report

    assert report["scored"] == len(rows)
    assert (tmp_path / "scores" / "_SUCCESS").exists()


def test_a_bundle_for_all_callers(tmp_path: Path, trained: tuple[Path, str]) -> None:
    """The command writes a bundle that answers the older version too, and the next one serves it."""
    answer, serve = (shlex.split(line)[1:] for line in block("sh", "bundle answer").splitlines())
    older = fivefold.open(trained[0]).contract.to_json() | {"version": "0.9.0"}
    (tmp_path / "churn-1.json").write_text(json.dumps(older))
    (tmp_path / "bundles").mkdir()
    (tmp_path / "bundles" / "mine").symlink_to(trained[0])

    fivefold_command(tmp_path, *answer)

    (place,) = _parser().parse_args(serve).model
    assert list(fivefold.open(tmp_path / place).bundle.views) == ["0.9.0", "1.0.0"]


def test_the_contract_is_one() -> None:
    """The contract that it shows parses."""
    assert fivefold.Contract.from_json(json.loads(block("json", '"inputs"'))).name == "churn"


@pytest.mark.full
def test_the_commands_about_keys(tmp_path: Path) -> None:
    """The first makes a key and a file, the second is a command line that takes both."""
    create, serve = (shlex.split(line, comments=True)[1:] for line in block("sh", "keys create").splitlines())
    key = fivefold_command(tmp_path, *create).strip()
    given = vars(_parser().parse_args(serve))

    assert Keyring(tmp_path / given["keys"]).find(key.encode()).scopes == {"infer"}
    assert OnlineSettings(**{name: given[name] for name in ("keys", "http", "grpc")}).guarded


def test_the_commands_about_devices(tmp_path: Path) -> None:
    """The first prints a key and nothing else; the others are command lines that name the same places."""
    lines = block("sh", "hub device add").splitlines()
    add, serve, gateway = (shlex.split(line.partition(" > ")[0], comments=True)[1:] for line in lines)
    hub = vars(_parser().parse_args(add))
    key = fivefold_command(tmp_path, *add)

    assert len(key.split()) == 1
    assert vars(_parser().parse_args(serve))["data"] == hub["data"]
    assert vars(_parser().parse_args(gateway))["device"] == hub["id"]
