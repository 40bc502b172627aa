"""ONNX Runtime for browsers: two files of one npm package, each by its digest and from nowhere else.

They come from an unpacked package, from this user's cache, or from npm's own client. Exported pages carry them, and a
server may give them to its own page; what they do in a browser is left to `services/browser`.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fivefold.core import atomic
from fivefold.core.errors import BundleInvalid, NotFound, RunFailed, first_line
from fivefold.exports.precompressed import compressed

PACKAGE: Final = "onnxruntime-web"
VERSION: Final = "1.30.0"
SCRIPT: Final = "ort.wasm.bundle.min.mjs"
WASM: Final = "ort-wasm-simd-threaded.wasm"

DIGESTS: Final = {
    SCRIPT: "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    WASM: "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
"""sha256 of each file, as it lies in `dist/` of the published package."""

_NPM_SECONDS = 600


@dataclass(frozen=True, slots=True)
class WebRuntime:
    """The two files, verified, and the folder of the cache for what is made of them."""

    script: bytes
    wasm: bytes
    cache: Path

    @property
    def files(self) -> dict[str, bytes]:
        """Both, by their names in the package."""
        return {SCRIPT: self.script, WASM: self.wasm}


def cache_directory() -> Path:
    """Where the files are kept for the next export: below `XDG_CACHE_HOME`, or `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "fivefold" / f"{PACKAGE}-{VERSION}"


def web_runtime(directory: Path | None = None) -> WebRuntime:
    """The runtime's files from `directory` (an unpacked package, or its `dist`), the cache, or npm.

    Raises `BundleInvalid` for files that are others than the pinned ones, `NotFound` where there are none and no npm,
    `RunFailed` where npm fails.
    """
    cache = cache_directory()
    if directory is not None:
        place = directory / "dist" if (directory / "dist").is_dir() else directory
        missing = next((name for name in DIGESTS if not (place / name).is_file()), None)
        if missing:
            help = f"unpack the npm package {PACKAGE}@{VERSION} there"
            raise NotFound("not_found", f"there is no {missing} in {place}", help=help)
        return _checked({name: (place / name).read_bytes() for name in DIGESTS}, cache, str(place))
    if all((cache / name).is_file() for name in DIGESTS):
        try:
            return _checked({name: (cache / name).read_bytes() for name in DIGESTS}, cache, str(cache))
        except BundleInvalid:
            # A cache is only a copy: what is broken there is fetched again.
            pass
    found = _checked(_from_npm(), cache, f"{PACKAGE}@{VERSION} from npm")
    _keep(found)
    return found


def kept(directory: Path | None = None) -> Path:
    """The directory of the cache once it holds the runtime and its compressed forms, for processes that fetch nothing.

    Raises what `web_runtime` raises.
    """
    runtime = web_runtime(directory)
    _keep(runtime)
    compressed(runtime.files, runtime.cache, DIGESTS.values())
    return runtime.cache


def _keep(runtime: WebRuntime) -> None:
    runtime.cache.mkdir(parents=True, exist_ok=True)
    for name, data in runtime.files.items():
        if not (runtime.cache / name).is_file() or (runtime.cache / name).read_bytes() != data:
            atomic.replace_file(runtime.cache / name, data)


def _checked(files: dict[str, bytes], cache: Path, where: str) -> WebRuntime:
    for name, expected in DIGESTS.items():
        got = hashlib.sha256(files[name]).hexdigest()
        if got != expected:
            help = f"only {PACKAGE}@{VERSION} is proven to give the server's answers"
            raise BundleInvalid(f"{where}: expected sha256 {expected}, got {got}", path=name, help=help)
    return WebRuntime(files[SCRIPT], files[WASM], cache)


def _from_npm() -> dict[str, bytes]:
    npm = shutil.which("npm")
    if npm is None:
        raise NotFound(
            "not_found",
            f"the browser's runtime, {PACKAGE}@{VERSION}, is not on this machine, and there is no npm to fetch it",
            help=f"install npm, or name by --runtime what npm pack {PACKAGE}@{VERSION} gave elsewhere, unpacked",
        )
    with tempfile.TemporaryDirectory() as scratch:
        command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--ignore-scripts", "--silent", "--pack-destination", scratch]
        try:
            done = subprocess.run(  # noqa: S603  # a program of the user's own PATH, with our arguments
                command, cwd=scratch, capture_output=True, text=True, timeout=_NPM_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise RunFailed("storage_failed", f"npm did not fetch {PACKAGE} in {_NPM_SECONDS} s") from None
        packed = next(Path(scratch).glob("*.tgz"), None)
        if done.returncode or packed is None:
            reason = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[0][:300]
            help = f"npm pack {PACKAGE}@{VERSION} shows why; --runtime names an unpacked package"
            raise RunFailed("storage_failed", f"npm did not fetch {PACKAGE}@{VERSION}: {reason}", help=help)
        return _unpacked(packed.read_bytes())


def _unpacked(packed: bytes) -> dict[str, bytes]:
    """The two files of a package, read and never written: nothing of it reaches the disk unchecked."""
    out: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
            for name in DIGESTS:
                member = archive.extractfile(f"package/dist/{name}")
                if member is None:
                    raise KeyError(name)
                out[name] = member.read()
    except (tarfile.TarError, OSError, EOFError, KeyError) as err:
        raise BundleInvalid(f"the package from npm cannot be read: {first_line(err)}") from err
    return out
