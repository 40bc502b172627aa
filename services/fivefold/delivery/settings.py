"""The settings of delivery: one frozen class, the same for a server, an init container and the release gate.

Reading them from variables and arguments is core's (`fivefold.core.settings.read`). Credentials and endpoints of object
stores are no settings of ours: they come from the variables that the stores' own tools use (`AWS_*`, `GOOGLE_*`).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from fivefold.core.bundle.manifest import MAX_BYTES
from fivefold.core.settings import SettingsError


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySettings:
    """How bundles are fetched; sizes in bytes, times in seconds. Raises `SettingsError`."""

    bundle_cache: str = ""
    """Directory that keeps downloaded bundles by digest; empty: `fivefold/bundles` in the user's cache directory, or in
    the directory for temporary files where that cannot be written. Old entries are the owner's to remove."""

    trusted_keys: tuple[str, ...] = ()
    """Paths of public keys (PEM). With one or more of them, every bundle has to be signed by one of them."""

    bundle_timeout: float = 600.0
    """How long fetching one bundle may take, retries and waiting for another process included."""

    bundle_max_bytes: int = MAX_BYTES
    """A larger bundle is refused, before it fills the disk."""

    bundle_http: bool = False
    """Fetch over http:// from other machines, and from object stores whose endpoint is not https. The digest still
    proves the bytes; who may read them on the way it does not."""

    def __post_init__(self) -> None:
        if not isfinite(self.bundle_timeout) or self.bundle_timeout <= 0:
            raise SettingsError(f"bundle_timeout: expected more than 0 seconds, got {self.bundle_timeout}")
        if not 1 <= self.bundle_max_bytes <= MAX_BYTES:
            raise SettingsError(f"bundle_max_bytes: expected 1 to {MAX_BYTES}, got {self.bundle_max_bytes}")
