"""The record of a release: what it says, what a second build is compared by, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from releasing.building import version_of
from releasing.refusal import ReleaseRefused
from releasing.registry import Registry
from releasing.release_record import Artefact, ReleaseRecord, altered, file_artefact, signed, verified

A, B = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
CHART = Artefact("chart", "fivefold", A, 10, A, "charts/fivefold:1.0.0")
IMAGE = Artefact("image", "ray", A, 10, B, "ray:1.0.0")


WRONG = [
    ReleaseRecord("1.0.0", "c", (replace(IMAGE, name="../ray"),)).to_bytes(),
    ReleaseRecord("1.0.0", "c", (CHART,)).to_bytes().replace(b'"1.0.0"', b"1"),
    ReleaseRecord("1.0.0", "c", (CHART,)).to_bytes().replace(b'"kind"', b'"sort"'),
]


def test_a_record_is_the_same_bytes_in_any_order_and_comes_back() -> None:
    one, other = (ReleaseRecord("1.0.0", "c", artefacts) for artefacts in ((CHART, IMAGE), (IMAGE, CHART)))

    assert one.to_bytes() == other.to_bytes()
    assert ReleaseRecord.from_bytes(one.to_bytes()) == one


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b"\xff", b'{"format": 2}', b'{"format": 1, "version": "1"}', *WRONG]
)
def test_what_is_no_record_is_refused(data: bytes) -> None:
    with pytest.raises(ReleaseRefused, match=r"release\.json"):
        ReleaseRecord.from_bytes(data)


def test_a_second_build_is_compared_by_content_alone() -> None:
    record = ReleaseRecord("1.0.0", "c", (CHART, IMAGE))
    packaged_again = Artefact("chart", "fivefold", B, 11, A)

    assert record.differences([packaged_again, IMAGE]) == []
    assert record.differences([packaged_again]) == ["image ray: was not built"]
    assert record.differences([CHART, IMAGE, Artefact("image", "hub", A, 1, A)]) == ["image hub: is not in the release"]
    assert record.differences([CHART, Artefact("image", "ray", A, 10, A)]) == [
        f"image ray: the release has {B}, built is {A}"
    ]


def test_files_are_held_against_their_digests(tmp_path: Path) -> None:
    (tmp_path / "a.whl").write_bytes(b"wheel")
    record = ReleaseRecord("1.0.0", "", (file_artefact("wheel", tmp_path / "a.whl"), CHART))

    assert altered(tmp_path, record) == []
    (tmp_path / "a.whl").write_bytes(b"whee1")
    assert altered(tmp_path, record)[0].startswith("a.whl: expected sha256:")
    (tmp_path / "a.whl").unlink()
    assert altered(tmp_path, record) == ["a.whl: is not there"]


def test_a_signature_is_of_these_bytes_by_this_key(tmp_path: Path) -> None:
    from fivefold.cli import main

    for name in ("one", "other"):
        assert main(["bundle", "keygen", str(tmp_path / f"{name}.pem")]) == 0
    signature, signer = signed(b"record", tmp_path / "one.pem")

    assert verified(b"record", signature, tmp_path / "one.pub.pem") == signer
    for data, given, key in (
        (b"recorD", signature, "one.pub.pem"),
        (b"record", signature[:-1] + bytes([signature[-1] ^ 1]), "one.pub.pem"),
        (b"record", signature, "other.pub.pem"),
        (b"record", b"", "one.pub.pem"),
        (b"record", None, "one.pub.pem"),
        (b"record", signature, "one.pem"),
        (b"record", signature, "none.pem"),
    ):
        with pytest.raises(ReleaseRefused):
            verified(data, given, tmp_path / key)
    with pytest.raises(ReleaseRefused, match="key"):
        signed(b"", tmp_path / "one.pub.pem")


@pytest.mark.parametrize(
    "prefix", ["", "/", "Upper.example", "host/", "host//a", "https://host", "host:port", "host/a:1", "host/a@b", "a b"]
)
def test_where_a_release_goes_is_a_host_and_a_path(prefix: str) -> None:
    with pytest.raises(ReleaseRefused, match="REGISTRY: expected HOST"):
        Registry(prefix)


@pytest.mark.parametrize("prefix", ["localhost:5000", "ghcr.io/owner/name", "127.0.0.1:1/a_b/c-d", "[::1]:5000/a"])
def test_names_are_below_it(prefix: str) -> None:
    assert Registry(prefix).reference("ray:1.0.0") == f"{prefix}/ray:1.0.0"


def test_package_and_chart_have_one_version(tmp_path: Path) -> None:
    chart = tmp_path / "helm" / "fivefold" / "Chart.yaml"
    chart.parent.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.0"\n')
    chart.write_text('version: 1.2.0\nappVersion: "1.2.0"\n')

    assert version_of(tmp_path, "") == version_of(tmp_path, "v1.2.0") == "1.2.0"
    with pytest.raises(ReleaseRefused, match=r"VERSION is 1\.3\.0, version in pyproject\.toml is 1\.2\.0"):
        version_of(tmp_path, "1.3.0")
    chart.write_text("version: 1.2.0\nappVersion: 1.1.0\n")
    with pytest.raises(ReleaseRefused, match=r"appVersion in .* is 1\.1\.0"):
        version_of(tmp_path, "")


def test_the_record_says_what_there_is_by_name_digest_and_size() -> None:
    """What other programs read."""
    document = json.loads(ReleaseRecord("1.0.0", "c", (IMAGE,)).to_bytes())

    assert document == {
        "format": 1,
        "name": "fivefold",
        "version": "1.0.0",
        "commit": "c",
        "artefacts": [
            {"kind": "image", "name": "ray", "digest": A, "size": 10, "content": B, "reference": IMAGE.reference}
        ],
    }
