"""Files beside files for web servers: what pays, and what is kept."""

from __future__ import annotations

import gzip
import hashlib
import random
from pathlib import Path

from fivefold.exports.precompressed import compressed


def test_what_gets_smaller_is_compressed(tmp_path: Path) -> None:
    """Not a small file, not a picture, not noise."""
    noise = random.Random(7).randbytes(5000)
    files = {"a.js": b"x" * 5000, "small.js": b"x" * 100, "icon.png": b"x" * 5000, "noise.bin": noise}

    out = compressed(files, tmp_path)

    assert {name.rpartition(".")[0] for name in out} == {"a.js"}
    assert gzip.decompress(out["a.js.gz"]) == files["a.js"]
    assert list(tmp_path.iterdir()) == []


def test_what_takes_long_is_made_once(tmp_path: Path) -> None:
    """By its digest; the cache is taken at its word, and done without where it cannot be written."""
    data = b"y" * 5000
    digest = hashlib.sha256(data).hexdigest()

    first = compressed({"a.wasm": data}, tmp_path / "cache", [digest])
    for place in (tmp_path / "cache").iterdir():
        place.write_bytes(b"kept")
    (tmp_path / "file").write_text("")

    assert first == compressed({"a.wasm": data}, tmp_path / "file", [digest])
    if len(first) == 2:
        assert set(compressed({"b.wasm": data}, tmp_path / "cache", [digest]).values()) == {b"kept"}
