"""The settings of a gateway: what answers here, what it keeps, whom it tells.

Reading them from variables and arguments is core's (`fivefold.core.settings.read`); acting on them is left to the
process.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from fivefold.core import redact
from fivefold.core.settings import SettingsError, is_loopback
from fivefold.edge.sync.lane_protocol import DEVICE_ID
from fivefold.serving.limits import ServingLimits, check_least

POLICIES: Final = ("reject_new", "drop_oldest")

MQTT_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings(ServingLimits):
    """What a gateway needs beside its bundles; sizes in bytes, times in seconds. Raises `SettingsError`."""

    data: str = ""
    """The directory that holds the outbox; one gateway at a time works in it."""

    quota_bytes: int = 1024 * 1024 * 1024
    """What may wait in the outbox."""

    when_full: str = "reject_new"
    """What happens at the quota: `reject_new` refuses what comes (`storage_failed`), `drop_oldest` forgets what waits
    longest and leaves a gap record in its place."""

    store_refusals: bool = True
    """Keep refused requests too, as events of their own kind."""

    allow_unstored: bool = False
    """Let callers ask without an event being kept (`x-fivefold-store: none`)."""

    hub: str = ""
    """The hub's URL; empty: nothing is sent, everything waits."""

    device: str = ""
    """This device's id at the hub."""

    hub_key_file: str = ""
    """A file that holds this device's key, and nothing else."""

    hub_bandwidth: float = 0.0
    """Bytes a second that may be sent to the hub; 0: no limit."""

    hub_ca: str = ""
    """A file of certificates that prove the hub; empty: the system's."""

    hub_http: bool = False
    """Send to a hub on another machine by http://, in the clear."""

    mqtt: str = ""
    """`mqtt://HOST:PORT` or `mqtts://…` of a broker whose messages are requests; empty: none."""

    mqtt_topic: str = "fivefold"
    """Requests come in at TOPIC/MODEL, answers go out at TOPIC/MODEL/result."""

    mqtt_client_id: str = ""
    """Under which name the broker keeps what comes while this gateway is away; empty: one made of the outbox's id."""

    mqtt_user: str = ""
    """The user's name at the broker."""

    mqtt_password_file: str = ""
    """A file that holds the password, and nothing else."""

    mqtt_ca: str = ""
    """A file of certificates that prove the broker; empty: the system's."""

    mqtt_certificate: str = ""
    """A file with this device's certificate for the broker; its key stands in `mqtt_private_key`."""

    mqtt_private_key: str = ""
    """A file with that certificate's key."""

    self_test_seconds: float = 60.0
    """How long loading, testing and measuring one model may take before its bundle is refused."""

    update_keys: tuple[str, ...] = ()
    """Paths of public keys (PEM) whose releases replace the models; none: nothing does."""

    update_interval: float = 60.0
    """Seconds between two looks for releases at the hub."""

    accept_contract_change: tuple[str, ...] = ()
    """Names of models whose releases may answer less than their callers ask now."""

    def __post_init__(self) -> None:
        # A class with slots is made twice, so `super()` would not find itself.
        ServingLimits.__post_init__(self)
        check_least(
            self, {"quota_bytes": 1024 * 1024, "hub_bandwidth": 0, "self_test_seconds": 0.1, "update_interval": 1}
        )
        if not self.data:
            raise SettingsError("data: expected a directory for the outbox, got none")
        if self.when_full not in POLICIES:
            raise SettingsError(f"when_full: expected {' or '.join(POLICIES)}, got {self.when_full!r}")
        if self.record:
            raise SettingsError("record: a gateway keeps all that it answers in its outbox, and records nothing beside")
        if self.hub and not (self.device and self.hub_key_file):
            raise SettingsError("hub: expected the device's id and its key's file beside the hub's URL")
        if self.device and not DEVICE_ID.match(self.device):
            raise SettingsError(
                f"device: expected lower-case letters, digits, '.', '_' and '-', at most 63, got {self.device[:80]!r}"
            )
        if self.mqtt:
            self._check_mqtt()

    def _check_mqtt(self) -> None:
        secure, host, _ = mqtt_address(self.mqtt)
        topic = self.mqtt_topic
        if not topic or set(topic) & set("+#\0") or topic.startswith("$") or "" in topic.split("/"):
            raise SettingsError(f"mqtt_topic: expected a topic such as site/fivefold, got {topic!r}")
        if bool(self.mqtt_user) != bool(self.mqtt_password_file):
            raise SettingsError("mqtt_user: expected a user and a password file, got one of them")
        if bool(self.mqtt_certificate) != bool(self.mqtt_private_key):
            raise SettingsError("mqtt_certificate: expected a certificate and its private key, got one of them")
        if not secure and (self.mqtt_ca or self.mqtt_certificate):
            raise SettingsError("mqtt: certificates mean something to mqtts:// alone")
        if not secure and self.mqtt_password_file and not is_loopback(host):
            raise SettingsError("mqtt: the password would go to another machine in the clear; use mqtts://")


def mqtt_address(url: str) -> tuple[bool, str, int]:
    """Whether it is TLS, the host and the port of a broker's URL; raises `SettingsError`."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = None, None, None
    if parts is None or parts.scheme not in MQTT_PORTS or not host or parts.path.strip("/") or parts.query:
        raise SettingsError(f"mqtt: expected mqtt://HOST:PORT or mqtts://HOST:PORT, got {redact.address(url)!r}")
    if "@" in parts.netloc:
        raise SettingsError("mqtt: expected a URL without user and password: give --mqtt-user and a password file")
    return parts.scheme == "mqtts", host, port or MQTT_PORTS[parts.scheme]


def read_secret(path: str, name: str) -> str:
    """A file's one line. Raises `SettingsError` where it cannot be read, holds none, or others may read it."""
    try:
        with Path(path).open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(4097).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise SettingsError(f"{name}: {path} cannot be read ({why})") from None
    if mode & 0o007:
        raise SettingsError(f"{name}: everybody on this machine may read {path}; chmod 600 it")
    if not text or len(text) > 4096 or "\n" in text:
        raise SettingsError(f"{name}: expected one line in {path}")
    return text
