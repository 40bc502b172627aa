"""Settings of a schema registry: where it is, who we are there, and whom it is believed to be.

Secrets come from files, which are read anew for each request, so that a token may be renewed; never from the command
line. Asking it is `registry_client`'s.
"""

from __future__ import annotations

import base64
import ssl
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from urllib.parse import urlsplit

from fivefold.core import redact
from fivefold.core.settings import SettingsError, is_loopback


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySettings:
    """How a registry is reached; times in seconds. Raises `SettingsError`."""

    registry_url: str = ""
    """http:// or https:// URL below which `/schemas` and `/subjects` are; empty: none, and values are JSON."""

    registry_ca_file: str = ""
    """PEM of the authorities that its certificate must come from; empty: the system's."""

    registry_certificate_file: str = ""
    """PEM of the certificate that says who we are."""

    registry_key_file: str = ""
    """PEM of its key."""

    registry_username: str = ""
    """The user, or the API key."""

    registry_password_file: str = ""
    """A file with the user's password, or the API secret."""

    registry_token_file: str = ""
    """A file with a bearer token."""

    registry_http: bool = False
    """Ask another machine over http://. Whoever is on the way can read what is sent, and change the schemas."""

    registry_timeout: float = 10.0
    """How long one answer may take."""

    def __post_init__(self) -> None:
        if not self.registry_url:
            return
        try:
            parts = urlsplit(self.registry_url)
            host, _ = parts.hostname or "", parts.port
        except ValueError:
            parts, host = urlsplit(""), ""
        if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
            shown = redact.address(self.registry_url)
            raise SettingsError(f"registry_url: expected http:// or https://HOST[:PORT][/PATH], got {shown!r}")
        if "@" in parts.netloc:
            raise SettingsError(
                "registry_url: expected no credentials in a URL; give FIVEFOLD_REGISTRY_USERNAME and a file with the "
                "password (FIVEFOLD_REGISTRY_PASSWORD_FILE)"
            )
        if parts.scheme == "http" and not (self.registry_http or is_loopback(host)):
            raise SettingsError(
                "registry_url: expected https://, which nobody can read on the way; or allow plain http "
                "(FIVEFOLD_REGISTRY_HTTP=true)"
            )
        if bool(self.registry_certificate_file) != bool(self.registry_key_file):
            raise SettingsError("registry_certificate_file and registry_key_file: expected both or none")
        if bool(self.registry_username) != bool(self.registry_password_file):
            raise SettingsError("registry_username and registry_password_file: expected both or none")
        if self.registry_username and self.registry_token_file:
            raise SettingsError("registry_username and registry_token_file: expected one of them, got both")
        if not isfinite(self.registry_timeout) or not 0 < self.registry_timeout <= 60:
            raise SettingsError(f"registry_timeout: expected more than 0 and at most 60, got {self.registry_timeout:g}")

    def authorization(self) -> str:
        """The header of that name; empty where nobody is to be proven. Raises `SettingsError`."""
        if self.registry_token_file:
            return f"Bearer {_secret(self.registry_token_file, 'registry_token_file')}"
        if self.registry_username:
            pair = f"{self.registry_username}:{_secret(self.registry_password_file, 'registry_password_file')}"
            return f"Basic {base64.b64encode(pair.encode()).decode()}"
        return ""

    def tls(self) -> ssl.SSLContext:
        """Whose certificates are believed, and which one is ours. Raises `SettingsError`."""
        try:
            context = ssl.create_default_context(cafile=self.registry_ca_file or None)
        except (OSError, ValueError) as err:
            raise SettingsError(f"registry_ca_file: cannot read {self.registry_ca_file}: {_why(err)}") from err
        if self.registry_certificate_file:
            try:
                context.load_cert_chain(self.registry_certificate_file, self.registry_key_file, password=_refuse)
            except (OSError, ValueError) as err:
                raise SettingsError(f"registry_certificate_file and registry_key_file: {_why(err)}") from err
        return context


def _refuse() -> str:
    # Without it the library would ask at the terminal.
    raise ValueError("the key has a password")


def _secret(path: str, name: str) -> str:
    try:
        text = Path(path).read_text("ascii").strip()
    except OSError as err:
        raise SettingsError(f"{name}: cannot read {path}: {err.strerror}") from err
    except UnicodeDecodeError:
        raise SettingsError(f"{name}: {path} is not ASCII text") from None
    if not text.isprintable() or not text:
        raise SettingsError(f"{name}: expected one line of text in {path}")
    return text


def _why(err: Exception) -> str:
    return getattr(err, "strerror", None) or type(err).__name__
