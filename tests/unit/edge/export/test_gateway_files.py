"""What is carried to a device: bundles as they are, and a unit whose command line the command takes."""

from __future__ import annotations

import configparser
import shlex
from pathlib import Path

import pytest
from tests.support.bundles import write_sum

from fivefold.cli import _parser, main
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import BundleInvalid
from fivefold.edge.export import gateway_files


def test_the_directory_is_what_a_device_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The bundle opens where the unit looks for it, and the command takes the unit's words."""
    bundle = write_sum(tmp_path / "sum")

    assert main(["export", "--to", "gateway", "--model", str(tmp_path / "sum"), str(tmp_path / "out")]) == 0
    assert str(tmp_path / "out" / "bundles" / "demo-1") in capsys.readouterr().out
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment]  # systemd's names have capitals
    unit.read_string((tmp_path / "out" / gateway_files.UNIT).read_text())
    words = shlex.split(unit["Service"]["ExecStart"])
    arguments = _parser().parse_args(words[1:])
    (model,) = arguments.model
    assert arguments.data == f"/var/lib/{unit['Service']['StateDirectory']}"
    assert Bundle.open(model.replace(gateway_files.HOME, str(tmp_path / "out"))).digest == bundle.digest
    readme = (tmp_path / "out" / "README.md").read_text()
    (wheel,) = (tmp_path / "out" / "wheels").iterdir()
    assert f"wheels/{wheel.name}[edge]" in readme


def test_every_setting_in_the_file_is_one(tmp_path: Path) -> None:
    """Those that are commented out too."""
    from fivefold.core.settings import read
    from fivefold.edge.gateway.gateway_settings import GatewaySettings

    write_sum(tmp_path / "sum")
    gateway_files.write([tmp_path / "sum"], tmp_path / "out")
    lines = (tmp_path / "out" / gateway_files.SETTINGS).read_text().splitlines()
    given = dict(line.removeprefix("# ").split("=", 1) for line in lines if "FIVEFOLD_" in line and "=" in line)
    settings = read(GatewaySettings, environ=given | {"FIVEFOLD_DATA": "data", "FIVEFOLD_HUB_KEY_FILE": "key"})

    assert settings.quota_bytes == GatewaySettings(data="data").quota_bytes
    assert settings.hub
    assert settings.mqtt


def test_nothing_is_written_over(tmp_path: Path) -> None:
    """The settings there are somebody's."""
    write_sum(tmp_path / "sum")
    gateway_files.write([tmp_path / "sum"], tmp_path / "out")

    with pytest.raises(FileExistsError):
        gateway_files.write([tmp_path / "sum"], tmp_path / "out")


def test_what_is_not_for_gateways_is_refused(tmp_path: Path) -> None:
    """So are two bundles of one name and version."""
    write_sum(tmp_path / "elsewhere", targets=("server",))
    write_sum(tmp_path / "sum")

    with pytest.raises(BundleInvalid, match="not on a gateway"):
        gateway_files.write([tmp_path / "elsewhere"], tmp_path / "out")
    with pytest.raises(BundleInvalid, match="two bundles"):
        gateway_files.write([tmp_path / "sum", tmp_path / "sum"], tmp_path / "out")
