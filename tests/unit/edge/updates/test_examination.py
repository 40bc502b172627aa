from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.support.bundles import contract, field, write_sum
from tests.support.releases import PUBLISHER

from fivefold.core.bundle.bundle import sign
from fivefold.core.errors import BundleInvalid, ProtocolError
from fivefold.edge.updates.examination import examine_bundle

PEM = PUBLISHER.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def examine(place: Path, **given: Any) -> None:
    bundle = write_sum(place, version="2") if not place.exists() else None
    facts = {} if bundle is None else {"digest": f"sha256:{bundle.digest}"}
    examine_bundle(place, **{"model": "demo", "version": "2", "bundle_keys": (), "current": None, **facts, **given})


@pytest.mark.parametrize(
    ("member", "value", "says"),
    [
        ("model", "other", "names the model other, its archive holds demo"),
        ("version", "9", "names the version 9"),
        ("digest", "sha256:" + "0" * 64, "names the bundle sha256:000"),
    ],
)
def test_an_archive_of_another_bundle_is_refused(tmp_path: Path, member: str, value: str, says: str) -> None:
    with pytest.raises(BundleInvalid, match=says):
        examine(tmp_path / "new", **{member: value})


def test_a_bundle_that_its_keys_did_not_sign_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleInvalid, match="not signed") as caught:
        examine(tmp_path / "new", bundle_keys=(PEM,))
    assert caught.value.path == "bundle.sig"
    digest = sign(tmp_path / "new", PUBLISHER).digest
    examine(tmp_path / "new", bundle_keys=(PEM,), digest=f"sha256:{digest}")


def test_a_bundle_that_is_for_servers_alone_is_refused(tmp_path: Path) -> None:
    bundle = write_sum(tmp_path / "new", version="2", targets=("server",))

    with pytest.raises(BundleInvalid, match="is for server, not for a gateway"):
        examine(tmp_path / "new", digest=f"sha256:{bundle.digest}")


def test_a_broken_byte_is_found(tmp_path: Path) -> None:
    bundle = write_sum(tmp_path / "new", version="2")
    path = tmp_path / "new" / "model.onnx"
    raw = bytearray(path.read_bytes())
    raw[40] ^= 1
    path.write_bytes(raw)

    with pytest.raises(BundleInvalid, match="expected sha256") as caught:
        examine(tmp_path / "new", digest=f"sha256:{bundle.digest}")
    assert caught.value.path == "model.onnx"


def test_a_contract_that_drops_what_callers_use_is_refused(tmp_path: Path) -> None:
    write_sum(tmp_path / "old", version="1")
    narrower = contract(
        [field("a", minimum=-100, maximum=100), field("b", minimum=0, maximum=100)],
        [field("total"), field("label", "int64", minimum=0, maximum=1)],
    )
    rows = [{"a": 1.0, "b": 2.0}], [{"total": 3.0, "label": 1}]
    digest = write_sum(tmp_path / "new", version="2", contract=narrower, golden=rows).digest

    with pytest.raises(ProtocolError, match=r"the contract changes: .*version") as caught:
        examine(tmp_path / "new", digest=f"sha256:{digest}", current=tmp_path / "old")
    assert caught.value.code == "contract_unsupported"
    examine(tmp_path / "new", digest=f"sha256:{digest}")


def test_a_contract_that_stays_passes(tmp_path: Path) -> None:
    write_sum(tmp_path / "old", version="1")

    examine(tmp_path / "new", current=tmp_path / "old")


def test_a_served_bundle_that_is_broken_keeps_no_successor_away(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()

    examine(tmp_path / "new", current=tmp_path / "old")
