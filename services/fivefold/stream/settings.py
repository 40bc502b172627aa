"""The settings of a stream worker: one frozen class, checked when it is built.

Reading them from variables and arguments is core's (`fivefold.core.settings.read`); Kafka's own are `kafka_settings`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from fivefold.core.settings import SettingsError, address
from fivefold.stream.event_formats import RESULT_FORMATS

STARTS = ("earliest", "latest")


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSettings:
    """What a worker needs beside its bundle and its topics; times in seconds. Raises `SettingsError`."""

    group: str = "fivefold"
    """The consumer group: workers of one group share the events, each event is one member's."""

    slot: str = ""
    """This worker's name in a Kafka group, the same after a restart; empty: the first that is free on this machine."""

    start: str = "earliest"
    """Where a group that has never committed begins: `earliest` or `latest`."""

    max_batch: int = 10_000
    """Events that are scored and committed together at most."""

    linger: float = 0.005
    """How long a batch may wait for more events once it has one."""

    max_bad_fraction: float = 0.05
    """The worker stops where more of the last `bad_window` events became dead letters: then it is hardly the events."""

    bad_window: int = 1000
    """Events that `max_bad_fraction` is judged over; fewer are not judged."""

    same_partition: bool = True
    """Write a result to the partition that its event had; otherwise its key chooses."""

    result_format: str = "same"
    """How results are written: `same` as their events, `json`, `cloudevents` (with JSON), `avro`."""

    accept_contract_change: bool = False
    """Begin although results are of a contract version that the bundle does not answer."""

    health: str = ""
    """HOST:PORT of health and metrics; empty: none."""

    stall_seconds: float = 300.0
    """A worker that has not come back from scoring for so long says at `/livez` that it is not alive."""

    def __post_init__(self) -> None:
        if not self.group or len(self.group) > 200 or not self.group.isprintable():
            raise SettingsError(f"group: expected 1 to 200 printable characters, got {self.group!r}")
        if self.start not in STARTS:
            raise SettingsError(f"start: expected one of {', '.join(STARTS)}, got {self.start!r}")
        if self.result_format not in RESULT_FORMATS:
            raise SettingsError(
                f"result_format: expected one of {', '.join(RESULT_FORMATS)}, got {self.result_format!r}"
            )
        if self.health:
            address(self.health, "health")
        if not isfinite(self.max_bad_fraction) or not 0 <= self.max_bad_fraction <= 1:
            raise SettingsError(f"max_bad_fraction: expected 0 to 1, got {self.max_bad_fraction}")
        at_least = {"max_batch": 1, "linger": 0, "bad_window": 1, "stall_seconds": 1}
        for name, low in at_least.items():
            value = getattr(self, name)
            if not isfinite(value) or value < low:
                raise SettingsError(f"{name}: expected at least {low}, got {value}")
