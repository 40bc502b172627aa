"""Addresses as messages, logs and pages may show them: without credentials.

A presigned URL's query is a credential, as is a user and password before the host. Whoever prints an address that came
from elsewhere prints it through here; which addresses are taken at all is left to whoever takes them.
"""

from __future__ import annotations

import re
from typing import Any, Final

MAX_CHARACTERS: Final = 300

_SCHEME: Final = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.\-]{0,31}:/{1,8})")
_END: Final = re.compile(r"[/?#;\\]")
_PORT: Final = re.compile(r":[0-9]*\Z")
_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]{0,31}:/{1,8}[^\s\"'<>`|]+")
_DIGEST: Final = re.compile(r"#sha256=([0-9a-fA-F]{64}|DIGEST)\b")
_QUERY: Final = re.compile(r"\?[^\s\"'<>/]*=[^\s\"'<>]*")


def address(text: str) -> str:
    """A URL or path without user, password, query and fragment; a path keeps a `?` that begins no query.

    >>> address("https://me:secret@host:8443/demo.tar?X-Amz-Signature=secret")
    'https://…@host:8443/demo.tar'
    """
    match = _SCHEME.match(text)
    if match is None:
        return _short(_path(text))
    scheme, rest = match[1], text[match.end() :]
    end = _END.search(rest)
    authority, after = (rest, "") if end is None else (rest[: end.start()], rest[end.start() :])
    path = re.split(r"[?#;]", after, maxsplit=1)[0]
    if "@" in authority:
        authority = "…@" + authority.rpartition("@")[2]
    elif "@" in after and not _whole(authority, after):
        # A password with a slash or a question mark in it, not escaped: the host is behind it.
        return f"{scheme}…"
    elif not _PORT.search(authority) and ":" in authority and not authority.startswith("["):
        # No port, so half of a password.
        return f"{scheme}…"
    return _short(scheme + authority + path)


def text(message: str) -> str:
    """Words with every address in them shown as `address` does; a reference to a bundle keeps its digest."""
    return _QUERY.sub("", _ADDRESS.sub(_reference, message))


def value(given: Any) -> Any:
    """A JSON value with the addresses in its texts shown as `address` does, keys of objects included."""
    if isinstance(given, str):
        return text(given)
    if isinstance(given, dict):
        return {text(key) if isinstance(key, str) else key: value(item) for key, item in given.items()}
    if isinstance(given, list | tuple):
        return [value(item) for item in given]
    return given


def _reference(match: re.Match[str]) -> str:
    digest = _DIGEST.search(match[0])
    return address(match[0]) + (digest[0] if digest else "")


def _whole(authority: str, after: str) -> bool:
    """Whether the authority ends where a path begins, and is a host with or without a port."""
    return after.startswith("/") and (
        ":" not in authority or authority.startswith("[") or bool(_PORT.search(authority))
    )


def _path(text: str) -> str:
    """A path, or a URL whose scheme was forgotten."""
    place, mark, query = text.partition("?")
    if mark and "=" not in query:
        place = text
    head, at, tail = place.partition("@")
    return f"…@{tail}" if at and ":" in head and "/" not in head else place


def _short(text: str) -> str:
    return text if len(text) <= MAX_CHARACTERS else text[: MAX_CHARACTERS - 1] + "…"
