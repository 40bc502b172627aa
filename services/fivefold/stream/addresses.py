"""Addresses of topics: `local://TOPIC` in a directory of this machine, `kafka://HOST:PORT[,HOST:PORT…]/TOPIC`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fivefold.core.settings import SettingsError, address

_TOPIC = re.compile(r"[A-Za-z0-9._\-]{1,249}")


@dataclass(frozen=True, slots=True)
class TopicAddress:
    """A topic and where it is: `servers` are a Kafka cluster's, and none for the local log."""

    topic: str
    servers: tuple[str, ...] = ()

    @property
    def is_local(self) -> bool:
        """Whether it is in a directory of this machine."""
        return not self.servers

    @classmethod
    def parse(cls, text: str, name: str) -> TopicAddress:
        """Read an address; raises `SettingsError` that begins with `name`."""
        scheme, separator, rest = text.partition("://")
        if not separator or scheme not in ("local", "kafka"):
            raise SettingsError(f"{name}: expected local://TOPIC or kafka://HOST:PORT/TOPIC, got {text!r}")
        servers: tuple[str, ...] = ()
        topic = rest
        if scheme == "kafka":
            hosts, separator, topic = rest.partition("/")
            if "@" in hosts:
                raise SettingsError(
                    f"{name}: expected no credentials in an address; give FIVEFOLD_KAFKA_USERNAME and a file with the "
                    f"password (FIVEFOLD_KAFKA_PASSWORD_FILE)"
                )
            servers = tuple(hosts.split(","))
            for each in servers:
                address(each, name)
        if not is_topic(topic):
            raise SettingsError(
                f"{name}: expected a topic of letters, digits, '.', '_' and '-', at most 249 of them, got {topic!r}"
            )
        return cls(topic, servers)

    def __str__(self) -> str:
        return f"local://{self.topic}" if self.is_local else f"kafka://{','.join(self.servers)}/{self.topic}"


def is_topic(text: str) -> bool:
    """Whether Kafka would take it as a topic's name; the local log takes the same."""
    return _TOPIC.fullmatch(text) is not None and text not in (".", "..")
