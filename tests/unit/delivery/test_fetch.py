"""From a reference to a verified bundle, over a real server that fails in every way."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import tarfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.bundle_server import Shelf
from tests.support.bundles import write_python
from tests.support.serve_process import SERVICES
from tests.unit.delivery.conftest import Packed

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import BundleInvalid, Interrupted, Unavailable
from fivefold.delivery import download
from fivefold.delivery.fetch import fetch, fetch_to
from fivefold.delivery.settings import DeliverySettings


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between attempts."""
    monkeypatch.setattr(download, "FIRST_PAUSE", 0.001)


def names(directory: Path) -> list[str]:
    """What lies in a directory, hidden files too."""
    return sorted(path.name for path in directory.iterdir()) if directory.exists() else []


def test_a_bundle_is_downloaded_once(
    server: Shelf, reference: str, packed: Packed, settings: DeliverySettings, cache: Path
) -> None:
    """And taken from the cache afterwards, where it lies by its digest and nothing else does."""
    bundles = [fetch(reference, settings) for _ in range(3)]

    assert {bundle.digest for bundle in bundles} == {packed.digest}
    assert {bundle.path for bundle in bundles} == {cache / f"{packed.digest}.tar"}
    assert server.asked == ["/sum.tar"]
    assert names(cache) == [f"{packed.digest}.tar"]
    assert (cache / f"{packed.digest}.tar").read_bytes() == packed.tar


def test_a_signed_url_is_asked_for_as_it_stands(server: Shelf, packed: Packed, settings: DeliverySettings) -> None:
    """Escapes and order are part of what was signed."""
    server.files["/a b/sum.tar"] = packed.tar
    fetch(f"{server.url}/a%20b/sum.tar?X-Sig=a%2Fb%3D&n=1#sha256={packed.digest}", settings)

    assert server.asked == ["/a%20b/sum.tar?X-Sig=a%2Fb%3D&n=1"]


@pytest.mark.parametrize(
    "troubles", [["503"], ["429", "408"], ["500", "502", "503"], ["break"], ["break", "503", "break"]]
)
def test_what_passes_is_tried_again(
    server: Shelf, reference: str, packed: Packed, settings: DeliverySettings, troubles: list[str]
) -> None:
    """Server errors, a server that asks for patience, and bodies that break off."""
    server.troubles[:] = troubles

    assert fetch(reference, settings).digest == packed.digest
    assert len(server.asked) == len(troubles) + 1


def test_a_server_that_cannot_resume_is_asked_for_the_whole(
    server: Shelf, reference: str, packed: Packed, settings: DeliverySettings, cache: Path
) -> None:
    """A body's second half behind another first half would be nobody's bundle."""
    server.etag = '"1"'
    server.troubles[:] = ["break"]

    assert fetch(reference, settings).digest == packed.digest
    assert (cache / f"{packed.digest}.tar").read_bytes() == packed.tar


@pytest.mark.parametrize(
    ("trouble", "error"),
    [("404", "no such object"), ("403", "access is denied"), ("401", "access is denied"), ("410", "410 Gone")],
)
def test_what_does_not_pass_is_not(
    server: Shelf, reference: str, settings: DeliverySettings, cache: Path, trouble: str, error: str
) -> None:
    """One request, and an error that names the place."""
    server.troubles[:] = [trouble] * 20
    with pytest.raises(BundleInvalid, match=error) as refused:
        fetch(f"{reference.replace('#', '?signature=secret#')}", settings)

    assert f"{server.url}/sum.tar" in refused.value.message
    assert "secret" not in str(refused.value) + str(refused.value.help)
    assert len(server.asked) == 1
    assert names(cache) == []


@pytest.mark.parametrize("trouble", ["503", "429", "break"])
def test_trying_again_has_an_end(
    server: Shelf, reference: str, settings: DeliverySettings, cache: Path, trouble: str
) -> None:
    """The error is the one that says that later may be better, and nothing is left."""
    server.troubles[:] = [trouble] * 100
    with pytest.raises(Unavailable) as refused:
        fetch(f"{reference.replace('#', '?signature=secret#')}", settings)

    assert refused.value.code == "not_ready"
    assert "secret" not in str(refused.value)
    assert len(server.asked) == download.ATTEMPTS
    assert names(cache) == []


def test_nobody_there(packed: Packed, settings: DeliverySettings, cache: Path) -> None:
    """A port where nothing listens is `not_ready`."""
    with pytest.raises(Unavailable, match="cannot be downloaded"):
        fetch(f"http://127.0.0.1:1/sum.tar#sha256={packed.digest}", settings)

    assert names(cache) == []


def test_a_slow_server_is_given_up(server: Shelf, reference: str, settings: DeliverySettings, cache: Path) -> None:
    """At `bundle_timeout`, even in the middle of a body."""
    server.troubles[:] = ["stall"] * 10
    with pytest.raises(Interrupted) as refused:
        fetch(reference, replace(settings, bundle_timeout=0.5))

    assert refused.value.code == "deadline_exceeded"
    assert "FIVEFOLD_BUNDLE_TIMEOUT" in str(refused.value.help)
    assert names(cache) == []


def test_an_object_that_is_too_large_is_refused(
    server: Shelf, reference: str, settings: DeliverySettings, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its announced length, before anything is written."""
    monkeypatch.setattr("fivefold.delivery.fetch.capacity", lambda limit: limit)
    with pytest.raises(BundleInvalid, match="expected at most 1,024 bytes, got"):
        fetch(reference, replace(settings, bundle_max_bytes=1024))

    assert names(cache) == []


def test_a_bundle_that_is_too_large_is_refused(reference: str, settings: DeliverySettings, cache: Path) -> None:
    """By its files' sizes, where the archive itself still fits."""
    with pytest.raises(BundleInvalid, match="more than 1,024"):
        fetch(reference, replace(settings, bundle_max_bytes=1024))

    assert names(cache) == []


def test_another_bundle_never_comes_through(
    server: Shelf, packed: Packed, settings: DeliverySettings, cache: Path
) -> None:
    """Nor does it lie in the cache afterwards; the error says which digest is meant."""
    with pytest.raises(BundleInvalid, match=f"expected the bundle {'0' * 64}, got {packed.digest} .demo@1.") as refused:
        fetch(server.put("/sum.tar", packed.tar, "0" * 64), settings)

    assert "not of the .tar" in str(refused.value.help)
    assert names(cache) == []


def hostile(name: str, **member: Any) -> bytes:
    """A tar with one member that no bundle has."""
    import io

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        info = tarfile.TarInfo(name)
        for key, value in member.items():
            setattr(info, key, value)
        tar.addfile(info)
    return out.getvalue()


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", "ends too early"),
        (b"<html>Sign in</html>" * 100, "damaged"),
        (b"\x1f\x8b" + bytes(2000), "compressed"),
        (hostile("../../etc/passwd"), "bundle.json"),
        (hostile("model.onnx", type=tarfile.SYMTYPE, linkname="/etc/passwd"), "symbolic link"),
        (hostile("model.onnx", type=tarfile.LNKTYPE, linkname="bundle.json"), "hard link"),
    ],
)
def test_what_is_no_bundle_is_refused(
    server: Shelf, packed: Packed, settings: DeliverySettings, cache: Path, tmp_path: Path, body: bytes, error: str
) -> None:
    """Truncated, a login page, compressed, hostile: each is refused with its place, and writes nothing anywhere."""
    with pytest.raises(BundleInvalid, match=error) as refused:
        fetch(server.put("/x.tar", body, packed.digest), settings)

    assert f"{server.url}/x.tar" in refused.value.message
    assert ".part" not in str(refused.value)
    assert names(cache) == []
    assert names(tmp_path) == ["cache"]


def test_a_truncated_archive_is_refused(server: Shelf, packed: Packed, settings: DeliverySettings, cache: Path) -> None:
    """As a server gives it that has half of the file."""
    with pytest.raises(BundleInvalid, match="ends"):
        fetch(server.put("/x.tar", packed.tar[: len(packed.tar) // 2], packed.digest), settings)

    assert names(cache) == []


def test_a_damaged_entry_is_fetched_anew(
    server: Shelf, reference: str, packed: Packed, settings: DeliverySettings
) -> None:
    """The cache is verified like everything else."""
    entry = fetch(reference, settings).path
    data = bytearray(packed.tar)
    data[len(data) // 2] ^= 1
    entry.write_bytes(data)

    assert fetch(reference, settings).digest == packed.digest
    assert entry.read_bytes() == packed.tar
    assert len(server.asked) == 2


def test_signatures_are_asked_for_where_keys_are_trusted(
    server: Shelf, reference: str, packed: Packed, settings: DeliverySettings
) -> None:
    """An entry that was fine without keys is fetched anew; unsigned, it is refused and the entry stays as it was."""
    entry = fetch(reference, settings).path
    trusting = replace(settings, trusted_keys=(str(packed.key),))
    with pytest.raises(BundleInvalid, match="not signed"):
        fetch(reference, trusting)
    assert entry.read_bytes() == packed.tar

    server.files["/sum.tar"] = packed.signed
    bundle = fetch(reference, trusting)

    assert bundle.signer
    assert entry.read_bytes() == packed.signed


def test_http_to_other_machines_has_to_be_allowed(packed: Packed, settings: DeliverySettings) -> None:
    """The digest proves the bytes, but the model would be read on the way."""
    reference = f"http://bundles.invalid/sum.tar#sha256={packed.digest}"
    with pytest.raises(BundleInvalid, match="http to another machine") as refused:
        fetch(reference, settings)
    assert "FIVEFOLD_BUNDLE_HTTP" in str(refused.value.help)

    with pytest.raises(Unavailable):
        fetch(reference, replace(settings, bundle_http=True))


def test_a_download_can_be_ended(server: Shelf, reference: str, settings: DeliverySettings, cache: Path) -> None:
    """By what the caller's check raises, and nothing is left."""

    class Stopped(Exception):
        pass

    def check() -> None:
        raise Stopped

    with pytest.raises(Stopped):
        fetch(reference, settings, check=check)

    assert names(cache) == []


@pytest.mark.parametrize("form", ["{}", "{}.tar", "file://{}", "file://{}.tar"])
def test_bundles_on_this_machine_are_opened_where_they_are(
    packed: Packed, tmp_path: Path, settings: DeliverySettings, cache: Path, form: str
) -> None:
    """With or without a digest, and never through the cache."""
    Bundle.open(packed.directory).copy(tmp_path / "sum")
    Bundle.open(packed.directory).archive(tmp_path / "sum.tar")
    reference = form.format(tmp_path / "sum")

    assert fetch(reference, settings).digest == packed.digest
    assert fetch(f"{reference}#sha256={packed.digest}", settings).digest == packed.digest
    with pytest.raises(BundleInvalid, match="expected the bundle"):
        fetch(f"{reference}#sha256={'0' * 64}", settings)
    with pytest.raises(BundleInvalid, match="not signed"):
        fetch(reference, replace(settings, trusted_keys=(str(packed.key),)))
    assert not cache.exists()


def test_a_cache_that_cannot_be_made_is_named(
    server: Shelf, reference: str, tmp_path: Path, settings: DeliverySettings
) -> None:
    """With the variable that names another one."""
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleInvalid, match="cannot write to") as refused:
        fetch(reference, replace(settings, bundle_cache=str(tmp_path / "file" / "cache")))

    assert "FIVEFOLD_BUNDLE_CACHE" in str(refused.value.help)
    assert server.asked == []


def _fetch(reference: str, cache: str, out: Any) -> None:
    out.put(fetch(reference, DeliverySettings(bundle_cache=cache, bundle_timeout=60)).digest)


@pytest.mark.full
def test_processes_that_fetch_at_once_download_once(server: Shelf, reference: str, packed: Packed, cache: Path) -> None:
    """The others wait for the first, as the replicas of one machine do."""
    server.troubles[:] = ["stall"]
    context = multiprocessing.get_context("spawn")
    out = context.Queue()
    processes = [context.Process(target=_fetch, args=(reference, str(cache), out)) for _ in range(3)]
    for process in processes:
        process.start()
    assert server.stalled.wait(60)
    server.go_on.set()
    digests = [out.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)

    assert digests == [packed.digest] * 3
    assert server.asked == ["/sum.tar"]
    assert names(cache) == [f"{packed.digest}.tar"]


def test_whoever_waits_has_a_deadline_too(server: Shelf, reference: str, settings: DeliverySettings) -> None:
    """A process that hangs with the lock does not hang the others."""
    server.troubles[:] = ["stall"]
    first = threading.Thread(target=fetch, args=(reference, settings))
    first.start()
    assert server.stalled.wait(60)
    with pytest.raises(Unavailable, match="another process is still filling"):
        fetch(reference, replace(settings, bundle_timeout=0.1))
    server.go_on.set()
    first.join(60)


_PROGRAM = """
import sys
from fivefold.delivery.fetch import fetch
from fivefold.delivery.settings import DeliverySettings
fetch(sys.argv[1], DeliverySettings(bundle_cache=sys.argv[2]))
"""


def test_a_killed_download_is_taken_over(
    server: Shelf, reference: str, packed: Packed, settings: DeliverySettings, cache: Path
) -> None:
    """What it left is neither served nor left behind."""
    server.troubles[:] = ["stall"]
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, reference, str(cache)], env=os.environ | {"PYTHONPATH": str(SERVICES)}
    )
    assert server.stalled.wait(60)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    assert names(cache) == [f".{packed.digest}.part"]

    assert fetch(reference, settings).digest == packed.digest
    assert names(cache) == [f"{packed.digest}.tar"]


def test_writing_to_a_directory(server: Shelf, reference: str, packed: Packed, tmp_path: Path) -> None:
    """All of the bundle and nothing beside it; again, nothing is asked for."""
    target = tmp_path / "models" / "sum"
    bundle = fetch_to(reference, target)

    assert (bundle.path, bundle.digest) == (target, packed.digest)
    assert Bundle.open(target).digest == packed.digest
    assert names(tmp_path / "models") == ["sum"]
    assert fetch_to(reference, target).digest == packed.digest
    assert len(server.asked) == 1


def test_writing_keeps_the_signature_and_replaces_another_bundle(server: Shelf, packed: Packed, tmp_path: Path) -> None:
    """The same directory follows the reference."""
    target = tmp_path / "sum"
    write_python(target)
    trusting = DeliverySettings(trusted_keys=(str(packed.key),))
    fetch_to(server.put("/sum.tar", packed.signed, packed.digest), target, trusting)

    assert Bundle.open(target, public_keys=[packed.key]).digest == packed.digest


def test_writing_fails_without_a_trace(server: Shelf, packed: Packed, tmp_path: Path) -> None:
    """A wrong digest leaves the bundle that stands there; a directory of something else is left alone."""
    target = tmp_path / "sum"
    before = write_python(target).digest
    with pytest.raises(BundleInvalid):
        fetch_to(server.put("/sum.tar", packed.tar, "0" * 64), target)
    assert Bundle.open(target).digest == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "precious").write_text("")
    with pytest.raises(BundleInvalid, match="something other than a bundle"):
        fetch_to(server.put("/sum.tar", packed.tar, packed.digest), tmp_path / "other")

    assert names(tmp_path) == ["other", "sum"]


def test_writing_copies_a_directory_of_this_machine(packed: Packed, tmp_path: Path) -> None:
    """As an init container does that takes a bundle out of an image."""
    fetch_to(str(packed.directory), tmp_path / "sum")
    fetch_to(f"file://{packed.directory}#sha256={packed.digest}", tmp_path / "sum")

    assert Bundle.open(tmp_path / "sum").digest == packed.digest
    assert names(tmp_path) == ["sum"]
