"""The hub's page for people: static files that ask the hub's own `/v1/hub/` routes and change nothing.

Its look is that of the page which serves models: the same sheet and the same mark, from `fivefold.serving.page`.
"""

from __future__ import annotations

from importlib import resources
from typing import Final

from fivefold.serving import page

Header = tuple[bytes, bytes]

_SHARED: Final = ("/page/page.css", "/page/icon.svg")


def console_files() -> dict[str, tuple[bytes, list[Header]]]:
    """URL path -> body and headers: `/` is console.html, everything else lies below `/page/`."""
    shared = page.files()
    out = {path: shared[path] for path in _SHARED}
    for item in resources.files(__name__).iterdir():
        media_type = page.MEDIA_TYPES.get(item.name[item.name.rfind(".") :])
        if media_type is not None:
            out["/" if item.name == "console.html" else f"/page/{item.name}"] = (item.read_bytes(), media_type)
    return {path: (body, _headers(media_type)) for path, (body, media_type) in sorted(out.items())}


def _headers(media_type: str) -> list[Header]:
    return [
        (b"content-type", media_type.encode()),
        (b"content-security-policy", page.CONTENT_SECURITY_POLICY.encode()),
        (b"cache-control", b"no-cache"),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
    ]
