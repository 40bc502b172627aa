"""What is wrong before any row is read: contracts, bundles and requests, each with the exact code and path.

Rows that break a contract are the cases' matter. Requests are put to the servers in this process, over HTTP and gRPC.
"""

from __future__ import annotations

import json
import re
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from fivefold.core.bundle.bundle import Binding, Bundle, InputBinding, OutputBinding
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import BundleInvalid, ContractInvalid
from fivefold.core.runtime.scorer import Scorer
from fivefold.serving.http.http_errors import HTTP_STATUS
from tests.conformance.bad_contracts import CONTRACTS, GOOD
from tests.conformance.bad_requests import GRPC, HTTP
from tests.conformance.cases import Limits, load_contract
from tests.conformance.drivers import refusal_of_body
from tests.conformance.serving import InProcess
from tests.conformance.transports import SERVICE, refusal_of_status


@pytest.mark.parametrize("name", CONTRACTS)
def test_a_bad_contract_is_refused_where_it_is_wrong(name: str) -> None:
    """`contract_invalid`, with the JSON path of what is wrong."""
    contract, path = CONTRACTS[name]
    raw = json.dumps(contract) if isinstance(contract, dict) else contract

    with pytest.raises(ContractInvalid) as caught:
        Contract.from_json(raw)

    assert (caught.value.code, caught.value.path) == ("contract_invalid", path)
    assert caught.value.message


def test_the_good_contract_is_good() -> None:
    """Each bad one differs from it in one thing."""
    assert Contract.from_json(json.dumps(GOOD)).name == "good"


def _flip(path: Path, at: int = -2) -> None:
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)


def _edit(path: Path, pattern: str, replacement: str) -> None:
    text = path.read_text("utf-8")
    changed = re.sub(pattern, replacement, text, count=1)
    assert changed != text
    path.write_text(changed, "utf-8")


def _link(path: Path) -> None:
    target = path.with_name("elsewhere")
    path.rename(target.parent.parent / "elsewhere")
    path.symlink_to(target.parent.parent / "elsewhere")


BUNDLES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no-manifest": (lambda d: (d / "bundle.json").unlink(), "bundle.json"),
    "manifest-empty": (lambda d: (d / "bundle.json").write_text(""), "bundle.json"),
    "manifest-array": (lambda d: (d / "bundle.json").write_text("[]"), "bundle.json"),
    "manifest-not-utf-8": (lambda d: (d / "bundle.json").write_bytes(b"\xff{}"), "bundle.json"),
    "manifest-flipped": (lambda d: _flip(d / "bundle.json", 30), "bundle.json"),
    "manifest-renamed": (lambda d: _edit(d / "bundle.json", '"linear"', '"other"'), "bundle.json"),
    "manifest-tolerance": (lambda d: _edit(d / "bundle.json", '"tolerance": 0.0', '"tolerance": 1.0'), "bundle.json"),
    "manifest-seal": (lambda d: _edit(d / "bundle.json", '"seal": "[0-9a-f]', '"seal": "z'), "bundle.json"),
    "manifest-a-space-more": (
        lambda d: (d / "bundle.json").write_bytes((d / "bundle.json").read_bytes() + b" "),
        "bundle.json",
    ),
    "contract-missing": (lambda d: (d / "contract.json").unlink(), "contract.json"),
    "contract-flipped": (lambda d: _flip(d / "contract.json"), "contract.json"),
    "contract-longer": (
        lambda d: (d / "contract.json").write_bytes((d / "contract.json").read_bytes() + b"\n"),
        "contract.json",
    ),
    "model-missing": (lambda d: (d / "model.onnx").unlink(), "model.onnx"),
    "model-flipped": (lambda d: _flip(d / "model.onnx"), "model.onnx"),
    "model-empty": (lambda d: (d / "model.onnx").write_bytes(b""), "model.onnx"),
    "model-link": (lambda d: _link(d / "model.onnx"), "model.onnx"),
    "golden-missing": (lambda d: (d / "golden.jsonl").unlink(), "golden.jsonl"),
    "golden-flipped": (lambda d: _flip(d / "golden.jsonl", 5), "golden.jsonl"),
    "file-too-many": (lambda d: (d / "notes.txt").write_text("hello"), "notes.txt"),
    "file-hidden": (lambda d: (d / ".hidden").write_text("hello"), ".hidden"),
    "file-in-a-folder": (lambda d: ((d / "model").mkdir(), (d / "model" / "m.py").write_text("")), "model/m.py"),
}


@pytest.mark.parametrize("name", BUNDLES)
def test_a_bad_bundle_is_refused_by_the_file(name: str, bundles: dict[str, Bundle], tmp_path: Path) -> None:
    """`bundle_invalid`, with the file inside the bundle that is not what was packed."""
    spoil, path = BUNDLES[name]
    directory = tmp_path / "bundle"
    shutil.copytree(bundles["linear"].path, directory)
    spoil(directory)

    with pytest.raises(BundleInvalid) as caught:
        Bundle.open(directory)

    assert (caught.value.code, caught.value.path) == ("bundle_invalid", path)


def test_a_signature_is_needed_where_a_key_is_configured(bundles: dict[str, Bundle]) -> None:
    """An unsigned bundle is refused at its signature as soon as there is a key to check it with."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    with pytest.raises(BundleInvalid) as caught:
        Bundle.open(bundles["linear"].path, public_keys=[Ed25519PrivateKey.generate().public_key()])

    assert caught.value.path == "bundle.sig"


@pytest.mark.parametrize("member", ["../evil", "/evil", "a/../../evil"])
def test_a_tar_member_stays_inside(member: str, bundles: dict[str, Bundle], tmp_path: Path) -> None:
    """A path that leaves the bundle is refused, and nothing is written anywhere."""
    tar = bundles["linear"].archive(tmp_path / "bundle.tar")
    with tarfile.open(tar, "a") as archive:
        archive.addfile(tarfile.TarInfo(member))

    with pytest.raises(BundleInvalid):
        Bundle.open(tar)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle.tar"]


FED = InputBinding("x", ("a", "b", "c"), "float32", True)
ANSWERED = OutputBinding("y", "y", 0)
BINDINGS: dict[str, Binding] = {
    "field-left-unfed": Binding((InputBinding("x", ("a", "b"), "float32", True),), (ANSWERED,)),
    "field-unknown": Binding((InputBinding("x", ("a", "b", "c", "d"), "float32", True),), (ANSWERED,)),
    "field-fed-twice": Binding((FED, InputBinding("z", ("a",), "float32")), (ANSWERED,)),
    "floats-cut-to-integers": Binding((InputBinding("x", ("a", "b", "c"), "int64", True),), (ANSWERED,)),
    "several-without-stack": Binding((InputBinding("x", ("a", "b", "c"), "float32"),), (ANSWERED,)),
    "output-unanswered": Binding((FED,), ()),
    "output-unknown": Binding((FED,), (ANSWERED, OutputBinding("z", "y", 0))),
    "output-answered-twice": Binding((FED,), (ANSWERED, ANSWERED)),
}


@pytest.mark.parametrize("name", BINDINGS)
def test_a_binding_that_does_not_fit_the_contract_is_never_written(
    name: str, bundles: dict[str, Bundle], tmp_path: Path
) -> None:
    """`bundle_invalid` at bundle.json, and no directory."""
    with pytest.raises(BundleInvalid) as caught:
        _write(bundles["linear"], tmp_path / "bundle", binding=BINDINGS[name])

    assert caught.value.path == "bundle.json"
    assert not (tmp_path / "bundle").exists()


def _write(bundle: Bundle, directory: Path, **changes: Any) -> Bundle:
    given, answers = bundle.golden()
    arguments: dict[str, Any] = {
        "contract": load_contract("linear"),
        "model": {"model.onnx": bundle.read("model.onnx")},
        "runtime": "onnx",
        "binding": bundle.manifest.binding,
        "golden": (given.to_records(), answers.to_records()),
        "tolerance": 0.0,
    }
    return Bundle.write(directory, **(arguments | changes))


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        pytest.param({"golden": ([{"a": 2, "b": 1, "c": 0.5}], [{"y": 3}])}, "golden.jsonl", id="other-answers"),
        pytest.param({"model": {"model.onnx": b"not a model"}}, "model.onnx", id="no-model"),
        pytest.param(
            {"binding": Binding((InputBinding("w", ("a", "b", "c"), "float32", True),), (ANSWERED,))},
            "bundle.json",
            id="no-such-input",
        ),
        pytest.param({"binding": Binding((FED,), (OutputBinding("y", "z", 0),))}, "bundle.json", id="no-such-output"),
    ],
)
def test_a_bundle_that_cannot_be_served_is_refused_at_load(
    changes: dict[str, Any], path: str, bundles: dict[str, Bundle], tmp_path: Path
) -> None:
    """What opens and verifies may still be no model, or not the packed one: the scorer's self-test says so."""
    bundle = _write(bundles["linear"], tmp_path / "bundle", **changes)

    with pytest.raises(BundleInvalid) as caught:
        Scorer.open(bundle)

    assert caught.value.path == path


@pytest.mark.parametrize("name", HTTP)
def test_a_bad_http_request_has_its_code_and_path(name: str, in_process: InProcess) -> None:
    """The status of the error table, the one error body, and the request's own id."""
    asked = HTTP[name]
    client = in_process.client(Limits())
    headers = asked.headers | {"x-request-id": name}

    response = in_process.run(client.request(asked.method, asked.url, content=asked.body, headers=headers))

    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    assert (answer["code"], answer["path"]) == (asked.code, asked.path), answer
    assert response.status_code == HTTP_STATUS[asked.code]
    assert answer["request_id"] == response.headers["x-request-id"] == name
    assert refusal_of_body(answer).violations[0] == (asked.code, asked.path)


@pytest.mark.parametrize("name", GRPC)
def test_a_bad_grpc_request_has_its_code_and_path(name: str, in_process: InProcess) -> None:
    """The status of the error table, the details, the trailer and the request's own id."""
    request, code, path = GRPC[name]
    raw = request if isinstance(request, bytes) else request.SerializeToString()
    channel = in_process.channel(Limits())

    async def infer() -> bytes:
        call = channel.unary_unary(f"{SERVICE}/ModelInfer")
        return await call(raw, metadata=(("x-request-id", name),), timeout=60)

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        in_process.run(infer())

    assert refusal_of_status(caught.value, name).violations[0] == (code, path)


def test_the_bad_inputs_are_many() -> None:
    """At least a hundred contracts, bundles and requests."""
    assert len(CONTRACTS) + len(BUNDLES) + len(BINDINGS) + len(HTTP) + len(GRPC) >= 200
