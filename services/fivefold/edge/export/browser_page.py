"""The page of an export: the server's own page with other scripts, under a policy of its own.

The markup, the styles and the form are `fivefold.serving.page`'s; what is changed in it is changed here, and a page
that no longer has the place of a change fails loudly. Scripts are built from `services/browser`.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fivefold.core.bundle.bundle import Bundle
from fivefold.serving import page

_HERE = Path(__file__).parent
_SCRIPTS = ("page.js", "worker.js", "service-worker.js")
_STYLES = ("page.css", "form.css", "answer.css", "contract.css")
_SERVER_STYLES = ("file.css",)
"""Of parts that an export does not have."""
_ICONS = ("icon-192.png", "icon-512.png")


def asset_files() -> dict[str, bytes]:
    """The scripts, the one stylesheet and the icons, by their plain names."""
    server = resources.files(page)
    styles = [server.joinpath(name).read_bytes() for name in _STYLES]
    return {
        **{name: (_HERE / "site" / name).read_bytes() for name in _SCRIPTS},
        "page.css": b"\n".join([*styles, (_HERE / "page" / "device.css").read_bytes()]),
        "icon.svg": server.joinpath("icon.svg").read_bytes(),
        **{name: (_HERE / "page" / name).read_bytes() for name in _ICONS},
    }


def web_manifest(bundle: Bundle, named: Mapping[str, str]) -> bytes:
    """app.webmanifest (W3C Web Application Manifest): what a phone shows of an installed page."""
    icons = [{"src": named[name], "type": "image/png", "sizes": f"{size}x{size}"} for name, size in _SIZES.items()]
    manifest: dict[str, Any] = {
        "name": f"{bundle.name} · Fivefold",
        "short_name": bundle.name,
        "id": "./",
        "start_url": "./",
        "scope": "./",
        "display": "standalone",
        "background_color": "#ffffff",
        "theme_color": "#3d3bd1",
        "icons": [*icons, {"src": named["icon.svg"], "type": "image/svg+xml", "sizes": "any"}],
    }
    if bundle.contract.description:
        manifest["description"] = bundle.contract.description
    return (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode()


_SIZES = {"icon-192.png": 192, "icon-512.png": 512}


def index_html(
    site: Mapping[str, Any], named: Mapping[str, str], integrity: Mapping[str, str], hub: str | None
) -> bytes:
    """index.html: `named` are the addresses of the assets, `integrity` their digests, `hub` who may be sent to."""
    text = resources.files(page).joinpath("index.html").read_text(encoding="utf-8")
    text = _replaced(
        text, r' *<link rel="stylesheet" href="page/[a-z]+\.css">\n', "", count=len(_STYLES) + len(_SERVER_STYLES)
    )
    text = _replaced(
        text, r' *<script type="module" src="page/page\.js"></script>\n', _head(site, named, integrity, hub)
    )
    text = _replaced(text, r'(?s) *<nav aria-label="Server">.*?</nav>\n', "")
    text = _replaced(text, r'(?s) *<section id="(?:file|inputs)".*?</section>\n\n', "", count=2)
    text = _replaced(text, r" The same is served as <a [^>]*>[^<]*</a>\.", "")
    text = _replaced(text, r"page/icon\.svg", named["icon.svg"], count=2)
    if '"page/' in text:
        raise ValueError("index.html of the server's page names a file that an export does not know")
    return text.encode()


def _replaced(text: str, pattern: str, new: str, count: int = 1) -> str:
    out, found = re.subn(pattern, lambda _: new, text)
    if found != count:
        raise ValueError(f"index.html of the server's page has {found} of {pattern!r}, expected {count}")
    return out


def _head(site: Mapping[str, Any], named: Mapping[str, str], integrity: Mapping[str, str], hub: str | None) -> str:
    style, script = named["page.css"], named["page.js"]
    lines = [
        f'<meta http-equiv="content-security-policy" content="{html.escape(_policy(hub))}">',
        f'<meta name="fivefold-site" content="{html.escape(json.dumps(site, separators=(",", ":")))}">',
        '<link rel="manifest" href="app.webmanifest">',
        f'<link rel="apple-touch-icon" href="{named["icon-192.png"]}">',
        f'<link rel="stylesheet" href="{style}" integrity="{integrity[style]}">',
        f'<script type="module" src="{script}" integrity="{integrity[script]}"></script>',
    ]
    return "".join(f"    {line}\n" for line in lines)


def _policy(hub: str | None) -> str:
    """Nothing inline, nothing from elsewhere; requests go to the page's own server and to the hub alone."""
    parts = urlsplit(hub or "")
    elsewhere = f" {parts.scheme}://{parts.netloc}" if parts.netloc else ""
    return (
        f"default-src 'self'; connect-src 'self'{elsewhere}; script-src 'self' 'wasm-unsafe-eval'; object-src 'none'; "
        "base-uri 'none'; form-action 'none'"
    )
