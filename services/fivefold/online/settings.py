"""The settings of online serving: what each process that answers needs, and how many of them Ray Serve keeps.

Reading them from variables and arguments is core's (`fivefold.core.settings.read`); acting on them is left to the
deployment and to `fivefold serve`.
"""

from __future__ import annotations

from dataclasses import dataclass

from fivefold.serving.limits import ServingLimits, check_least


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineSettings(ServingLimits):
    """What an online server needs beside its bundles; sizes in bytes, times in seconds. Raises `SettingsError`."""

    self_test_seconds: float = 60.0
    """How long loading, testing and measuring one model may take before its bundle is refused."""

    min_replicas: int = 1
    """Replicas kept when idle (Ray Serve)."""

    max_replicas: int = 1
    """Replicas at most (Ray Serve)."""

    target_ongoing_requests: float = 16.0
    """Ongoing requests a replica that autoscaling aims for (Ray Serve)."""

    upscale_delay: float = 5.0
    """How long the load must be high before a replica is added."""

    downscale_delay: float = 300.0
    """How long the load must be low before a replica is removed."""

    max_queued_requests: int = 512
    """Ray's own backstop behind `max_inflight`."""

    def __post_init__(self) -> None:
        # A class with slots is made twice, so `super()` would not find itself.
        ServingLimits.__post_init__(self)
        at_least = {
            "self_test_seconds": 0.1,
            "min_replicas": 1,
            "max_replicas": self.min_replicas,
            "target_ongoing_requests": 0.1,
            "upscale_delay": 0,
            "downscale_delay": 0,
            "max_queued_requests": 1,
        }
        check_least(self, at_least)
