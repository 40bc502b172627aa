"""`fivefold export --to browser`: a directory of static files that predicts without a network.

    index.html            the page; what it needs to know is in its `fivefold-site`
    service-worker.js     the list of the page's files with their digests, and what keeps them
    app.webmanifest       what makes it installable
    assets/               scripts, styles, icons and the runtime, each named by its digest
    model.json            which model is published, by its digest
    models/DIGEST/        that bundle, byte for byte
    integrity.json        the digest of every file, by which a later export knows what it may replace

Beside each file of some size lie FILE.gz and, where Node can make it, FILE.br for web servers that send those. The same
arguments give the same bytes. What the files do is `services/browser`'s; serving them is any web server's.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fivefold.core import atomic
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.bundle.signature import PublicKey, public_key
from fivefold.edge.export.browser_page import asset_files, index_html, web_manifest
from fivefold.edge.export.browser_support import prove, refuse_unsupported
from fivefold.exports.precompressed import compressed
from fivefold.exports.web_runtime import DIGESTS, SCRIPT, VERSION, WASM, WebRuntime

MARK: Final = "integrity.json"
"""The file that makes a directory one that this export may replace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserOptions:
    """What an export says to its page."""

    hub: str | None = None
    """The hub's address; without one nothing is recorded."""
    key: PublicKey | None = None
    """What every model of this page must be signed by."""
    outbox_bytes: int = 50_000_000
    drop_oldest: bool = False
    poll_seconds: int = 300


def write(bundle: Bundle, directory: Path, runtime: WebRuntime, options: BrowserOptions) -> list[str]:
    """Write the page of a bundle to a directory, all of it or nothing; gives what there is to say about it.

    Raises `BundleInvalid` for a bundle that a browser cannot run, and `FileExistsError` for a directory that holds
    anything which an earlier export did not write.
    """
    refuse_unsupported(bundle)
    _check_replaceable(directory)
    apart = prove(bundle, runtime)
    files = site_files(bundle, runtime, options)
    packed = compressed(files, runtime.cache, DIGESTS.values())
    mark = {"format": "browser", "files": _digests(files | packed)}
    files[MARK] = (json.dumps(mark, indent=2) + "\n").encode()
    atomic.replace_directory(directory.resolve(), files | packed)
    smallest = [
        min(len(packed.get(name + end, data)) for end in ("", ".gz", ".br"))
        for name, data in files.items()
        if name != MARK
    ]
    return [
        f"{directory}: {bundle.name}@{bundle.version} for browsers, {len(files)} files, "
        f"{sum(smallest) / 1e6:.2f} MB over the wire at first",
        "not proven on this machine, which has no Node: the page scores its golden rows when it is opened"
        if apart is None
        else f"{bundle.golden()[0].rows} golden rows on ONNX Runtime Web {VERSION}: largest difference {apart:g}",
    ]


def site_files(bundle: Bundle, runtime: WebRuntime, options: BrowserOptions) -> dict[str, bytes]:
    """The files of the directory, without `integrity.json` and what is compressed."""
    assets = {SCRIPT: runtime.script, WASM: runtime.wasm, **asset_files()}
    named = {name: _hashed(name, data) for name, data in assets.items() if name != "service-worker.js"}
    site = {
        "software": f"fivefold {metadata.version('fivefold')}",
        "worker": named["worker.js"],
        "runtime": {
            "script": named[SCRIPT],
            "wasm": named[WASM],
            "wasmSha256": hashlib.sha256(runtime.wasm).hexdigest(),
        },
        "quotaBytes": options.outbox_bytes,
        "policy": "drop_oldest" if options.drop_oldest else "reject_new",
        "pollSeconds": options.poll_seconds,
    }
    if options.hub is not None:
        site["hub"] = options.hub
    if options.key is not None:
        spki = public_key(options.key).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        site["publicKey"] = base64.b64encode(spki).decode()
    files = {named[name]: data for name, data in assets.items() if name in named}
    files["app.webmanifest"] = web_manifest(bundle, named)
    integrity = {path: _integrity(data) for path, data in files.items()}
    files["index.html"] = index_html(site, named, integrity, options.hub)
    shell = [{"path": path, "integrity": _integrity(files[path])} for path in sorted(files)]
    digest = hashlib.sha256(json.dumps(shell).encode()).hexdigest()
    listed = json.dumps({"digest": digest, "files": shell}, separators=(",", ":"))
    files["service-worker.js"] = f"self.FIVEFOLD_SHELL={listed};\n".encode() + assets["service-worker.js"]
    published = {"format": 1, "name": bundle.name, "version": bundle.version, "digest": bundle.digest}
    files["model.json"] = (json.dumps(published, indent=2) + "\n").encode()
    files |= {f"models/{bundle.digest}/{name}": bundle.read(name) for name in bundle.names()}
    return files


def _hashed(name: str, data: bytes) -> str:
    stem, _, end = name.rpartition(".")
    return f"assets/{stem}-{hashlib.sha256(data).hexdigest()[:16]}.{end}"


def _integrity(data: bytes) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(data).digest()).decode()


def _digests(files: Mapping[str, bytes]) -> dict[str, str]:
    return {path: hashlib.sha256(data).hexdigest() for path, data in sorted(files.items())}


def _check_replaceable(directory: Path) -> None:
    """Nothing, an empty directory, or an earlier export to which nothing was added."""
    if not directory.exists():
        return
    if not directory.is_dir():
        raise FileExistsError(errno.EEXIST, "expected a directory, found a file", str(directory))
    mark = directory / MARK
    if not mark.is_file():
        if any(directory.iterdir()):
            message = "holds something other than an export; name another one"
            raise FileExistsError(errno.EEXIST, message, str(directory))
        return
    try:
        marked = json.loads(mark.read_bytes())
        known = set(marked["files"]) if marked["format"] == "browser" else set()
    except (ValueError, TypeError, KeyError):
        known = set()
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        if name != MARK and name not in known and not (path.is_dir() and not path.is_symlink()):
            message = "was added after the export; move it away or name another directory"
            raise FileExistsError(errno.EEXIST, message, str(path))
