"""The settings of online serving: one frozen class, checked when it is built.

Reading them from variables and arguments is core's (`fivefold.core.settings.read`); acting on them is left to the
transports and to the host.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from fivefold.core.settings import SettingsError, address, is_loopback
from fivefold.guard.settings import GuardSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineSettings(GuardSettings):
    """What an online server needs beside its bundles; sizes in bytes, times in seconds. Raises `SettingsError`."""

    http: str = "127.0.0.1:8000"
    """HOST:PORT of REST, the page, health and metrics."""

    grpc: str = "127.0.0.1:9000"
    """HOST:PORT of gRPC."""

    allow_public: bool = False
    """Listen on an address that other machines reach although nobody is asked who they are."""

    max_body_bytes: int = 64 * 1024 * 1024
    """A larger request is `too_large`, whether compressed or after decompression; also gRPC's message limit."""

    max_header_bytes: int = 32 * 1024
    """Request headers beyond this sum are `headers_too_large`."""

    max_rows: int = 100_000
    """A request with more rows is `too_large`."""

    max_json_depth: int = 64
    """JSON nested deeper is `too_large`."""

    max_inflight: int = 256
    """Requests in work at once for one model in one process; the next one is `overloaded`, with Retry-After."""

    max_wait: float = 0.01
    """A request that would have to wait longer for a busy model (or twice its own duration, if that is more) is
    `overloaded` too, unless this is a burst."""

    burst_seconds: float = 0.1
    """How long requests may wait longer than `max_wait`, as in a burst; only `max_inflight` limits those. (CoDel's
    interval, RFC 8289: many requests at one moment pass, the beginning of an overload costs few of them their time.)"""

    retry_after: float = 1.0
    """What an `overloaded` or `not_ready` answer asks the client to wait."""

    default_timeout: float = 60.0
    """The deadline of a request that names none, and the longest that one may name."""

    body_timeout: float = 30.0
    """A client that has not sent its whole body by then gets `request_timeout`."""

    self_test_seconds: float = 60.0
    """How long loading, testing and measuring one model may take before its bundle is refused."""

    inline_seconds: float = 0.002
    """Work estimated shorter runs on the event loop; longer work runs in a thread, so that probes keep answering."""

    inline_bytes: int = 256 * 1024
    """A larger body is parsed in a thread."""

    threads: int = 2
    """Threads of each model for work that is too long for the event loop."""

    batching: bool = True
    """Score requests together that wait for a busy model, where the model's measured cost says that it pays."""

    batch_seconds: float = 0.1
    """How long scoring one such batch may be expected to take."""

    log_sample: float = 0.01
    """The share of healthy requests that get a log line; failed ones always do."""

    page: bool = True
    """Serve the page for people at `/`."""

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

    drain_seconds: float = 40.0
    """How long a replica that goes away finishes what it has begun."""

    def __post_init__(self) -> None:
        # A class with slots is made twice, so `super()` would not find itself.
        GuardSettings.__post_init__(self)
        for name in ("http", "grpc"):
            host, _ = address(getattr(self, name), name)
            if not self.guarded and not self.allow_public and not is_loopback(host):
                raise SettingsError(
                    f"{name}: {host} is reachable from other machines and nobody would be asked for a key; "
                    f"listen on 127.0.0.1, give keys or an oidc_issuer, or say allow_public"
                )
        at_least = {
            "max_body_bytes": 1,
            "max_header_bytes": 1024,
            "max_rows": 1,
            "max_json_depth": 4,
            "max_inflight": 1,
            "max_wait": 0,
            "burst_seconds": 0,
            "retry_after": 0,
            "default_timeout": 0.001,
            "body_timeout": 0.001,
            "self_test_seconds": 0.1,
            "inline_seconds": 0,
            "inline_bytes": 0,
            "threads": 1,
            "batch_seconds": 0,
            "log_sample": 0,
            "min_replicas": 1,
            "max_replicas": self.min_replicas,
            "target_ongoing_requests": 0.1,
            "upscale_delay": 0,
            "downscale_delay": 0,
            "max_queued_requests": 1,
            "drain_seconds": 0,
        }
        for name, low in at_least.items():
            value = getattr(self, name)
            if not isfinite(value) or value < low:
                raise SettingsError(f"{name}: expected at least {low}, got {value}")
        if self.log_sample > 1:
            raise SettingsError(f"log_sample: expected a share of at most 1, got {self.log_sample}")
