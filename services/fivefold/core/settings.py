"""Settings of a workload: a frozen dataclass, read once from `FIVEFOLD_*` variables and arguments.

Which settings a workload has, and which values it refuses, is left to that workload's own class. Here are the reading
of one from its environment and the parsing of addresses, so that every workload spells them alike.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import os
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

T = TypeVar("T")

PREFIX = "FIVEFOLD_"

_WORDS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


class SettingsError(ValueError):
    """A setting that cannot be used; the message names it, what was expected and what came."""


def read(cls: type[T], *, environ: Mapping[str, str] | None = None, **given: Any) -> T:
    """Build the settings class: an argument that is not None wins over its `FIVEFOLD_NAME` variable, then the default.

    Text from the environment converts to the field's own type (`bool`, `int`, `float`, `str`, a comma-separated tuple
    of str, and each of them or None). Raises `SettingsError`.
    """
    environ = os.environ if environ is None else environ
    hints = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]  # only dataclasses are passed
        if given.get(field.name) is not None:
            values[field.name] = given.pop(field.name)
            continue
        given.pop(field.name, None)
        variable = PREFIX + field.name.upper()
        if variable in environ:
            values[field.name] = _convert(environ[variable], hints[field.name], variable)
    if given:
        raise SettingsError(f"unknown setting {sorted(given)[0]!r}")
    return cls(**values)


def _convert(text: str, hint: Any, variable: str) -> Any:
    options = [option for option in typing.get_args(hint) if option is not type(None)]
    if typing.get_origin(hint) is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if options:
        return None if text == "" else _convert(text, options[0], variable)
    try:
        return _WORDS[text.strip().lower()] if hint is bool else hint(text)
    except (KeyError, ValueError):
        name = {bool: "true or false", int: "an integer", float: "a number"}.get(hint, "a value")
        raise SettingsError(f"{variable}: expected {name}, got {text!r}") from None


def address(text: str, name: str = "address") -> tuple[str, int]:
    """`HOST:PORT` as host and port; an IPv6 host stands in brackets, port 0 = any free one. Raises `SettingsError`."""
    host, colon, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if (
        not colon
        or not bare
        or not (port.isascii() and port.isdigit())
        or int(port) > 65535
        or (":" in bare) != (bare != host)
    ):
        raise SettingsError(f"{name}: expected HOST:PORT, got {text!r}")
    return bare, int(port)


def dialable(text: str) -> str:
    """`HOST:PORT` as a client on this machine asks it: the address that stands for all of them is none to ask."""
    host, port = address(text)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # not bound here
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the host; a name other than `localhost` counts as reachable."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
