"""Which guard a server has: fields for the settings of every workload that answers strangers.

Reading them from variables and arguments is core's; what listening without a guard means is left to the workload.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from urllib.parse import urlsplit

from fivefold.core import redact
from fivefold.core.settings import SettingsError, is_loopback
from fivefold.guard.peers import networks

LEAST_MAX_AGE = 10.0
"""Looks at the files are a second apart, and a busy machine may miss some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardSettings:
    """API keys, an OIDC issuer, or both; nothing of it: nobody is asked who they are. Raises `SettingsError`."""

    keys: str = ""
    """A file of API keys, or a directory whose `*.json` are such files; `fivefold keys create` makes one."""

    trusted_proxies: tuple[str, ...] = ()
    """Addresses and ranges (10.0.0.0/8) of proxies whose `x-forwarded-for` says who asks, beside those on this machine;
    for slowing down the address from which wrong keys come."""

    keys_max_age: float = 600.0
    """Where the key files cannot be read for so many seconds, keys are taken no more (`not_ready`) until they can: a
    key may have been revoked meanwhile."""

    oidc_issuer: str = ""
    """The URL of an OIDC issuer whose tokens are taken: their `iss`, to the letter."""

    oidc_audience: str = ""
    """What a token must name in `aud`: a token for another service is not one for this."""

    oidc_jwks: str = ""
    """The URL of the issuer's keys; empty: the one that its discovery document names."""

    oidc_rate: float = 0.0
    """Requests a second that one subject may make by its tokens, all replicas together; 0: no limit."""

    oidc_concurrency: int = 0
    """Requests that one subject may have in work at once, all replicas together; 0: no limit."""

    @property
    def guarded(self) -> bool:
        """Whether anybody is asked who they are."""
        return bool(self.keys or self.oidc_issuer)

    def __post_init__(self) -> None:
        if self.oidc_issuer and not self.oidc_audience:
            raise SettingsError("oidc_audience: expected the name of this service as tokens have it, got none")
        if not self.oidc_issuer and (self.oidc_audience or self.oidc_jwks):
            raise SettingsError("oidc_issuer: expected the URL of the issuer beside the other oidc settings, got none")
        for name in ("oidc_issuer", "oidc_jwks"):
            if url := getattr(self, name):
                check_url(url, name)
        for name in ("oidc_rate", "oidc_concurrency"):
            value = getattr(self, name)
            if not isfinite(value) or value < 0:
                raise SettingsError(f"{name}: expected at least 0, got {value}")
        networks(self.trusted_proxies, "trusted_proxies")
        if not self.keys_max_age >= LEAST_MAX_AGE:
            raise SettingsError(f"keys_max_age: expected at least {LEAST_MAX_AGE:g} seconds, got {self.keys_max_age}")


def check_url(url: str, name: str) -> None:
    """Raise `SettingsError` for a URL that keys may not come from: who can change them on the way can sign anything."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        raise SettingsError(f"{name}: expected a URL, got {redact.address(url)!r}") from None
    if "@" in parts.netloc:
        raise SettingsError(f"{name}: expected a URL without user and password, got {redact.address(url)!r}")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        raise SettingsError(f"{name}: expected a URL of https, got {redact.address(url)!r}")
