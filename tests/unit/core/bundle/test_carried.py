"""A bundle carries contract versions that it can answer, each of them read as strictly as its own."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.bundles import manifest, put_file, put_manifest, write_sum
from tests.support.versioned_bundle import triage_bundle, triage_contract

from fivefold.core.bundle.answering import answering
from fivefold.core.bundle.bundle import Bundle, sign
from fivefold.core.bundle.carried import CarriedVersion, in_order, oldest
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import BundleInvalid
from fivefold.core.runtime.scorer import Scorer

OLD, OWN, NEW = "contracts/1.0.0.json", "contract.json", "contracts/3.0.0.json"
ENDS = dt.date(2026, 7, 1), dt.date(2027, 1, 31)


def versioned(contract: Contract, version: str, **changes: Any) -> Contract:
    """The contract under another version."""
    return Contract.from_json({**contract.to_json(), "version": version, **changes})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with an older and a newer version, to read or copy."""
    return triage_bundle(tmp_path_factory.mktemp("carried") / "triage").path


@pytest.fixture
def spoilt(whole: Path, tmp_path: Path) -> Path:
    """The same bundle to damage."""
    return Path(shutil.copytree(whole, tmp_path / "triage"))


def test_versions_are_read_back_as_they_were_written(whole: Path) -> None:
    """Contract, order and dates; the oldest is for callers that name none."""
    bundle = Bundle.open(whole)

    assert [each.contract.version for each in bundle.carried] == ["1.0.0", "3.0.0"]
    assert [each.contract for each in bundle.carried] == [triage_contract("1.0.0"), triage_contract("3.0.0")]
    assert [each.newer for each in bundle.carried] == [False, True]
    assert bundle.carried[0] == CarriedVersion(triage_contract("1.0.0"), False, *ENDS)
    assert list(bundle.views) == ["1.0.0", "2.0.0", "3.0.0"]
    assert bundle.default_contract == bundle.views.default.version == "1.0.0"
    assert bundle.views.own.version == bundle.contract.version == "2.0.0"
    assert (bundle.views["1.0.0"].deprecated, bundle.views["1.0.0"].sunset) == ENDS
    assert bundle.views["3.0.0"].ignored == ("note",)
    assert {OLD, NEW} <= set(bundle.names())


def test_a_tar_carries_them_too(whole: Path, tmp_path: Path) -> None:
    """Byte for byte."""
    place = Bundle.open(whole).archive(tmp_path / "triage.tar")

    assert Bundle.open(place).digest == Bundle.open(whole).digest
    assert list(Bundle.open(place).views) == ["1.0.0", "2.0.0", "3.0.0"]


def test_a_bundle_without_further_versions_is_what_it_was(tmp_path: Path) -> None:
    """Its manifest has no member of theirs, and its one view is the contract."""
    bundle = write_sum(tmp_path / "sum")

    assert {"contracts", "default_contract"}.isdisjoint(manifest(bundle.path))
    assert list(bundle.views) == [bundle.default_contract] == [bundle.contract.version]


def test_the_default_can_be_another(tmp_path: Path) -> None:
    """One of those that are answered."""
    assert triage_bundle(tmp_path / "a", default_contract="2.0.0").views.default.version == "2.0.0"
    with pytest.raises(BundleInvalid, match=r"default_contract: expected one of 2\.0\.0, 1\.0\.0, 3\.0\.0, got '9'"):
        triage_bundle(tmp_path / "b", default_contract="9")
    assert not (tmp_path / "b").exists()


def test_without_an_older_one_the_own_is_the_default(tmp_path: Path) -> None:
    """A release that was taken back answers who names nothing as it did before."""
    newer = CarriedVersion(triage_contract("3.0.0"), newer=True)

    assert triage_bundle(tmp_path / "triage", carried=(newer,)).default_contract == "2.0.0"
    assert oldest(triage_contract("2.0.0"), (newer,)) == "2.0.0"


def test_versions_are_in_order_of_their_numbers() -> None:
    """Not of their letters; a candidate comes before what it is one of, and newer ones come last."""
    versions = ["10.0.0", "2.0.0", "2.0.0-rc.1", "1.9.0", "1.10.0"]
    carried = [CarriedVersion(versioned(triage_contract("1.0.0"), version)) for version in versions]
    carried.append(CarriedVersion(versioned(triage_contract("1.0.0"), "0.1"), newer=True))

    assert [each.contract.version for each in in_order(carried)] == [
        *("1.9.0", "1.10.0", "2.0.0-rc.1", "2.0.0", "10.0.0"),
        "0.1",
    ]


def test_the_order_in_which_they_are_given_changes_nothing(tmp_path: Path) -> None:
    """The same versions are the same bytes."""
    versions = ("1.0.0", "1.1.0")
    carried = [CarriedVersion(versioned(triage_contract("1.0.0"), version)) for version in versions]

    digests = [
        triage_bundle(tmp_path / str(at), carried=given).digest for at, given in enumerate((carried, carried[::-1]))
    ]

    assert len(set(digests)) == 1


Change = Callable[[dict[str, Any]], None]


def entry(member: str, value: Any, index: int = 0) -> Change:
    """A member of one of the versions set."""

    def change(values: dict[str, Any]) -> None:
        values["contracts"][index][member] = value

    return change


def member(name: str, value: Any) -> Change:
    """A member of the manifest set."""
    return lambda values: values.update({name: value})


def without_file(values: dict[str, Any]) -> None:
    """The version is listed, its file is not."""
    values["files"] = [each for each in values["files"] if each["path"] != OLD]


def without_entry(values: dict[str, Any]) -> None:
    """The file is listed, its version is not."""
    del values["contracts"][0]
    values["default_contract"] = "2.0.0"


def twice(values: dict[str, Any]) -> None:
    """The same version again."""
    values["contracts"].append(values["contracts"][0])


def too_many(values: dict[str, Any]) -> None:
    """One more than there may be."""
    values["contracts"] = [values["contracts"][0] | {"version": f"0.{at}"} for at in range(65)]


MANIFEST = "bundle.json"
WRONG: dict[str, tuple[Change, str, str]] = {
    "a version whose file is not listed": (without_file, OLD, "the bundle has no such file"),
    "a file whose version is not listed": (without_entry, OLD, "not a file that a bundle"),
    "a version of no file": (entry("version", "3.0.1", 1), NEW, "not a file that a bundle"),
    "another digest": (entry("sha256", "0" * 64), MANIFEST, r"contracts\[0\]\.sha256: expected '0000"),
    "no digest": (entry("sha256", ""), MANIFEST, r"contracts\[.*\]\.sha256: "),
    "the own version": (entry("version", "2.0.0"), MANIFEST, r"contracts\[0\]\.version: '2\.0\.0' twice"),
    "a version twice": (twice, MANIFEST, r"contracts\[2\]\.version: '1\.0\.0' twice"),
    "too many": (too_many, MANIFEST, "contracts: expected at most 64 versions, got 65"),
    "a version upwards": (entry("version", "../1.0.0"), MANIFEST, r"contracts\[.*\]\.version: "),
    "a version with a slash": (entry("version", "1/0"), MANIFEST, r"contracts\[.*\]\.version: "),
    "a version with a line": (entry("version", "1.0.0\n"), MANIFEST, r"contracts\[.*\]\.version: "),
    "an empty version": (entry("version", ""), MANIFEST, r"contracts\[.*\]\.version: "),
    "a version as a number": (entry("version", 1), MANIFEST, r"version: expected str, got int"),
    "newer as text": (entry("newer", "yes"), MANIFEST, "newer: expected bool, got str"),
    "an unknown member": (entry("since", "2026-01-01"), MANIFEST, "since"),
    "a day that is none": (entry("deprecated", "2026-02-30"), MANIFEST, r"\[0\]\.deprecated: no such day: 2026-02-30"),
    "a sunset that is none": (entry("sunset", "2027-13-01"), MANIFEST, r"contracts\[0\]\.sunset: no such day"),
    "a day of another spelling": (entry("sunset", "31.1.2027"), MANIFEST, r"contracts\[.*\]\.sunset: "),
    "a day in other digits": (entry("sunset", "２０２７-01-31"), MANIFEST, r"contracts\[.*\]\.sunset: "),
    "a day with its time": (entry("sunset", "2027-01-31T00:00"), MANIFEST, r"contracts\[.*\]\.sunset: "),
    "a sunset before the deprecation": (
        entry("sunset", "2026-06-30"),
        MANIFEST,
        r"contracts\[0\]\.sunset: before the deprecation",
    ),
    "versions as an object": (member("contracts", {}), MANIFEST, "contracts: expected array"),
    "a default that is not answered": (member("default_contract", "7"), MANIFEST, "default_contract: expected one of"),
    "a default as a number": (member("default_contract", 1), MANIFEST, "default_contract: "),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_manifest_is_refused_with_its_place(spoilt: Path, case: str) -> None:
    """Also one whose seal is right: somebody who knows the format made it."""
    change, path, message = WRONG[case]
    values = manifest(spoilt)
    change(values)
    put_manifest(spoilt, values)

    with pytest.raises(BundleInvalid, match=message) as caught:
        Bundle.open(spoilt)

    assert (caught.value.code, caught.value.path) == ("bundle_invalid", path)


def test_versions_that_a_laptops_disk_would_mix_up_are_refused(tmp_path: Path) -> None:
    """`1.0.0-RC` and `1.0.0-rc` are one file where case means nothing."""
    carried = [CarriedVersion(versioned(triage_contract("1.0.0"), version)) for version in ("1.0.0-RC", "1.0.0-rc")]

    with pytest.raises(BundleInvalid, match=r"the same path as|twice"):
        triage_bundle(tmp_path / "triage", carried=carried)
    assert not (tmp_path / "triage").exists()


@pytest.mark.parametrize(
    ("version", "changes", "message"),
    [
        ("2.0.0", {}, r"contracts\[0\]\.version: '2\.0\.0' twice"),
        ("1.0.0", {"name": "other"}, r"contracts\[0\]\.name: expected 'triage', contracts/1\.0\.0\.json has 'other'"),
        ("1.0.0", {"inputs": [{"name": "mass", "dtype": "string"}]}, "inputs.mass: kind string comes, float is taken"),
        (
            "1.0.0",
            {"inputs": [{"name": "height", "dtype": "float64"}]},
            r"inputs\.weight: required, and callers of 1\.0\.0 do not send it",
        ),
        (
            "1.0.0",
            {"outputs": [{"name": "level", "dtype": "string", "enum": ["low", "high"]}]},
            r"outputs\.level: enum",
        ),
    ],
)
def test_a_version_that_cannot_be_answered_is_never_written(
    tmp_path: Path, version: str, changes: dict[str, Any], message: str
) -> None:
    """Of another model, or with callers whose values do not fit; the reason is named."""
    carried = CarriedVersion(versioned(triage_contract("1.0.0"), version, **changes))

    with pytest.raises(BundleInvalid, match=message):
        triage_bundle(tmp_path / "triage", carried=(carried,))
    assert not (tmp_path / "triage").exists()


def test_65_versions_are_not_written(tmp_path: Path) -> None:
    """64 are."""
    carried = [CarriedVersion(versioned(triage_contract("1.0.0"), f"1.{at}")) for at in range(65)]

    assert len(triage_bundle(tmp_path / "triage", carried=carried[1:]).views) == 65
    with pytest.raises(BundleInvalid, match="expected at most 64 versions, got 65"):
        triage_bundle(tmp_path / "more", carried=carried)
    assert not (tmp_path / "more").exists()


def put_version(directory: Path, data: bytes) -> None:
    """Replace the older version's file, and say so truly everywhere in bundle.json."""
    put_file(directory, OLD, data)
    values = manifest(directory)
    values["contracts"][0]["sha256"] = hashlib.sha256(data).hexdigest()
    put_manifest(directory, values)


FILES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "not JSON": (lambda raw: b"{", "not JSON"),
    "empty": (lambda raw: b"", "not JSON"),
    "not UTF-8": (lambda raw: raw.replace(b"mass", b"m\xffss"), "UTF-8|utf-8"),
    "no contract": (lambda raw: b'{"format": 1}', "name"),
    "of another version": (lambda raw: raw.replace(b"1.0.0", b"1.0.1"), r"contracts\[0\]\.version: expected '1\.0\.0'"),
    "of another model": (lambda raw: raw.replace(b'"triage"', b'"forest"'), r"contracts\[0\]\.name: expected 'triage'"),
    "of another kind": (lambda raw: raw.replace(b"float32", b"int64"), r"cannot be answered by 2\.0\.0|minimum"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_wrong_file_of_a_version_is_refused(spoilt: Path, case: str) -> None:
    """Although every digest is that of the bytes that lie there."""
    change, message = FILES[case]
    raw = (spoilt / OLD).read_bytes()
    changed = change(raw)
    assert changed != raw
    put_version(spoilt, changed)

    with pytest.raises(BundleInvalid, match=message):
        Bundle.open(spoilt)


def test_a_contract_file_with_a_flipped_byte_is_found_by_its_digest(spoilt: Path) -> None:
    """As every other file of the bundle."""
    (spoilt / OLD).write_bytes((spoilt / OLD).read_bytes().replace(b"mass", b"mess"))

    with pytest.raises(BundleInvalid, match="expected sha256") as caught:
        Bundle.open(spoilt)
    assert caught.value.path == OLD


def test_a_newer_version_is_one_by_word_not_by_number(tmp_path: Path) -> None:
    """What only newer callers may leave unanswered is decided by `newer`: the fields that they require."""
    inputs = [*triage_contract("2.0.0").to_json()["inputs"], {"name": "note", "dtype": "string"}]
    further = CarriedVersion(versioned(triage_contract("2.0.0"), "1.5.0", inputs=inputs))

    assert triage_bundle(tmp_path / "old", carried=(further,)).views["1.5.0"].ignored == ("note",)
    with pytest.raises(BundleInvalid, match=r"inputs\.note: 1\.5\.0 requires it, and the model does not have it"):
        triage_bundle(tmp_path / "new", carried=(replace(further, newer=True),))


def test_a_signature_holds_over_the_versions(spoilt: Path, private_pem: bytes, public_pem: bytes) -> None:
    """It is of bundle.json, which has the digest of each; a bundle that answers others is to be signed anew."""
    sign(spoilt, private_pem)
    signed = Bundle.open(spoilt, public_keys=[public_pem])
    other = answering(signed, spoilt.parent / "other", signed.carried[:1])

    assert (signed.signer, list(signed.views)) != (None, [])
    assert not other.signed
    with pytest.raises(BundleInvalid, match="not signed"):
        Bundle.open(other.path, public_keys=[public_pem])
    put_version(spoilt, (spoilt / OLD).read_bytes().replace(b"high", b"tall"))
    with pytest.raises(BundleInvalid, match="signature"):
        Bundle.open(spoilt, public_keys=[public_pem])


def test_the_same_model_answers_other_versions(whole: Path, tmp_path: Path) -> None:
    """Nothing of it changes but the versions; those that it had are gone, and without any it has its own alone."""
    given = Bundle.open(whole)
    later = answering(given, tmp_path / "later", [CarriedVersion(triage_contract("3.0.0"), newer=True)])
    alone = answering(given, tmp_path / "alone", ())

    assert list(later.views) == ["2.0.0", "3.0.0"]
    assert list(alone.views) == ["2.0.0"]
    assert len({given.digest, later.digest, alone.digest}) == 3
    for other in (later, alone):
        assert other.contract == given.contract
        assert other.read("model/triage.py") == given.read("model/triage.py")
        assert [rows.to_records() for rows in other.golden()] == [rows.to_records() for rows in given.golden()]
        assert (other.name, other.version, other.manifest.created_from) == (
            given.name,
            given.version,
            given.manifest.created_from,
        )
        Scorer.open(other).close()
    assert answering(alone, tmp_path / "again", later.carried).digest == later.digest


def test_the_manifest_says_what_it_carries(whole: Path) -> None:
    """With defaults left out."""
    old, new = manifest(whole)["contracts"]

    assert old == {
        "version": "1.0.0",
        "sha256": triage_contract("1.0.0").digest,
        "deprecated": "2026-07-01",
        "sunset": "2027-01-31",
    }
    assert new == {"version": "3.0.0", "sha256": triage_contract("3.0.0").digest, "newer": True}
    assert json.loads((whole / OLD).read_bytes())["version"] == "1.0.0"
