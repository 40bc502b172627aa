"""What a hub's process needs beside its store: where it listens, who may look at it, and how much it takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fivefold.core.settings import SettingsError, address, is_loopback
from fivefold.edge.sync.lane_protocol import MAX_BATCH_BYTES
from fivefold.guard.settings import GuardSettings
from fivefold.serving.limits import ServingLimits

BODIES: Final = 64
"""Whole bodies of the largest size that a process holds at once; beyond that requests are `overloaded`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSettings(GuardSettings):
    """Raises `SettingsError`. The keys are those of people and programs that look at the hub (scope `admin`); devices
    have keys of their own, in the store."""

    http: str = "127.0.0.1:8700"
    """HOST:PORT of everything."""

    metrics: str = ""
    """HOST:PORT that answers `/metrics` to anybody who reaches it, in clear text, beside `/livez` and `/readyz`; empty:
    operators alone are answered, at `http`."""

    certificate: str = ""
    """PEM of the server's certificate, and the chain behind it: HTTPS."""

    private_key: str = ""
    """PEM of its key."""

    allow_http: bool = False
    """Listen on an address that other machines reach without HTTPS, because a proxy in front of it has that."""

    cors_origins: tuple[str, ...] = ()
    """Origins (`https://app.example`) whose pages a browser lets synchronise: devices that are browsers."""

    keep_days: int = 0
    """Delete events that were forwarded and were received so many days ago, at the start and every hour; 0: nothing is
    deleted by itself. For a hub that forwards."""

    body_timeout: float = 30.0
    """A client that has not sent its whole request by then gets `request_timeout`."""

    def __post_init__(self) -> None:
        GuardSettings.__post_init__(self)
        host, _ = address(self.http, "http")
        if self.metrics:
            address(self.metrics, "metrics")
        if not 0 <= self.keep_days <= 36_500:
            raise SettingsError(f"keep_days: expected a number of days from 1 to 36500, or 0, got {self.keep_days}")
        if bool(self.certificate) != bool(self.private_key):
            raise SettingsError("certificate and private_key: expected both or none")
        for name in ("certificate", "private_key"):
            if (path := getattr(self, name)) and not Path(path).is_file():
                raise SettingsError(f"{name}: no file {path}")
        if not is_loopback(host) and not self.certificate and not self.allow_http:
            raise SettingsError(
                f"http: {host} is reachable from other machines, and devices would send their keys for anybody to "
                f"read; give a certificate and a private_key, or say allow_http where a proxy in front has HTTPS"
            )

    def limits(self) -> ServingLimits:
        """The limits of the HTTP server: those of serving, but for what is larger there."""
        return ServingLimits(
            http=self.http,
            # Devices are always asked for their keys, and the rest is this machine's where there is no guard.
            allow_public=True,
            keys=self.keys,
            trusted_proxies=self.trusted_proxies,
            keys_max_age=self.keys_max_age,
            oidc_issuer=self.oidc_issuer,
            oidc_audience=self.oidc_audience,
            oidc_jwks=self.oidc_jwks,
            oidc_rate=self.oidc_rate,
            oidc_concurrency=self.oidc_concurrency,
            max_body_bytes=MAX_BATCH_BYTES,
            max_bytes_in_flight=BODIES * MAX_BATCH_BYTES,
            body_timeout=self.body_timeout,
            cors_origins=self.cors_origins,
            log_sample=0.0,
        )
