"""Bundles from S3, over a real S3 server (versitygw) that checks signatures."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.unit.delivery.conftest import Packed

from fivefold.core.errors import BundleInvalid
from fivefold.delivery.fetch import fetch
from fivefold.delivery.settings import DeliverySettings

ACCESS, SECRET = "someone", "something-secret"


@pytest.fixture(scope="module")
def endpoint(packed: Packed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server whose bucket `models` has the bundle at `a b/sum.tar`."""
    program = os.environ.get("FIVEFOLD_VERSITYGW") or shutil.which("versitygw")
    assert program
    root = tmp_path_factory.mktemp("s3")
    (root / "models" / "a b").mkdir(parents=True)
    (root / "models" / "a b" / "sum.tar").write_bytes(packed.tar)
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{trial.getsockname()[1]}"
    line = [
        program,
        "--access",
        ACCESS,
        "--secret",
        SECRET,
        "--port",
        address,
        "--quiet",
        "posix",
        "--nometa",
        str(root),
    ]
    with (root.parent / "s3.log").open("wb") as log:
        process = subprocess.Popen(line, stdout=log, stderr=log)
    try:
        until_open(address, process)
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(60)


def until_open(address: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until somebody listens."""
    host, port = address.split(":")
    deadline = time.monotonic() + 60
    while True:
        with socket.socket() as trial:
            if trial.connect_ex((host, int(port))) == 0:
                return
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def account(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual variables, and none of the machine's own."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_REGION", "us-east-1")


@pytest.fixture
def settings(settings: DeliverySettings) -> DeliverySettings:
    """The server speaks no https."""
    return replace(settings, bundle_http=True)


def test_a_bundle_from_s3(packed: Packed, settings: DeliverySettings) -> None:
    """Endpoint and credentials come from the environment, and the key stands in the reference as it is."""
    assert fetch(f"s3://models/a b/sum.tar#sha256={packed.digest}", settings).digest == packed.digest


def test_a_wrong_secret_is_told(packed: Packed, settings: DeliverySettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not repeated."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    with pytest.raises(BundleInvalid, match=r"s3://models/a b/sum\.tar: access is denied") as refused:
        fetch(f"s3://models/a b/sum.tar#sha256={packed.digest}", settings)

    assert "AWS_" in str(refused.value.help)
    assert "wrong-secret" not in str(refused.value)


@pytest.mark.parametrize("place", ["models/none.tar", "nowhere/sum.tar"])
def test_an_object_that_is_not_there(packed: Packed, settings: DeliverySettings, place: str) -> None:
    """Nor the bucket."""
    with pytest.raises(BundleInvalid, match="no such object"):
        fetch(f"s3://{place}#sha256={packed.digest}", settings)


def test_an_endpoint_without_https_has_to_be_allowed(packed: Packed, settings: DeliverySettings) -> None:
    """The digest proves the bytes, but the model would be read on the way."""
    with pytest.raises(BundleInvalid, match="endpoint is not https"):
        fetch(f"s3://models/a b/sum.tar#sha256={packed.digest}", replace(settings, bundle_http=False))
