"""What a gateway refuses to start with, and what it reads from files."""

from __future__ import annotations

from pathlib import Path

import pytest

from fivefold.core.settings import SettingsError
from fivefold.edge.gateway.gateway_settings import GatewaySettings, mqtt_address, read_secret

HUB = {"hub": "https://hub.example", "device": "pump-7", "hub_key_file": "key"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"data": ""}, "data"),
        ({"when_full": "wait"}, "when_full"),
        ({"record": "requests.jsonl"}, "record"),
        ({"quota_bytes": 5}, "quota_bytes"),
        ({"hub": "https://hub.example"}, "device's id"),
        (HUB | {"device": "Pump 7"}, "lower-case"),
        ({"mqtt": "http://broker"}, "mqtt://HOST:PORT"),
        ({"mqtt": "mqtt://user:secret@broker"}, "without user and password"),
        ({"mqtt": "mqtt://broker", "mqtt_topic": "a/#"}, "mqtt_topic"),
        ({"mqtt": "mqtt://broker", "mqtt_user": "me"}, "mqtt_user"),
        ({"mqtt": "mqtt://broker", "mqtt_user": "me", "mqtt_password_file": "f"}, "in the clear"),
        ({"mqtt": "mqtt://broker", "mqtt_ca": "ca.pem"}, "mqtts://"),
        ({"mqtt": "mqtts://broker", "mqtt_certificate": "c.pem"}, "mqtt_certificate"),
        ({"http": "0.0.0.0:8000"}, "nobody would be asked"),
    ],
)
def test_what_it_refuses(given: dict[str, object], said: str) -> None:
    """With the name of the setting."""
    with pytest.raises(SettingsError, match=said) as error:
        GatewaySettings(**({"data": "data"} | given))  # type: ignore[arg-type]
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mqtt://broker", (False, "broker", 1883)),
        ("mqtts://broker", (True, "broker", 8883)),
        ("mqtt://[::1]:1884/", (False, "::1", 1884)),
    ],
)
def test_addresses_of_brokers(url: str, expected: tuple[bool, str, int]) -> None:
    assert mqtt_address(url) == expected


def test_a_secret_is_a_file_of_one_line_that_not_everybody_reads(tmp_path: Path) -> None:
    """Neither an empty one nor one that is open to all is taken."""
    path = tmp_path / "key"
    path.write_text("  secret\n")
    path.chmod(0o600)
    assert read_secret(str(path), "key") == "secret"

    path.chmod(0o604)
    with pytest.raises(SettingsError, match="chmod 600"):
        read_secret(str(path), "key")
    path.chmod(0o600)
    path.write_text("two\nlines\n")
    with pytest.raises(SettingsError, match="one line"):
        read_secret(str(path), "key")
    with pytest.raises(SettingsError, match="cannot be read"):
        read_secret(str(tmp_path / "none"), "key")
