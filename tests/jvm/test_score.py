"""`fivefold.jar score`: the server's answers, and what must not be answered."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fivefold.core.bundle.bundle import Binding, Bundle, InputBinding, OutputBinding, sign
from fivefold.core.bundle.carried import CarriedVersion
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import ContractError
from fivefold.core.readers.records import Records
from fivefold.core.runtime.scorer import Scorer
from tests.conformance import models
from tests.jvm.conftest import Score
from tests.support.bundles import SUM_CONTRACT, SUM_GOLDEN, contract, field, graph, node, put_file, write_sum


@pytest.fixture(scope="module")
def sum_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """total = a + b, to read or copy."""
    return write_sum(tmp_path_factory.mktemp("sum") / "sum")


@pytest.fixture
def spoilt(sum_bundle: Bundle, tmp_path: Path) -> Path:
    """The same bundle to damage."""
    return Path(shutil.copytree(sum_bundle.path, tmp_path / "sum"))


def _core(bundle: Bundle, record: str) -> dict[str, Any]:
    """What the core says of one record, as the command says it."""
    try:
        columns = Records(bundle.contract.inputs).read_json(f'{{"instances":[{record}]}}'.encode()).accept()
    except ContractError as error:
        return {"error": error.to_json()}
    with Scorer.open(bundle) as scorer:
        return {"answer": scorer.score(columns).to_records()}


def test_a_line_is_answered_as_the_core_answers_it(sum_bundle: Bundle, score: Score) -> None:
    """Each alone: answers, and whole errors with sentences and help."""
    records = [
        '{"a": 1, "b": 2.5}',
        '{"a": 3e0, "b": -0.0}',
        '{"a": 100.00000001, "b": 1}',
        '{"a": 1e400, "c": 1}',
        '{"a": null, "b": "\\ud800"}',
        "[1, 2, 3]",
        '{"a": 1, "b": 9007199254740993}',
        '{"a": 1, "b": 1, "b": 2}',
        '{"a": 1, "b": Infinity}',
    ]
    done = score(sum_bundle.path, "".join(f"{each}\n" for each in records).encode(), "--digest", sum_bundle.digest)
    said = [json.loads(line) for line in done.stdout.splitlines()]

    assert (done.returncode, done.stderr) == (0, b"")
    for record, got in zip(records, said, strict=True):
        wanted = _core(sum_bundle, record)
        assert got.get("error") == wanted.get("error"), record
        assert got.get("answer", {}).get("predictions") == wanted.get("answer"), record
    assert said[0]["answer"]["metadata"] == {
        "model": sum_bundle.name,
        "version": sum_bundle.version,
        "bundle": sum_bundle.digest,
        "contract": "demo@1.0",
        "transport": "jvm",
    }


def test_a_line_is_one_record_in_utf_8(sum_bundle: Bundle, score: Score) -> None:
    """Two, none, and other bytes are refused, and the next line is answered."""
    done = score(sum_bundle.path, b'{"a":1,"b":1},{"a":1,"b":1}\n\n{"a":"\xff"}\n{"a":1,"b":1}')
    said = [json.loads(line) for line in done.stdout.splitlines()]

    assert [each.get("error", {}).get("code") for each in said] == ["malformed", "malformed", "malformed", None]


@pytest.mark.parametrize("name", ["model.onnx", "contract.json", "golden.jsonl", "bundle.json"])
def test_a_changed_byte_is_refused(name: str, spoilt: Path, score: Score) -> None:
    """With the name of its file, before anything is answered; bundle.json by its own seal."""
    raw = bytearray((spoilt / name).read_bytes())
    raw[len(raw) // 2] ^= 1
    (spoilt / name).write_bytes(raw)
    done = score(spoilt, b'{"a": 1, "b": 1}\n')

    assert (done.returncode, done.stdout) == (3, b"")
    assert done.stderr.startswith(f"error: {name}: ".encode())


def test_another_digest_is_refused(sum_bundle: Bundle, score: Score) -> None:
    """A bundle that is sound, but not the one that was meant."""
    done = score(sum_bundle.path, b"", "--digest", "0" * 64)

    assert done.returncode == 3
    assert b"error: bundle.json: expected sha256 " + b"0" * 64 in done.stderr


def test_a_signature_is_checked(spoilt: Path, tmp_path: Path, score: Score) -> None:
    """That of the trusted key opens the bundle; another one's, a changed one and none do not."""
    mine, other = tmp_path / "mine.pem", tmp_path / "other.pem"
    keys = [Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()]
    for key, path in zip(keys, (mine, other), strict=True):
        path.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    unsigned = score(spoilt, b"", "--public-key", str(mine))
    sign(spoilt, keys[0])
    signed = score(spoilt, b'{"a": 1, "b": 1}\n', "--public-key", str(mine))
    others = score(spoilt, b"", "--public-key", str(other))
    raw = bytearray((spoilt / "bundle.sig").read_bytes())
    raw[3] ^= 1
    (spoilt / "bundle.sig").write_bytes(raw)
    changed = score(spoilt, b"", "--public-key", str(mine))

    assert unsigned.stderr.startswith(b"error: bundle.sig: the bundle is not signed")
    assert (signed.returncode, signed.stdout.count(b"predictions")) == (0, 1)
    for refused in (others, changed):
        assert (refused.returncode, refused.stderr) == (
            3,
            b"error: bundle.sig: the trusted key did not make this signature of bundle.json\n",
        )


def test_other_golden_answers_are_refused(spoilt: Path, score: Score) -> None:
    """As a model would be that answers otherwise on this device."""
    rows = [{"in": given, "out": answer} for given, answer in zip(*SUM_GOLDEN, strict=True)]
    rows[2]["out"] = {**rows[2]["out"], "total": rows[2]["out"]["total"] + 1e-3}
    put_file(spoilt, "golden.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows).encode())
    done = score(spoilt, b"")

    assert done.returncode == 3
    assert done.stderr.startswith(
        b"error: golden.jsonl: row 2, outputs.total within 0.0: expected 2.501, got 2.5\nhelp: "
    )


def test_callers_of_another_version_are_answered(tmp_path: Path, score: Score) -> None:
    """Under its names; a version that is not served is refused with those that are."""
    own = SUM_CONTRACT.to_json()
    old = Contract.from_json(
        {
            **own,
            "version": "0.9",
            "inputs": [field("first", minimum=-100, maximum=100), own["inputs"][1]],
            "outputs": own["outputs"][:1],
        }
    )
    new = Contract.from_json({**own, "inputs": [{**own["inputs"][0], "aliases": ["first"]}, own["inputs"][1]]})
    bundle = write_sum(tmp_path / "sum", contract=new, carried=(CarriedVersion(old),))
    records = b'{"first": 1, "b": 2}\n{"a": 1, "b": 2}\n'
    done = score(bundle.path, records, "--contract", "0.9")
    said = [json.loads(line) for line in done.stdout.splitlines()]

    assert said[0]["answer"]["predictions"] == [{"total": 3.0}]
    assert said[0]["answer"]["metadata"]["contract"] == "demo@0.9"
    assert said[1]["error"]["path"] == "inputs.a"
    unknown = score(bundle.path, records, "--contract", "0.8")
    assert (unknown.returncode, unknown.stdout) == (3, b"")
    assert b"help: versions: 0.9, 1.0" in unknown.stderr


def test_a_model_of_unsigned_integers_does_not_run(tmp_path: Path, score: Score) -> None:
    """ONNX Runtime for Java has no values for it."""
    done = score(models.bundle("integers", tmp_path).path, b"")

    assert done.returncode == 4
    assert b"has no values for the model's input 'uint16'" in done.stderr


def _echo(directory: Path, *golden: str, **rules: Any) -> Path:
    """A model that answers a text as it is: what is in its golden rows is what it was proven on."""
    texts = contract([field("t", "string")], [field("u", "string", **rules)])
    model = graph([node("Identity", "t", "u")], [("t", "string", ["N"])], [("u", "string", ["N"])])
    bundle = write_sum(
        directory,
        contract=texts,
        model={"model.onnx": model},
        binding=Binding((InputBinding("t", ("t",), "string"),), (OutputBinding("u", "u"),)),
        golden=([{"t": each} for each in golden], [{"u": each} for each in golden]),
    )
    return bundle.path


def test_a_text_that_would_be_changed_reaches_no_model(tmp_path: Path, score: Score) -> None:
    """Nor does what may be left of one come back; other texts of any script do."""
    texts = ["é한א \u2028", "a\0", "😀", "maðr", "norð"]
    records = "".join(f"{json.dumps({'t': each})}\n" for each in texts).encode()
    said = [json.loads(line) for line in score(_echo(tmp_path / "echo", "a"), records).stdout.splitlines()]

    found = [
        each["answer"]["predictions"] if "answer" in each else (each["error"]["code"], each["error"]["path"])
        for each in said
    ]
    assert found == [
        [{"u": texts[0]}],
        ("model_failed", "inputs.t[0]"),
        ("model_failed", "inputs.t[0]"),
        [{"u": "maðr"}],
        ("model_failed", "outputs.u"),
    ]


def test_a_text_that_the_model_may_not_give_is_said_when_it_is_opened(tmp_path: Path, score: Score) -> None:
    """A member of the contract, or a golden row."""
    for name, done in {
        "contract.json": score(_echo(tmp_path / "members", "a", enum=["a", "😀"]), b""),
        "golden.jsonl": score(_echo(tmp_path / "golden", "a", "😀"), b""),
    }.items():
        assert done.returncode == 4
        assert done.stderr.startswith(f"error: {name}: ".encode())


def test_usage(sum_bundle: Bundle, score: Score) -> None:
    """Other arguments are refused with the way to the help."""
    for options in (("--colour",), ("--public-key", str(sum_bundle.path / "model.onnx"))):
        done = score(sum_bundle.path, b"", *options)

        assert (done.returncode, done.stdout) == (2, b"")
        assert done.stderr.endswith(b"help: java -jar fivefold.jar --help\n")
