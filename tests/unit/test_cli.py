"""The command line: every command helps, works, and fails with two lines and the right exit code."""

from __future__ import annotations

import argparse
import io
import json
import pickle
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sklearn.datasets import load_iris
from sklearn.tree import DecisionTreeClassifier

from fivefold.cli import EXIT, _parser, main
from fivefold.commands.pack import Stages
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import CODES
from fivefold.guard.keyring import Keyring
from fivefold.online.settings import OnlineSettings

CONTRACT = {
    "format": 1,
    "name": "iris",
    "version": "1.0.0",
    "inputs": [
        {"name": name, "dtype": "float64", "minimum": 0, "maximum": 10, "unit": "cm", "description": f"measure {name}"}
        for name in "abcd"
    ],
    "outputs": [
        {"name": "label", "dtype": "int32", "enum": [0, 1, 2]},
        {"name": "probability", "dtype": "float32", "shape": [3], "labels": ["setosa", "versicolor", "virginica"]},
    ],
}


STAGE = re.compile(r" *\d+\.\d s  ")
"""The beginning of a line that says what packing is at."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test has a folder of its own with a model and its contract."""
    monkeypatch.chdir(tmp_path)
    model = DecisionTreeClassifier(max_depth=3, random_state=0).fit(*load_iris(return_X_y=True))
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    (tmp_path / "contract.json").write_text(json.dumps(CONTRACT))
    (tmp_path / "data.csv").write_text("a,b,c,d,kind\n" + "".join(f"{i / 10},1.5,2.5,0.5,x\n" for i in range(40)))
    return tmp_path


@pytest.fixture
def bundle(folder: Path) -> Path:
    """A packed bundle."""
    assert main(["pack", "model.pkl", "--contract", "contract.json", "--output", "b", "--json"]) == 0
    return folder / "b"


def commands(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command that can be run, as its words."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        yield words
    for group in groups:
        for name, inner in group.choices.items():
            yield from commands(inner, (*words, name))


COMMANDS = sorted(commands(_parser()))


def test_the_exit_table_is_total_over_the_codes() -> None:
    """Every error has an exit status, and none is 0."""
    assert set(EXIT) == set(CODES)
    assert set(EXIT.values()) == {1, 2, 3, 4, 5, 130}


def test_the_fixed_names_are_there() -> None:
    """What people and programs outside the code rely on."""
    named = {" ".join(words) for words in COMMANDS}

    assert {"pack", "demo", "serve", "version", "contract export", "contract draft", "contract show"} <= named
    assert {"bundle verify", "bundle sign", "bundle show", "bundle keygen", "bundle archive"} <= named
    assert {"keys create", "keys list", "keys revoke"} <= named
    assert {
        "bundle fetch",
        "release check",
        "check",
        "doctor",
        "cluster secrets",
        "cluster call",
        "cluster rayjob",
    } <= named


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_helps_with_examples(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """And each example is a command line that parses."""
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    text = capsys.readouterr().out

    assert ended.value.code == 0
    examples = text.split("examples:\n")[1].splitlines()
    assert examples
    for line in examples:
        spoken = line.split("      ")[0].replace("'", "").split()
        if "--help" not in spoken:
            _parser().parse_args(spoken[spoken.index("fivefold") + 1 :])


def test_help_warns_of_code_in_pickles(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever packs a file of unknown origin has been told."""
    with pytest.raises(SystemExit):
        main(["pack", "--help"])

    assert "EXECUTES THE CODE IN IT" in capsys.readouterr().out


def test_pack_prints_the_report(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Tolerance, difference, binding and digest."""
    line = ["pack", "model.pkl", "--contract", "contract.json", "--output", "b", "--name", "flowers", "--version", "7"]
    assert main([*line, "--golden", "data.csv", "--tolerance", "1e-4"]) == 0
    out = capsys.readouterr().out

    assert "flowers@7" in out
    assert "tolerance 0.0001" in out
    assert "40 rows, data.csv" in out
    assert Bundle.open(folder / "b").digest in out


def test_pack_prints_json_for_programs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same facts as values."""
    assert main(["pack", "model.pkl", "--contract", "contract.json", "--output", "b", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)

    assert report["digest"] == Bundle.open(folder / "b").digest
    assert report["difference"] <= report["tolerance"]


def test_pack_drafts_a_contract_beside_the_bundle(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The draft can be edited and used at once."""
    (folder / "four.csv").write_text(
        "\n".join(line.rsplit(",", 1)[0] for line in (folder / "data.csv").read_text().splitlines())
    )

    assert main(["pack", "model.pkl", "--draft-from", "four.csv", "--output", "b"]) == 0
    assert "b.contract.json" in capsys.readouterr().out
    assert main(["pack", "model.pkl", "--contract", "b.contract.json", "--output", "b2"]) == 0


def test_bundles_are_shown_verified_archived_and_signed(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A round through every command of `bundle`."""
    assert main(["bundle", "keygen", "key.pem"]) == 0
    assert Path("key.pem").stat().st_mode & 0o077 == 0
    assert main(["bundle", "sign", "b", "--key", "key.pem"]) == 0
    assert main(["bundle", "verify", "b", "--public-key", "key.pub.pem"]) == 0
    assert "golden rows answered, signed by" in capsys.readouterr().out
    assert main(["bundle", "archive", "b", "b.tar"]) == 0
    capsys.readouterr()
    assert main(["bundle", "show", "b.tar", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["digest"], shown["signed"]) == (Bundle.open(bundle).digest, True)
    assert main(["bundle", "show", "b"]) == 0
    assert "model.onnx" in capsys.readouterr().out
    assert main(["bundle", "keygen", "key.pem"]) == 1
    assert "File exists" in capsys.readouterr().err


def test_a_bundle_is_no_place_for_an_export(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever the target: the bundle would be none afterwards."""
    assert main(["export", "--to", "gateway", "--model", "b", "b/device"]) == 3

    assert "would lie in the bundle" in capsys.readouterr().err
    Bundle.open(bundle)


@pytest.mark.parametrize("public", ["other.pem", "taken.pem"])
def test_a_key_pair_is_made_whole_or_not_at_all(public: str, bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the public key cannot be written no private one is left, which would refuse the next attempt."""
    Path("taken.pem").write_text("somebody's")

    assert main(["bundle", "keygen", "other.pem", public]) == 1

    assert "File exists" in capsys.readouterr().err
    assert not Path("other.pem").exists()
    assert Path("taken.pem").read_text() == "somebody's"
    assert main(["bundle", "keygen", "other.pem"]) == 0


def test_a_bundle_is_fetched_by_its_digest(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """To a directory, once; the digest is printed first, for scripts."""
    digest = Bundle.open(bundle).digest
    for _ in range(2):
        assert main(["bundle", "fetch", f"file://{bundle}#sha256={digest}", "--output", "models/iris"]) == 0
        assert capsys.readouterr().out.startswith(f"{digest}  iris@1  models/iris")
    assert main(["bundle", "fetch", "b", "--output", "models/iris", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["digest"] == digest
    assert sorted(path.name for path in Path("models").iterdir()) == ["iris"]


def test_contracts_are_shown_drafted_and_exported(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From a file or out of a bundle."""
    assert main(["contract", "show", "contract.json"]) == 0
    assert "0..10" in capsys.readouterr().out
    assert main(["contract", "show", "b", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == CONTRACT
    assert (
        main(["contract", "draft", "data.csv", "--name", "flower", "--answer", "kind", "--output", "draft.json"]) == 0
    )
    assert main(["contract", "show", "draft.json"]) == 0
    capsys.readouterr()
    assert main(["contract", "export", "b", "--to", "typescript"]) == 0
    assert "export " in capsys.readouterr().out
    assert main(["contract", "export", "contract.json", "--to", "json-schema", "--output", "generated"]) == 0
    written = capsys.readouterr().out.splitlines()
    assert written
    assert all(json.loads(Path(place).read_text())["$schema"] for place in written)


def test_the_defaults_that_serve_s_help_names_are_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    """A number in a help text is that of the code."""
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    text = text[text.index("options:") : text.index("examples:")]

    for name in ("min_replicas", "max_replicas", "max_rows", "max_body_bytes", "max_inflight", "max_wait"):
        told = text[text.index(f"--{name.replace('_', '-')} ") :].split("(default: ")[1]
        assert float(re.split(r"[,)]", told)[0]) == getattr(OnlineSettings(), name)
    assert f"names none (default: {OnlineSettings().default_timeout:g})" in text


def test_version_says_what_is_installed(capsys: pytest.CaptureFixture[str]) -> None:
    """For a bug report."""
    assert main(["version", "--json"]) == 0
    assert {"fivefold", "python", "onnxruntime"} <= set(json.loads(capsys.readouterr().out))
    assert main(["version"]) == 0
    said = capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, said)


def test_bundles_are_served_as_words_too(capsys: pytest.CaptureFixture[str]) -> None:
    """Options may stand between, and --model adds to them."""
    found = _parser().parse_args(["serve", "a", "--http", "127.0.0.1:1", "b", "--model", "c"])

    assert (found.bundles, found.model, found.http) == (["a", "b"], ["c"], "127.0.0.1:1")
    assert main(["serve", "--http", "127.0.0.1:1"]) == 2
    assert "expected a bundle to serve" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "status", "error", "help"),
    [
        ("pack nowhere.onnx --contract contract.json --output b", 3, "no file nowhere.onnx", "give a model file"),
        ("pack model.pkl --output b", 3, "needs a contract", "--draft-from DATA"),
        ("pack model.pkl --contract missing.json --output b", 3, "cannot read missing.json", ""),
        ("pack model.pkl --contract data.csv --output b", 3, "not JSON", ""),
        ("pack model.pkl --contract contract.json --output b --bind x", 3, "is not a binding", "MODEL_INPUT=FIELD"),
        ("pack model.pkl --contract contract.json --output b --tolerance 2", 3, "a tolerance of 0 to 1", ""),
        (
            "pack model.pkl --contract contract.json --output b --golden model.pkl",
            3,
            "cannot tell the format",
            ".parquet",
        ),
        ("pack model.pkl --contract contract.json --output b --sign no.pem", 3, "cannot read the key", ""),
        ("pack", 2, "required: SOURCE, --output", "fivefold pack --help"),
        ("pack model.pkl --contract c.json --draft-from d.csv --output b", 2, "not allowed with", "pack --help"),
        ("pack model.pkl --contract c.json --target x --output b", 2, "are a draft's", "without --contract"),
        ("pack model.pkl --contract contract.json --output b --as onnx", 2, "invalid choice: 'onnx'", "pack --help"),
        ("pack model.pkl --contract contract.json --output b --time-limit 0", 2, "expected seconds", "pack --help"),
        ("pack model.pkl --contract contract.json --output b --memory-limit lots", 2, "such as 4G", "pack --help"),
        ("pack model.pkl --contract contract.json --output b --key best", 3, "no model under --key best", ""),
        ("pack m:M --as python --contract contract.json --output b", 2, "SOURCE is a class", "leave --as out"),
        ("pack m:M --draft-from data.csv --output b", 2, "does not say what it answers", "fivefold contract draft"),
        ("pack . --contract contract.json --output b", 3, "no MLflow model", "give a model file"),
        ("nonsense", 2, "invalid choice", "fivefold --help"),
        ("", 2, "required", "fivefold --help"),
        ("bundle show nowhere", 3, "there is no bundle at nowhere", "fivefold demo"),
        ("bundle verify contract.json", 3, "", ""),
        ("bundle fetch https://host/b.tar --output b", 3, "asked for by its digest", "fivefold bundle show"),
        ("bundle fetch nowhere --output b", 3, "cannot read nowhere", ""),
        ("bundle fetch file://b --output b", 3, "file:///ABSOLUTE/PATH", ""),
        ("bundle fetch b", 2, "required: --output", "fivefold bundle fetch --help"),
        ("release check --model b --against here", 2, "expected a URL", "fivefold release check --help"),
        ("serve --model https://host/b.tar", 3, "asked for by its digest", "fivefold bundle show"),
        ("bundle sign nowhere --key k", 3, "there is no bundle", ""),
        ("contract show nowhere.json", 3, "cannot read nowhere.json", ""),
        ("contract export contract.json --to cobol", 2, "invalid choice", "fivefold contract export --help"),
        ("contract export contract.json --to proto --output contract.json/x", 1, "Not a directory", ""),
        ("contract export contract.json --to arrow", 2, "is", "--output DIR"),
        ("contract draft data.csv --name d --answer nope", 3, "no column 'nope'", ""),
        ("serve --model b --http nonsense", 2, "expected HOST:PORT", "fivefold serve --help"),
        ("serve --model b --http 0.0.0.0:80", 2, "reachable from other machines", ""),
        ("serve --model b --http 0.0.0.0:80 --allow-public --page-runtime", 2, "hands the bundles' files", ""),
        ("serve --model b --no-page --page-runtime", 2, "expected a page to run models in", ""),
        ("serve --model b --page-runtime nowhere", 3, "there is no ort.wasm.bundle.min.mjs in nowhere", "npm package"),
        ("serve --model b --default x", 2, "expected NAME=VERSION", ""),
    ],
)
def test_errors_are_two_lines_and_an_exit_code(
    line: str, status: int, error: str, help: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Never a traceback for what the user can put right."""
    try:
        got = main(line.split())
    except SystemExit as ended:
        got = int(ended.code or 0)
    captured = capsys.readouterr()

    assert got == status
    told = [text for text in captured.err.splitlines() if not STAGE.match(text)]
    assert captured.out == ""
    assert told[0].startswith("error: ")
    assert error in captured.err
    assert help in captured.err
    assert "Traceback" not in captured.err


def test_pack_keeps_a_model_as_it_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--as python: the very file, and a report of what servers need."""
    line = ["pack", "model.pkl", "--as", "python", "--contract", "contract.json", "--output", "b"]

    assert main([*line, "--time-limit", "200", "--memory-limit", "4GiB"]) == 0

    printed = capsys.readouterr().out
    assert "from scikit-learn as python" in printed
    assert "servers need" in printed
    assert Bundle.open(folder / "b").read("model/model.pkl") == (folder / "model.pkl").read_bytes()


@pytest.mark.parametrize(
    "place", ["", "    def __init__(self):\n        ", "    def predict(self, columns):\n        "]
)
def test_a_model_that_calls_sys_exit_is_not_packed_quietly(
    folder: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    """Exit 3 and a sentence, although the code asked for 0; at import, when made, when asked."""
    ends = f"{place}import sys; sys.exit(0)\n"
    body = f"class Model:\n{ends if place else ''}    def predict(self, columns, more=0):\n        return {{}}\n"
    if "predict" in place:
        body = f"class Model:\n{ends}"
    (folder / "exits_x.py").write_text(("" if place else ends) + body)

    assert main(["pack", "exits_x:Model", "--contract", "contract.json", "--output", "b"]) == 3

    captured = capsys.readouterr()
    assert captured.out == ""
    assert "\nerror: " in captured.err
    assert "SystemExit" in captured.err or "sys.exit(0)" in captured.err
    assert not (folder / "b").exists()


def test_what_a_model_prints_is_not_part_of_the_json(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever its code writes to the standard output while it is packed."""
    (folder / "loud_x.py").write_text("""
import os
print("import")
class Model:
    def predict(self, columns):
        print("predict")
        os.write(1, b"straight")
        rows = len(columns["a"])
        return {"label": [0] * rows, "probability": [[1.0, 0.0, 0.0]] * rows}
""")

    assert main(["pack", "loud_x:Model", "--contract", "contract.json", "--output", "b", "--json", "--quiet"]) == 0

    captured = capfd.readouterr()
    assert json.loads(captured.out)["runtime"] == "python"
    assert captured.err == ""


def test_stages_are_one_live_line_on_a_terminal_and_lines_elsewhere() -> None:
    """What came of a stage stays on the terminal; the line of the stage goes at the end."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown, log = Terminal(), io.StringIO()
    for stages in (Stages(shown), Stages(log)):
        stages.say("measuring")
        stages.say("  float32: good")
        stages.close()

    assert [text[9:] for text in log.getvalue().splitlines()] == ["measuring", "  float32: good"]
    assert all(STAGE.match(text) for text in log.getvalue().splitlines())
    assert "  float32: good\n" in shown.getvalue()
    assert "measuring (" in shown.getvalue()
    assert shown.getvalue().endswith("\r\x1b[K")


def test_a_bundle_that_stands_there_is_not_overwritten(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --force the refusal names it; the first one stays as it was."""
    digest = Bundle.open(bundle).digest
    line = ["pack", "model.pkl", "--contract", "contract.json", "--output", "b", "--version", "2", "--json"]
    capsys.readouterr()
    assert main(line) == 3
    err = capsys.readouterr().err
    assert f"b holds a bundle already: iris@1, {digest[:12]}" in err
    assert "help: --force" in err
    assert Bundle.open(bundle).digest == digest
    assert main([*line, "--force"]) == 0
    assert Bundle.open(bundle).version == "2"


def test_an_edited_draft_is_not_overwritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The draft says whose ranges it has; what a person made of it stays without --force."""
    line = ["pack", "model.pkl", "--draft-from", "data.csv", "--drop", "kind", "--output", "b"]
    assert main(line) == 0
    out = capsys.readouterr().out
    assert "drafted  b.contract.json: its ranges are those of 40 rows (a 0.0..3.9, b 1.5..1.5, " in out
    assert "wrote    b: contract.json " in out
    edited = Path("b.contract.json").read_text().replace("3.9", "100")
    Path("b.contract.json").write_text(edited)
    (folder / "b").rename(folder / "old")

    assert main([*line, "--quiet"]) == 3
    assert "--contract b.contract.json instead of --draft-from" in capsys.readouterr().err
    assert Path("b.contract.json").read_text() == edited


def test_the_data_that_a_module_names_comes_along(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What else lies beside it is named as not taken."""
    (folder / "limits_x.json").write_text("7")
    (folder / "named_x.py").write_text(
        "from pathlib import Path\n\nclass Model:\n    def predict(self, columns):\n"
        "        limit = float(Path(__file__).with_name('limits_x.json').read_text())\n"
        "        label = (columns['a'] > limit).astype('int32')\n"
        "        return {'label': label, 'probability': [[1.0, 0.0, 0.0]] * len(label)}\n"
    )

    assert main(["pack", "named_x:Model", "--contract", "contract.json", "--output", "b", "--json"]) == 0
    out, err = capsys.readouterr()
    assert set(json.loads(out)["files"]) == {"contract.json", "golden.jsonl", "model/limits_x.json", "model/named_x.py"}
    assert "named_x.py is taken, with limits_x.json, which it names; not taken from beside it: contract.json" in err


def test_a_broken_bundle_names_the_file(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A flipped byte is found by its digest."""
    data = bytearray((bundle / "model.onnx").read_bytes())
    data[100] ^= 1
    (bundle / "model.onnx").write_bytes(data)

    assert main(["bundle", "verify", "b"]) == 3
    assert "model.onnx" in capsys.readouterr().err


@pytest.mark.full
def test_interrupting_ends_cleanly(folder: Path) -> None:
    """Ctrl-C in the middle of packing is exit 130 and no traceback; what the model was doing ends with it."""
    (folder / "slow_x.py").write_text(
        "import pathlib, time\nclass Model:\n    def predict(self, columns):\n"
        "        pathlib.Path('asked').touch()\n        time.sleep(600)\n"
    )
    line = [sys.executable, "-m", "fivefold", "pack", "slow_x:Model", "--contract", "contract.json", "--output", "b"]
    import fivefold

    services = str(Path(fivefold.__file__).parents[1])
    with subprocess.Popen(
        line,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": services, "PATH": ""},
        # A shell that runs the tests in the background makes them, and what they start, deaf to it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as ran:
        while not (folder / "asked").exists():
            assert ran.poll() is None
            time.sleep(0.02)
        ran.send_signal(signal.SIGINT)
        _, said = ran.communicate(timeout=60)

    assert ran.returncode == 128 + signal.SIGINT
    assert "Traceback" not in said
    assert not (folder / "b").exists()


def test_a_reader_that_goes_away_is_no_traceback(folder: Path) -> None:
    """`fivefold contract show contract.json | head -0` is quiet."""
    import fivefold

    services = str(Path(fivefold.__file__).parents[1])
    command = f"{sys.executable} -m fivefold contract show contract.json | true"
    ran: Any = subprocess.run(
        ["/bin/sh", "-c", command],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": services, "PATH": "/bin:/usr/bin"},
        check=False,
    )

    assert ran.stderr == ""


def test_keys_are_created_listed_and_revoked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The key stands alone on standard output, once; the list and the file do not have it."""
    line = ["keys", "create", "--file", "keys.json", "--name", "ci", "--rate", "100", "--concurrency", "8"]
    assert main([*line, "--expires", "90d"]) == 0
    key, about = capsys.readouterr()
    assert main(["keys", "create", "--file", "keys.json", "--name", "ops", "--scope", "admin", "--json"]) == 0
    other = json.loads(capsys.readouterr().out)
    id = key.split("_")[1]

    assert key.count("\n") == 1
    assert id in about
    assert Keyring(folder / "keys.json").find(key.strip().encode()).scopes == {"infer"}
    assert Keyring(folder / "keys.json").find(other["key"].encode()).scopes == {"admin"}
    assert main(["keys", "list", "--file", "keys.json"]) == 0
    listed = capsys.readouterr().out
    assert "100/s, 8 at once  expires 20" in listed
    assert "admin  no limits  no end  ops" in listed
    assert main(["keys", "revoke", "--file", "keys.json", id]) == 0
    assert main(["keys", "list", "--file", "keys.json", "--json"]) == 0
    left = capsys.readouterr().out
    assert [row["name"] for row in json.loads(left[left.index("[") :])] == ["ops"]
    for text in (listed, left, (folder / "keys.json").read_text()):
        assert key.strip()[12:] not in text
        assert other["key"][12:] not in text


def test_a_key_as_the_data_of_a_secret(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For who installs on Kubernetes: the key to read, the file to mount, and nothing written."""
    before = set(folder.iterdir())
    assert main(["keys", "create", "--string-data", "--name", "install"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert set(folder.iterdir()) == before

    (folder / "keys.json").write_text(data["keys.json"])
    assert Keyring(folder / "keys.json").find(data["key"].encode()).scopes == {"infer"}


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("create --file keys.json --name ci --rate 0", 2),
        ("create --file keys.json --name ci --expires soon", 2),
        ("create --file none/keys.json --name ci", 1),
        ("create --file broken.json --name ci", 2),
        ("list --file none.json", 3),
        ("list --file broken.json", 2),
        ("revoke --file keys.json 00000000", 3),
        ("revoke --file broken.json 00000000", 2),
    ],
)
def test_a_wrong_command_about_keys(folder: Path, capsys: pytest.CaptureFixture[str], line: str, status: int) -> None:
    """It says what is wrong, and changes nothing."""
    (folder / "broken.json").write_text("{")

    assert main(["keys", *line.split()]) == status
    assert capsys.readouterr().err.startswith("error: ")
    assert not (folder / "keys.json").exists()
    assert (folder / "broken.json").read_text() == "{"


def test_serving_in_public_wants_a_guard(capsys: pytest.CaptureFixture[str]) -> None:
    """Keys, or the word that nobody is to be asked."""
    assert main(["serve", "--model", "b", "--http", "0.0.0.0:0"]) == 2
    assert "give keys" in capsys.readouterr().err
    assert main(["serve", "--model", "b", "--oidc-issuer", "https://id.example"]) == 2
    assert "oidc_audience" in capsys.readouterr().err
