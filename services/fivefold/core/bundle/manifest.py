"""bundle.json: what a bundle is made of, read strictly.

The file ends with its own seal (sha256 of every byte before it), so that a change shows even where nothing is signed;
who packed the bundle is proven only by `fivefold.core.bundle.signature`. Holding the files against the manifest is left
to `fivefold.core.bundle.bundle`, the binding's sense to `fivefold.core.bundle.binding`.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

import msgspec

from fivefold.core.bundle.binding import MANIFEST, Binding, refused
from fivefold.core.bundle.frame import FrameColumn
from fivefold.core.errors import BundleInvalid

SIGNATURE = "bundle.sig"
CONTRACT = "contract.json"
GOLDEN = "golden.jsonl"
MODEL = "model.onnx"
MODEL_DIRECTORY = "model/"
CONTRACTS = "contracts/"
MAX_CONTRACTS = 64
"""Versions that a bundle answers beside its own."""

MAX_BYTES = 2 << 30
"""All files of a bundle together; protobuf's own limit for one ONNX file is the same 2 GiB."""
MAX_MANIFEST = 4 << 20
MAX_FILES = 4096
MAX_PATH = 100
"""Bytes in the path of a file: what the name field of a tar header holds."""

TARGETS = {"onnx": ("server", "gateway", "browser"), "python": ("server", "gateway")}
"""Where a bundle of each runtime can run: a Python class has no browser target."""

_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+\-]*\Z")
_ENTRY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*\Z")
_PACKAGE = r"^[A-Za-z0-9]([A-Za-z0-9._\-]*[A-Za-z0-9])?\Z"
_RELEASE = r"^[0-9A-Za-z][0-9A-Za-z.+!_\-]{0,63}\Z"

Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
ModelName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_.\-]{0,127}\Z")]
Day = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")]
ModelVersion = Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Za-z][0-9A-Za-z.+\-]{0,63}\Z")]


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of the bundle: its path inside it, its size and its sha256."""

    path: str
    bytes: Annotated[int, msgspec.Meta(ge=0, le=MAX_BYTES)]
    sha256: Digest


class ContractEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The contract that the bundle answers; `sha256` is of its canonical form."""

    name: str
    version: str
    sha256: Digest


class VersionEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Another contract version that the bundle answers, `contracts/VERSION.json`; dates are `YYYY-MM-DD`."""

    version: ModelVersion
    sha256: Digest
    newer: bool = False
    deprecated: Day | None = None
    sunset: Day | None = None


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """bundle.json as a value.

    `tolerance` is the largest difference between a golden answer and the model's: |got - expected| may be at most
    `tolerance * max(1, |expected|)`; 0 asks for equal numbers. `entry` is the `module:Class` of a Python model,
    `binding` that of an ONNX model. `frame` is the data frame that a Python model was trained on, `packages` the
    distributions that it needs and their versions. `contracts` are the versions of the contract that it answers beside
    its own, oldest first, `default_contract` the one for callers that name none (its own, where absent).
    `created_from` holds facts for people: kind of source, library versions.
    """

    format: Literal[1]
    name: ModelName
    version: ModelVersion
    runtime: Literal["onnx", "python"]
    targets: tuple[Literal["server", "gateway", "browser"], ...]
    contract: ContractEntry
    tolerance: Annotated[float, msgspec.Meta(ge=0, le=1)]
    files: tuple[FileEntry, ...]
    binding: Binding | None = None
    entry: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    frame: tuple[FrameColumn, ...] | None = None
    packages: dict[Annotated[str, msgspec.Meta(pattern=_PACKAGE)], Annotated[str, msgspec.Meta(pattern=_RELEASE)]] = {}
    contracts: tuple[VersionEntry, ...] = ()
    default_contract: ModelVersion | None = None
    created_from: dict[str, Any] = {}
    seal: str = ""

    @classmethod
    def from_json(cls, raw: bytes) -> Manifest:
        """Parse and check bundle.json; raises `BundleInvalid` whose message starts with the place inside the file."""
        manifest = _convert(_values(raw))
        if manifest.seal != _seal(raw):
            raise refused(
                "seal", "the file was changed after it was packed", "pack the model again; do not edit bundle.json"
            )
        _check(manifest)
        return manifest

    def to_bytes(self) -> bytes:
        """bundle.json as written: UTF-8, two spaces, the seal as its last member. The same manifest, the same bytes."""
        try:
            values = msgspec.to_builtins(self)
            values.pop("seal", None)
            if self.packages:
                values["packages"] = dict(sorted(self.packages.items()))
            values["created_from"] = dict(sorted(self.created_from.items()))
            body = json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False).encode()
        except (ValueError, TypeError) as err:
            raise BundleInvalid(f"not JSON: {err}", path=MANIFEST) from err
        head = body[: -len(b"\n}")]
        return head + _tail(hashlib.sha256(head).hexdigest())


def _tail(seal: str) -> bytes:
    return f',\n  "seal": "{seal}"\n}}\n'.encode()


def _seal(raw: bytes) -> str | None:
    head = raw[: -len(_tail("0" * 64))]
    seal = hashlib.sha256(head).hexdigest()
    return seal if raw == head + _tail(seal) else None


def _values(raw: bytes) -> Any:
    try:
        return json.loads(raw.decode("utf-8"), object_pairs_hook=_object, parse_constant=_no_constant)
    except (ValueError, RecursionError) as err:
        raise BundleInvalid(f"not JSON: {err}", path=MANIFEST) from err


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in pairs:
        if name in out:
            raise ValueError(f"the member {shown(name)!r} twice")
        out[name] = value
    return out


def _no_constant(token: str) -> Any:
    raise ValueError(f"{token} is not JSON")


def _convert(values: Any) -> Manifest:
    try:
        return msgspec.convert(values, Manifest)
    except msgspec.ValidationError as err:
        message, _, where = str(err).replace("`", "").partition(" - at ")
        message = message[:1].lower() + message[1:]
        where = where.removeprefix("$").removeprefix(".")
        raise BundleInvalid(f"{where}: {message}" if where else message, path=MANIFEST) from err


def _check(manifest: Manifest) -> None:
    onnx = manifest.runtime == "onnx"
    if onnx and manifest.binding is None:
        raise refused("binding", "an ONNX model needs a binding")
    if not onnx and manifest.binding is not None:
        raise refused("binding", "a Python model takes the contract's own fields and has no binding")
    if onnx and manifest.entry is not None:
        raise refused("entry", "an ONNX model has no entry")
    if not onnx and (manifest.entry is None or not _ENTRY.match(manifest.entry)):
        raise refused("entry", f"expected module:Class, got {manifest.entry!r}")
    for member, what in (("frame", manifest.frame), ("packages", manifest.packages)):
        if onnx and what:
            raise refused(member, "an ONNX model takes tensors and needs no package")
    for index, target in enumerate(manifest.targets):
        if target not in TARGETS[manifest.runtime]:
            raise refused(f"targets[{index}]", f"a {manifest.runtime} model does not run on {target!r}")
        if target in manifest.targets[:index]:
            raise refused(f"targets[{index}]", f"{target!r} twice")
    if "server" not in manifest.targets:
        raise refused("targets", "every bundle runs on 'server'")
    if len(manifest.files) > MAX_FILES:
        raise refused("files", f"expected at most {MAX_FILES} files, got {len(manifest.files)}")
    _check_versions(manifest)
    versions = [entry.version for entry in manifest.contracts]
    check_layout([entry.path for entry in manifest.files], manifest.runtime, manifest.entry, versions)


def _check_versions(manifest: Manifest) -> None:
    known = [manifest.contract.version]
    if len(manifest.contracts) > MAX_CONTRACTS:
        raise refused("contracts", f"expected at most {MAX_CONTRACTS} versions, got {len(manifest.contracts)}")
    for index, entry in enumerate(manifest.contracts):
        # Devices and laptops with case-insensitive disks would see one file.
        if entry.version.lower() in (version.lower() for version in known):
            raise refused(f"contracts[{index}].version", f"{entry.version!r} twice")
        known.append(entry.version)
        for member in ("deprecated", "sunset"):
            day = getattr(entry, member)
            try:
                dt.date.fromisoformat(day or "2000-01-01")
            except ValueError:
                raise refused(f"contracts[{index}].{member}", f"no such day: {day}") from None
    if manifest.default_contract is not None and manifest.default_contract not in known:
        raise refused("default_contract", f"expected one of {', '.join(known)}, got {manifest.default_contract!r}")


def check_layout(paths: Iterable[str], runtime: str, entry: str | None, versions: Iterable[str] = ()) -> None:
    """Refuse a list of files that is not a bundle's: unsafe paths, doubles, strangers, or a part that is missing."""
    folded: dict[str, str] = {}
    known = [
        CONTRACT,
        GOLDEN,
        *([MODEL] if runtime == "onnx" else ()),
        *(f"{CONTRACTS}{each}.json" for each in versions),
    ]
    for index, path in enumerate(paths):
        where = f"files[{index}].path"
        reason = unsafe(path)
        if reason:
            raise BundleInvalid(f"{where}: {reason}", path=shown(path))
        if path.lower() in folded:
            # Devices and laptops with case-insensitive disks would see one file where servers see two.
            raise BundleInvalid(f"{where}: the same path as {folded[path.lower()]!r}", path=path)
        folded[path.lower()] = path
        if path not in known and not (runtime == "python" and path.startswith(MODEL_DIRECTORY)):
            raise BundleInvalid(f"{where}: not a file that a bundle of runtime {runtime!r} has", path=path)
    present = set(folded.values())
    for path in present:
        parents = path.split("/")[:-1]
        if any("/".join(parents[: end + 1]).lower() in folded for end in range(len(parents))):
            raise BundleInvalid("a file inside another file", path=path)
    for path in known:
        if path not in present:
            raise BundleInvalid("the bundle has no such file", path=path)
    if entry is not None:
        module = MODEL_DIRECTORY + entry.partition(":")[0].replace(".", "/")
        if f"{module}.py" not in present and f"{module}/__init__.py" not in present:
            raise BundleInvalid(f"the bundle has no such file, and entry names {entry!r}", path=f"{module}.py")


def unsafe(path: str) -> str | None:
    """Why a path may not stand in a bundle, or None: relative, ASCII, `/` between plain names, nothing hidden."""
    if len(path) > MAX_PATH:
        return f"a path has at most {MAX_PATH} characters"
    if all(_SEGMENT.match(segment) for segment in path.split("/")):
        return None
    if path.startswith("/") or ".." in path.split("/"):
        return "a path must stay inside the bundle"
    return "expected plain names with / between them"


def shown(path: str) -> str:
    """A path from an untrusted place as a message may show it."""
    return path[:MAX_PATH] if path.isascii() and path.isprintable() else ascii(path[:MAX_PATH])[1:-1]
