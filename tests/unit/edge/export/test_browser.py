"""What an export for browsers writes, what it refuses, and where the runtime comes from."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper
from tests.support import browser_bundles
from tests.unit.edge.export.conftest import RUNTIME

from fivefold.cli import main
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import BundleInvalid, FivefoldError, NotFound
from fivefold.edge.export.browser import MARK, BrowserOptions, site_files
from fivefold.edge.export.browser_support import operators, refuse_unsupported
from fivefold.exports import web_runtime as runtimes
from fivefold.exports.web_runtime import SCRIPT, WASM, WebRuntime, web_runtime


@pytest.fixture(scope="module")
def runtime() -> WebRuntime:
    return web_runtime(RUNTIME)


def test_the_same_arguments_give_the_same_files(demo_bundle: Path, runtime: WebRuntime) -> None:
    """Each asset is named by its content; the bundle lies there byte for byte; the list of files holds every digest."""
    bundle = Bundle.open(demo_bundle)
    files = site_files(bundle, runtime, BrowserOptions(hub="https://hub.example/edge"))
    again = site_files(bundle, runtime, BrowserOptions(hub="https://hub.example/edge"))
    shell = json.loads(files["service-worker.js"].split(b";\n", 1)[0].removeprefix(b"self.FIVEFOLD_SHELL="))
    index = files["index.html"].decode()

    assert files == again
    for path, data in files.items():
        named = re.fullmatch(r"assets/.+-([0-9a-f]{16})\.[a-z]+", path)
        assert named is None or hashlib.sha256(data).hexdigest().startswith(named[1])
    assert {item["path"] for item in shell["files"]} == {
        path for path in files if path.startswith("assets/") or path in ("index.html", "app.webmanifest")
    }
    assert {path: files[f"models/{bundle.digest}/{path}"] for path in bundle.names()} == {
        path: bundle.read(path) for path in bundle.names()
    }
    assert json.loads(files["model.json"])["digest"] == bundle.digest
    assert "connect-src 'self' https://hub.example;".replace("'", "&#x27;") in index
    assert "page/" not in index
    assert "API reference" not in index


def test_what_a_browser_cannot_run_is_refused(tmp_path: Path) -> None:
    """A Python model, by its runtime; and the operators of a model are found, those of inner graphs too."""
    with pytest.raises(BundleInvalid, match="a browser runs ONNX models alone"):
        refuse_unsupported(browser_bundles.bundle(tmp_path))

    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None])
    inner = helper.make_graph([helper.make_node("Own", ["x"], ["z"], domain="own.domain")], "inner", [], [value])
    nodes = [
        helper.make_node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml"),
        helper.make_node("If", ["c"], ["z"], then_branch=inner, else_branch=inner),
    ]
    model = helper.make_model(helper.make_graph(nodes, "outer", [value], [value])).SerializeToString()

    assert set(operators(model)) == {("ai.onnx.ml", "ZipMap"), ("", "If"), ("own.domain", "Own")}
    with pytest.raises(BundleInvalid, match="no protobuf"):
        list(operators(model[:-1]))


def test_the_operators_of_the_demo_model_are_those_that_onnx_finds(demo_bundle: Path) -> None:
    """The reader of the wire format agrees with the format's own."""
    data = Bundle.open(demo_bundle).read("model.onnx")

    assert sorted(operators(data)) == sorted(
        (node.domain, node.op_type) for node in onnx.load_from_string(data).graph.node
    )


def test_another_runtime_than_the_pinned_one_is_refused(tmp_path: Path, runtime: WebRuntime) -> None:
    """By its digest, wherever it comes from; a directory without it says what belongs there."""
    (tmp_path / SCRIPT).write_bytes(runtime.script)
    with pytest.raises(NotFound, match=WASM):
        web_runtime(tmp_path)
    (tmp_path / WASM).write_bytes(runtime.wasm[:-1])
    with pytest.raises(BundleInvalid, match="expected sha256"):
        web_runtime(tmp_path)


def test_without_npm_the_way_on_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No cache, no npm, no --runtime."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FivefoldError) as caught:
        web_runtime()

    assert "there is no npm" in caught.value.message
    assert "--runtime" in (caught.value.help or "")


def test_a_broken_package_is_refused() -> None:
    """Bytes from npm that are no package, or lack the files."""
    with pytest.raises(BundleInvalid, match="cannot be read"):
        runtimes._unpacked(b"no package")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--to browser", "expected one directory"),
        ("--to browser a --output b", "expected one directory"),
        ("--to browser site --model other", "takes one --model"),
        ("--to bentoml site --hub https://hub.example", "--hub means nothing to --to bentoml"),
        ("--to browser site --hub hub.example", "expected an address"),
        ("--to browser site --outbox-mb 0", "expected a number of megabytes"),
    ],
)
def test_a_misspelt_command_line_is_told(line: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = main(["export", "--model", "bundle", *line.split()])
    except SystemExit as err:
        status = int(str(err.code))

    assert status == 2
    assert said in capsys.readouterr().err


def test_a_directory_of_something_else_is_left_alone(
    demo_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever an earlier export did not write stays, and the command says so."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "thesis.txt").write_text("mine")
    given = [
        "export",
        "--model",
        str(demo_bundle),
        "--to",
        "browser",
        str(tmp_path / "site"),
        "--runtime",
        str(RUNTIME),
    ]
    assert main(given) == 1
    (tmp_path / "site" / MARK).write_text('{"format": "browser", "files": {}}')
    assert main(given) == 1

    assert "thesis.txt" in capsys.readouterr().err
    assert (tmp_path / "site" / "thesis.txt").read_text() == "mine"
