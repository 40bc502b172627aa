"""The page for people at `/`: static files that talk to the server's own public API, and the headers they need.

The page is plain HTML, CSS and ES modules, loaded from this server alone; it knows the contract by reading it over
`/v1/models/…`. Sending the files, and this header with them, is left to `fivefold.serving.http`; every rule about data
is left to the server, whose errors the page shows at the field they belong to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from typing import Final

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The `Content-Security-Policy` of every answer in `files`: nothing inline, nothing from elsewhere."""

MEDIA_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""The media type of each kind of file that belongs to the page; what has another suffix is not served."""


def files(
    grpc: str = "",
    *,
    bundles: bool = True,
    runtime: Mapping[str, str] | None = None,
    input_statistics: bool = False,
) -> dict[str, tuple[bytes, str]]:
    """URL path -> (body, media type) of the whole page: `/` is index.html, everything else lies below `/page/`.

    `grpc` is the server's gRPC address (HOST:PORT), for the commands that the page offers to copy; `bundles` is whether
    the bundles' files are given out to anybody, so that the page does not ask for nothing. `runtime` is what the page
    is told of the runtime that it may load to answer beside the server; None: it does not. `input_statistics` is
    whether the server counts what comes in.
    """
    settings = {"grpc": grpc, "bundles": bundles, "runtime": runtime, "inputStatistics": input_statistics}
    out = {"/page/server.json": (json.dumps(settings).encode(), "application/json")}
    for item in resources.files(__name__).iterdir():
        media_type = MEDIA_TYPES.get(item.name[item.name.rfind(".") :])
        if media_type is not None:
            out["/" if item.name == "index.html" else f"/page/{item.name}"] = (item.read_bytes(), media_type)
    return dict(sorted(out.items()))
