"""What a load test does, as one small description that every transport shares: mix, rate, duration, invalid share.

A `Scenario` says nothing about the model or the address: requests are made from it and a deployment's contract by
`payloads`, and sent by `k6`. It is read from and written to JSON with the names of its fields.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from loadtest.machine.measurement import NotMeasured

REST: Final = ("v1", "v2", "binary")
GRPC: Final = ("grpc", "stream")
TRANSPORTS: Final = (*REST, *GRPC)
NAMES: Final = {
    "v1": "REST, V1 records",
    "v2": "REST, V2 JSON",
    "binary": "REST, V2 binary",
    "grpc": "gRPC, unary",
    "stream": "gRPC, stream",
}
PROFILES: Final = ("smoke", "steady", "sweep", "spike")


class ScenarioInvalid(NotMeasured, ValueError):
    """A description that cannot be run; the sentence names the member."""


@dataclass(frozen=True)
class Scenario:
    """One load test. Requests arrive at their own times whatever the server does (an open model)."""

    profile: str = "smoke"
    """smoke, steady: one constant rate; spike: the rate, then `spike` times the rate, then the rate; sweep: rates up to
    and beyond the highest that meets the service level."""
    rate: float = 50.0
    """Requests a second, all transports together; a message on a stream is one. Sweep: where the search starts."""
    seconds: float = 10.0
    """Length of the measured part; of each step in a sweep."""
    warm_seconds: float = 3.0
    """Length of the part before it, at the same rate, which is not counted."""
    mix: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(REST, 1.0))
    """Transport to its share of the requests: v1, v2, binary, grpc, stream. Shares need not sum to 1."""
    invalid: float = 0.02
    """Share of requests that break the contract, each with the error code that must come back."""
    rows: int = 1
    """Rows of a valid request."""
    conversation: int = 4
    """Messages on one stream: each is sent when the one before it has been answered."""
    spike: float = 4.0
    """How many times the rate the middle third of a spike is."""
    slo_p99_ms: float = 50.0
    """The service level: the largest 99th percentile, in milliseconds from the moment a request was due."""
    slo_errors: float = 0.001
    """The service level: the largest share of wrong, failed or refused answers."""
    timeout_seconds: float = 10.0
    """When a request without an answer counts as failed."""
    in_flight: int = 0
    """Requests that may wait at once before slots are dropped and the run is void; 0 = one second's worth."""
    seed: int = 0
    """Makes the order of requests; the same seed gives the same requests."""

    def __post_init__(self) -> None:
        def refuse(name: str, why: str) -> None:
            raise ScenarioInvalid(f"{name}: {why}, got {getattr(self, name)!r}")

        if self.profile not in PROFILES:
            refuse("profile", f"expected one of {', '.join(PROFILES)}")
        for name in ("rate", "seconds", "slo_p99_ms", "timeout_seconds"):
            if not getattr(self, name) > 0:
                refuse(name, "expected a number above 0")
        for name in ("invalid", "slo_errors"):
            if not 0 <= getattr(self, name) <= 1:
                refuse(name, "expected a share from 0 to 1")
        for name in ("rows", "conversation"):
            if getattr(self, name) < 1:
                refuse(name, "expected at least 1")
        if self.spike <= 1:
            refuse("spike", "expected more than 1")
        if self.warm_seconds < 0 or self.in_flight < 0:
            refuse("warm_seconds" if self.warm_seconds < 0 else "in_flight", "expected at least 0")
        if unknown := [name for name in self.mix if name not in TRANSPORTS]:
            raise ScenarioInvalid(f"mix: no transport {unknown[0]!r}; there are {', '.join(TRANSPORTS)}")
        if min(self.mix.values(), default=0) < 0 or not sum(self.mix.values()) > 0:
            refuse("mix", "expected shares of at least 0, one above 0")

    @classmethod
    def of_profile(cls, profile: str, **given: Any) -> Scenario:
        """A profile's description, with what is given in place of its own values."""
        if profile not in PROFILES:
            raise ScenarioInvalid(f"profile: expected one of {', '.join(PROFILES)}, got {profile!r}")
        return cls(profile=profile, **{**_DEFAULTS[profile], **given})

    @classmethod
    def load(cls, path: Path, **given: Any) -> Scenario:
        """Read a description; members it lacks are its profile's, and `given` replaces both."""
        try:
            data = json.loads(path.read_text())
        except (OSError, ValueError) as err:
            raise ScenarioInvalid(f"{path}: {err}") from err
        if not isinstance(data, dict):
            raise ScenarioInvalid(f"{path}: expected an object")
        known = {item.name for item in dataclasses.fields(cls)}
        if unknown := sorted(set(data) - known):
            raise ScenarioInvalid(f"{path}: no member {unknown[0]!r}; there are {', '.join(sorted(known))}")
        merged = {**data, **given}
        try:
            return cls.of_profile(merged.pop("profile", "smoke"), **merged)
        except (TypeError, AttributeError) as err:
            raise ScenarioInvalid(f"{path}: a member has the wrong type: {err}") from err

    def to_json(self) -> dict[str, Any]:
        """The description as JSON values."""
        return {**dataclasses.asdict(self), "mix": dict(self.shares())}

    def with_(self, **changes: Any) -> Scenario:
        """The description with changes."""
        return dataclasses.replace(self, **changes)

    def shares(self) -> dict[str, float]:
        """The mix summing to 1, in the fixed order of transports, without those of share 0."""
        total = sum(self.mix.values())
        return {name: self.mix[name] / total for name in TRANSPORTS if self.mix.get(name, 0) > 0}

    def messages(self) -> float:
        """Requests that one iteration of the generator sends on average: a stream sends a whole conversation."""
        per_iteration = sum(
            share / (self.conversation if name == "stream" else 1) for name, share in self.shares().items()
        )
        return 1 / per_iteration

    def stages(self) -> list[tuple[float, float]]:
        """The measured part as (seconds, requests a second), in order."""
        if self.profile != "spike":
            return [(self.seconds, self.rate)]
        third = self.seconds / 3
        return [(third, self.rate), (third, self.rate * self.spike), (third, self.rate)]

    def waiting(self) -> int:
        """Virtual users: the iterations that can be in flight before a slot is dropped."""
        peak = max(rate for _, rate in self.stages()) / self.messages()
        return self.in_flight or min(max(20, round(peak)), MOST_IN_FLIGHT)


MOST_IN_FLIGHT: Final = 600
"""Virtual users unless told otherwise: each holds connections of its own and about a megabyte."""

_DEFAULTS: Final[dict[str, dict[str, Any]]] = {
    "smoke": {"rate": 50.0, "seconds": 10.0, "warm_seconds": 3.0, "invalid": 0.1},
    "steady": {"rate": 200.0, "seconds": 60.0, "warm_seconds": 5.0},
    "sweep": {"rate": 100.0, "seconds": 8.0, "warm_seconds": 2.0},
    "spike": {"rate": 100.0, "seconds": 45.0, "warm_seconds": 5.0},
}
