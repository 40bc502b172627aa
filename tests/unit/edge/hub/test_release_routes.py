"""Releases as devices get them: signed bytes, archives in ranges, canaries, and what halts them."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.support.bundles import write_sum
from tests.support.hubs import OUTBOX, HubClient, RunningHub

from fivefold.core.errors import BundleInvalid, NotFound, ProtocolError, RunFailed
from fivefold.edge.hub import release_shelf
from fivefold.edge.hub.database import HubDatabase
from fivefold.edge.hub.device_register import add_device
from fivefold.edge.updates.channels import bucket
from fivefold.edge.updates.descriptor import SignedRelease, make_release, sign_release, verify_release

KEY = Ed25519PrivateKey.generate()


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(write_sum(tmp_path_factory.mktemp("release") / "sum").path)


def released(bundle: Path, number: int) -> tuple[SignedRelease, bytes]:
    descriptor, archive = make_release(bundle, release=number, chunk_bytes=1024)
    return sign_release(descriptor, KEY), archive


def put(database: HubDatabase, bundle: Path, number: int, channel: str = "stable", share: int = 100) -> SignedRelease:
    signed, archive = released(bundle, number)
    with database.transaction() as connection:
        release_shelf.put_release(connection, signed, archive, channel, share)  # type: ignore[arg-type]
    return signed


def report(client: HubClient, signed: SignedRelease, state: str) -> None:
    about = signed.descriptor
    model = {
        "name": about.model,
        "version": about.version,
        "digest": about.digest,
        "release": about.release,
        "state": state,
        "reason": "it broke",
    }
    said = {"outbox": OUTBOX, "backlog": {}, "oldest": None, "software": "x", "models": [model]}
    assert client.http.put(f"/v1/edge/{client.device}/report", json=said).status_code == 204


def models(client: HubClient) -> list[int]:
    found = client.http.get(f"/v1/edge/{client.device}/models").raise_for_status().json()["models"]
    return [each["release"] for each in found]


def test_a_device_gets_what_was_signed(hub: RunningHub, bundle: Path) -> None:
    """The very bytes, which its publisher's key verifies, and the archive chunk by chunk."""
    put(hub.database, bundle, 1)
    device = hub.device("a")

    answer = device.http.get("/v1/edge/a/models")
    (offer,) = answer.json()["models"]
    verified = verify_release(
        base64.b64decode(offer["descriptor"]), base64.b64decode(offer["signature"]), [KEY.public_key()]
    )
    about = verified.descriptor.archive
    path = f"/v1/edge/a/archives/{about.sha256}"
    parts = []
    for at in range(len(about.chunks)):
        first = at * about.chunk_bytes
        part = device.http.get(path, headers={"range": f"bytes={first}-{first + about.chunk_bytes - 1}"})
        assert part.status_code == 206
        assert part.headers["content-range"].startswith(f"bytes {first}-")
        parts.append(part.content)

    assert [hashlib.sha256(part).hexdigest() for part in parts] == list(about.chunks)
    assert hashlib.sha256(b"".join(parts)).hexdigest() == about.sha256
    assert device.http.get(path).content == b"".join(parts)
    assert device.http.get(path, headers={"range": "bytes=700-1500"}).content == b"".join(parts)[700:1501]
    known = device.http.get("/v1/edge/a/models", headers={"if-none-match": answer.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")


@pytest.mark.parametrize(
    ("sha256", "range", "status"),
    [
        ("0" * 64, "", 404),
        ("x", "", 400),
        (None, "bytes=99999999-", 416),
        (None, "bytes=1-2,4-5", 400),
        (None, "rows=1-2", 400),
    ],
)
def test_ranges_that_are_none(hub: RunningHub, bundle: Path, sha256: str | None, range: str, status: int) -> None:
    """Each has its status."""
    signed = put(hub.database, bundle, 1)
    device = hub.device("a")
    path = f"/v1/edge/a/archives/{sha256 or signed.descriptor.archive.sha256}"

    assert device.http.get(path, headers={"range": range} if range else {}).status_code == status


def test_canaries_try_first_and_halt_what_goes_back(hub: RunningHub, bundle: Path) -> None:
    """Only they are offered it; one that goes back halts it, and the others keep what is stable."""
    stable, model = put(hub.database, bundle, 1), released(bundle, 1)[0].descriptor.model
    names = [f"d{each}" for each in range(200)]
    inside = next(name for name in names if bucket(name, model, 2) < 10)
    outside = next(name for name in names if bucket(name, model, 2) >= 10)
    canary, other = hub.device(inside), hub.device(outside)
    trial = put(hub.database, bundle, 2, "canary", 10)

    assert (models(canary), models(other)) == ([2], [1])
    report(other, trial, "rolled_back")
    assert models(canary) == [2]
    report(canary, trial, "rolled_back")
    assert (models(canary), models(other)) == ([1], [1])
    shown = httpx.get(f"{hub.url}/v1/hub/overview").json()["releases"][0]
    assert (shown["release"], shown["halted"], shown["devices"]) == (2, "1 of 1 canaries went back", {"rolled_back": 1})
    report(other, stable, "active")

    with hub.database.transaction() as connection:
        release_shelf.resume_release(connection, model, 2)
    assert models(canary) == [2]
    with hub.database.transaction() as connection:
        release_shelf.promote_release(connection, model, 2)
    assert (models(canary), models(other)) == ([2], [2])
    with hub.database.transaction() as connection:
        release_shelf.halt_release(connection, model, 2, "by hand")
    assert models(canary) == [1]
    assert canary.http.get(f"/v1/edge/{inside}/archives/{trial.descriptor.archive.sha256}").status_code == 200


def test_the_shelf_on_each_store(database: HubDatabase, bundle: Path) -> None:
    """Numbers rise, archives are the release's, and what is not there is told."""
    signed = put(database, bundle, 3)
    model = signed.descriptor.model
    with database.transaction() as connection:
        add_device(connection, "a")
        assert release_shelf.next_number(connection, model) == 4
        again, archive = released(bundle, 3)
        with pytest.raises(ProtocolError, match="does not rise"):
            release_shelf.put_release(connection, again, archive)
        with pytest.raises(BundleInvalid, match="not the one"):
            release_shelf.put_release(connection, released(bundle, 4)[0], archive + b"\0")
        with pytest.raises(NotFound, match="no release 9"):
            release_shelf.halt_release(connection, model, 9, "")
        with pytest.raises(RunFailed, match="not halted"):
            release_shelf.resume_release(connection, model, 3)
        (offered,) = release_shelf.releases_for(connection, "a")
        assert (offered.descriptor, offered.signature) == (signed.raw, signed.signature)
        whole = release_shelf.archive_bytes(connection, again.descriptor.archive.sha256, 0, len(archive))
        assert whole == archive
        part = release_shelf.archive_bytes(connection, again.descriptor.archive.sha256, 1000, 1030)
        assert part == archive[1000:1030]
