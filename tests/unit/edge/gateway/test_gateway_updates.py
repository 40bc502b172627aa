from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.support.bundles import write_sum
from tests.support.releases import PUBLISHER, released

from fivefold.cli import main
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import BundleInvalid, NotFound, RunFailed
from fivefold.core.settings import SettingsError
from fivefold.delivery.settings import DeliverySettings
from fivefold.edge.gateway.gateway_settings import GatewaySettings
from fivefold.edge.gateway.gateway_updates import GatewayUpdates, device_updater


@pytest.fixture
def key(tmp_path: Path) -> str:
    path = tmp_path / "publisher.pem"
    path.write_bytes(PUBLISHER.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return str(path)


def gateway(tmp_path: Path, key: str, *references: Path, **given: Any) -> GatewayUpdates:
    """What a gateway begins with when it starts."""
    settings = GatewaySettings(data=str(tmp_path / "data"), update_keys=(key,), **given)
    return GatewayUpdates([str(each) for each in references], settings, DeliverySettings())


def versions(updates: GatewayUpdates) -> list[str]:
    return [Bundle.open(path).version for path in updates.models()]


def test_a_stick_is_told_neither_keys_nor_models(tmp_path: Path, key: str, capsys: pytest.CaptureFixture[str]) -> None:
    write_sum(tmp_path / "initial", version="0")
    stick = released(tmp_path / "1", 1)
    command = ["gateway", "update", "--from", str(stick), "--data", str(tmp_path / "data")]

    assert main(command) == 3
    assert "no gateway in" in capsys.readouterr().err
    assert versions(gateway(tmp_path, key, tmp_path / "initial")) == ["0"]
    assert main(command) == 0
    assert "demo release 1: taken, on trial" in capsys.readouterr().out
    assert versions(gateway(tmp_path, key, tmp_path / "initial")) == ["1"]
    assert main(command) == 3
    assert "is not newer" in capsys.readouterr().err


def test_a_release_that_the_gateway_cannot_open_goes_back_before_the_next_try(tmp_path: Path, key: str) -> None:
    write_sum(tmp_path / "initial", version="0")
    gateway(tmp_path, key, tmp_path / "initial")
    device_updater(tmp_path / "data").install_from(released(tmp_path / "1", 1))
    updates = gateway(tmp_path, key, tmp_path / "initial")

    assert versions(updates) == ["1"]
    assert not updates.gone_back(RunFailed("storage_failed", "no disk"))
    assert updates.gone_back(BundleInvalid("no such operator"))
    assert versions(updates) == ["0"]
    assert not updates.gone_back(BundleInvalid("nor this"))
    assert [(each.release, each.state) for each in updates.status().models] == [(0, "active"), (1, "rolled_back")]
    assert updates.status().counts == {("demo", "rolled_back"): 1}


def test_a_release_serves_without_the_bundle_that_it_replaced(tmp_path: Path, key: str) -> None:
    write_sum(tmp_path / "initial", version="0")
    gateway(tmp_path, key, tmp_path / "initial")
    shutil.move(tmp_path / "initial", tmp_path / "gone")
    with pytest.raises(BundleInvalid):
        gateway(tmp_path, key, tmp_path / "initial")
    shutil.move(tmp_path / "gone", tmp_path / "initial")
    device_updater(tmp_path / "data").install_from(released(tmp_path / "1", 1))
    shutil.rmtree(tmp_path / "initial")

    assert versions(gateway(tmp_path, key, tmp_path / "initial")) == ["1"]


def test_two_versions_of_a_model_cannot_both_be_replaced(tmp_path: Path, key: str) -> None:
    for version in ("0", "1"):
        write_sum(tmp_path / version, version=version)

    with pytest.raises(SettingsError, match="one version of 'demo'"):
        gateway(tmp_path, key, tmp_path / "0", tmp_path / "1")


def test_what_is_no_key_is_told(tmp_path: Path, key: str) -> None:
    write_sum(tmp_path / "initial")
    for text in ("no key", Path(key).read_text().replace("PUBLIC", "PRIVATE")):
        (tmp_path / "other.pem").write_text(text)
        with pytest.raises(BundleInvalid, match="public key"):
            gateway(tmp_path, str(tmp_path / "other.pem"), tmp_path / "initial")
    with pytest.raises(NotFound):
        device_updater(tmp_path / "data")
