"""FILE.gz and FILE.br for what is compressed once and sent often; brotli is made by Node, where there is one.

What takes long is kept in a cache, by the digest of its bytes. Sending them is left to web servers.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from fivefold.core import atomic

ENDINGS: Final = (".gz", ".br")

SMALL: Final = 1024
"""Below so many bytes a file stays as it is."""

_BROTLI_SECONDS: Final = 600


def compressed(files: Mapping[str, bytes], cache: Path, kept: Collection[str] = ()) -> dict[str, bytes]:
    """FILE.gz and FILE.br of each file that gets smaller by it; `kept` are the sha256 of those that the cache keeps.

    A cache that cannot be written to is done without.
    """
    out: dict[str, bytes] = {}
    making: dict[str, bytes] = {}
    places: dict[str, dict[str, Path]] = {}
    for name, data in files.items():
        if len(data) < SMALL or name.endswith(".png"):
            continue
        digest = hashlib.sha256(data).hexdigest()
        places[name] = {end: cache / f"{digest}{end}" for end in ENDINGS} if digest in kept else {}
        if places[name] and all(path.is_file() for path in places[name].values()):
            out |= {name + end: path.read_bytes() for end, path in places[name].items()}
            continue
        out[f"{name}.gz"] = gzip.compress(data, 9, mtime=0)
        making[name] = data
    out |= _brotli(making)
    with contextlib.suppress(OSError):
        for name in making:
            for end, path in places[name].items():
                if name + end in out:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    atomic.replace_file(path, out[name + end])
    return {name: data for name, data in out.items() if len(data) < len(files[name[:-3]])}


def _brotli(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """FILE.br of each, made by Node; nothing where there is no Node."""
    node = shutil.which("node")
    if node is None or not files:
        return {}
    with tempfile.TemporaryDirectory() as scratch:
        for number, data in enumerate(files.values()):
            (Path(scratch) / str(number)).write_bytes(data)
        command = [node, "-e", _BROTLI, scratch, str(len(files))]
        done = subprocess.run(  # noqa: S603  # a program of the user's own PATH, with our arguments
            command, capture_output=True, timeout=_BROTLI_SECONDS, check=False
        )
        if done.returncode:
            return {}
        return {f"{name}.br": (Path(scratch) / f"{number}.br").read_bytes() for number, name in enumerate(files)}


_BROTLI = """\
const { brotliCompressSync, constants } = require("node:zlib");
const { readFileSync, writeFileSync } = require("node:fs");
const [place, count] = process.argv.slice(1);
const params = { [constants.BROTLI_PARAM_QUALITY]: 9, [constants.BROTLI_PARAM_LGWIN]: 24 };
for (let at = 0; at < Number(count); at++) {
  writeFileSync(`${place}/${at}.br`, brotliCompressSync(readFileSync(`${place}/${at}`), { params }));
}
"""
