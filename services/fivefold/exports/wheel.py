"""This installation's own package as a wheel, for places that no package index reaches.

The same installation gives the same bytes. Which of the package's extras a place needs, and installing the wheel
there, is left to whoever ships it.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from base64 import urlsafe_b64encode
from importlib import metadata
from pathlib import Path

_TAG = "py3-none-any"
_KEPT = ("METADATA", "entry_points.txt")


def wheel() -> tuple[str, bytes]:
    """The wheel's file name and its bytes: every file of the package, with the installed metadata.

    Raises `importlib.metadata.PackageNotFoundError` where the package is imported without being installed.
    """
    installed = metadata.distribution("fivefold")
    name = f"fivefold-{installed.version}"
    about = f"{name}.dist-info"
    files = {**_package(), **_about(installed, about)}
    files[f"{about}/WHEEL"] = f"Wheel-Version: 1.0\nGenerator: {name}\nRoot-Is-Purelib: true\nTag: {_TAG}\n".encode()
    record = f"{about}/RECORD"
    files[record] = "".join([*(_line(path, data) for path, data in files.items()), f"{record},,\n"]).encode()
    return f"{name}-{_TAG}.whl", _zip(files)


def _package() -> dict[str, bytes]:
    root = Path(__file__).resolve().parents[1]
    found = (path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {f"fivefold/{path.relative_to(root).as_posix()}": path.read_bytes() for path in sorted(found)}


def _about(installed: metadata.Distribution, folder: str) -> dict[str, bytes]:
    """What the installed metadata says of the package itself, not of how and whence it came to this machine."""
    out = {}
    for path in installed.files or ():
        inside = path.parts[1:] if path.parts[0].endswith(".dist-info") else ()
        if inside and (inside[0] in _KEPT or inside[0] == "licenses"):
            out["/".join((folder, *inside))] = Path(str(path.locate())).read_bytes()
    return out


def _line(path: str, data: bytes) -> str:
    digest = urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{path},sha256={digest},{len(data)}\n"


def _zip(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in files.items():
            # A zip's times start in 1980; the mode is that of a plain readable file.
            entry = zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, data)
    return out.getvalue()
