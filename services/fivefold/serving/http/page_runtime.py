"""What the page loads to run a model itself: the browser's runtime and a worker around it, below fixed addresses.

They hold nothing of a model, so they are open as the page is. The model's files come from the routes of its bundle, and
under what these ask for. The worker is built from `services/browser`.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from fivefold.core.errors import FivefoldError
from fivefold.exports.precompressed import compressed
from fivefold.exports.web_runtime import DIGESTS, PACKAGE, SCRIPT, VERSION, WASM, cache_directory, web_runtime
from fivefold.serving import page

AUTO: Final = "auto"
"""The setting that stands for this user's cache."""

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
"""Of the worker, which alone may compile WebAssembly: the page's own policy stays as it is."""

_FOLDER: Final = "/page/runtime/"
_WORKER: Final = "model-worker.js"
_CODINGS: Final = {".br": "br", ".gz": "gzip"}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RuntimeFile:
    """A file that never changes under its address; `packed` is its body by content coding, the smallest first."""

    body: bytes
    media_type: str
    packed: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class PageRuntime:
    """The files by URL path, and what the page is told of them."""

    files: Mapping[str, RuntimeFile]
    told: Mapping[str, str]


def page_runtime(setting: str) -> PageRuntime:
    """The runtime out of a directory, or of this user's cache for `auto`; nothing is fetched over a network.

    Where it is not there, or is another one, there are no files, and the page is told why.
    """
    try:
        found = web_runtime(cache_directory() if setting == AUTO else Path(setting))
    except FivefoldError as error:
        log.warning("the page's runtime: %s", error)
        return PageRuntime({}, {"missing": f"the server does not have {PACKAGE} {VERSION}"})
    worker = resources.files(page).joinpath("built", _WORKER).read_bytes()
    files = {**found.files, _WORKER: worker}
    packed = compressed(files, found.cache, DIGESTS.values())
    paths = {name: _path(name, body) for name, body in files.items()}
    return PageRuntime(
        {
            paths[name]: RuntimeFile(
                body,
                "application/wasm" if name == WASM else "text/javascript; charset=utf-8",
                {coding: packed[name + end] for end, coding in _CODINGS.items() if name + end in packed},
            )
            for name, body in files.items()
        },
        {
            "version": VERSION,
            "worker": paths[_WORKER].lstrip("/"),
            "script": paths[SCRIPT].lstrip("/"),
            "wasm": paths[WASM].lstrip("/"),
            "wasmSha256": DIGESTS[WASM],
        },
    )


def _path(name: str, body: bytes) -> str:
    stem, _, end = name.rpartition(".")
    return f"{_FOLDER}{stem}-{hashlib.sha256(body).hexdigest()[:16]}.{end}"
