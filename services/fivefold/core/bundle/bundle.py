"""A bundle: one model with its contract, its binding and golden answers, as a directory or a `.tar`.

    bundle.json      name, version, runtime, binding, tolerance; path, size and sha256 of every other file; its own seal
    contract.json    the contract
    contracts/       optional: further versions of it that the model answers, each `VERSION.json`
    golden.jsonl     1 to 256 rows, each {"in": record, "out": record}
    model.onnx       an ONNX model, or model/ with the files of a Python class
    bundle.sig       optional: Ed25519 over the bytes of bundle.json

`Bundle.open` verifies every byte and keeps it: what was verified is what `read` gives and what is served, whatever
happens to the files afterwards. No code of the bundle runs here. Opening the model, and proving that it still gives its
golden answers, is left to `fivefold.core.runtime.scorer`; making a model's bytes, binding and golden rows to packing.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from fivefold.core import atomic, redact
from fivefold.core.bundle import archive
from fivefold.core.bundle.binding import MANIFEST, Binding, InputBinding, OutputBinding, check, refused
from fivefold.core.bundle.carried import CarriedVersion, in_order, oldest, read_carried, views_of
from fivefold.core.bundle.frame import FrameColumn
from fivefold.core.bundle.frame import check_layout as check_frame
from fivefold.core.bundle.manifest import (
    CONTRACT,
    CONTRACTS,
    GOLDEN,
    MAX_BYTES,
    MAX_MANIFEST,
    MODEL,
    MODEL_DIRECTORY,
    SIGNATURE,
    TARGETS,
    ContractEntry,
    FileEntry,
    Manifest,
    check_layout,
    shown,
)
from fivefold.core.bundle.signature import SIGNATURE_BYTES, PublicKey, private_key, signer
from fivefold.core.columns import Columns
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import BundleInvalid, ContractError, ContractInvalid
from fivefold.core.fields.field import Field
from fivefold.core.readers.records import Records
from fivefold.core.view import Views

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["MAX_GOLDEN", "Binding", "Bundle", "InputBinding", "Manifest", "OutputBinding"]

MAX_GOLDEN = 256
"""Rows: enough to meet every branch of a usual model, few enough to be scored at every start."""


class _GoldenLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"given": "in", "answer": "out"}):
    given: msgspec.Raw
    answer: msgspec.Raw


@dataclass(frozen=True, repr=False, eq=False)
class Bundle:
    """An opened and verified bundle; immutable and safe to share between threads.

    `digest` is the sha256 of bundle.json's bytes and the bundle's identity everywhere; `signer` is the fingerprint of
    the configured key that signed it, None where no key was configured.
    """

    path: Path
    manifest: Manifest
    contract: Contract
    carried: tuple[CarriedVersion, ...]
    views: Views
    """How the model looks under each contract version that it answers."""
    digest: str
    signer: str | None
    _files: Mapping[str, bytes]
    _golden: tuple[Columns, Columns]

    @classmethod
    def open(cls, path: str | Path, *, public_keys: Sequence[PublicKey] = (), max_bytes: int = MAX_BYTES) -> Bundle:
        """Open and verify a bundle's directory or `.tar`.

        With `public_keys` the bundle has to be signed by one of them. `max_bytes` bounds its files together. Raises
        `BundleInvalid` with the file's name as path.
        """
        place = Path(path)
        try:
            return _verified(place, archive.source(place, max_bytes), public_keys, max_bytes)
        except OSError as err:
            raise BundleInvalid(f"cannot read {redact.address(str(place))}: {err.strerror}") from None

    @staticmethod
    def write(
        directory: str | Path,
        *,
        contract: Contract,
        model: Mapping[str, bytes],
        runtime: str,
        golden: tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]],
        tolerance: float,
        binding: Binding | None = None,
        entry: str | None = None,
        name: str | None = None,
        version: str = "1",
        facts: Mapping[str, Any] | None = None,
        targets: Sequence[str] | None = None,
        frame: Sequence[FrameColumn] | None = None,
        packages: Mapping[str, str] | None = None,
        carried: Sequence[CarriedVersion] = (),
        default_contract: str | None = None,
    ) -> Bundle:
        """Write a bundle to a directory, all of it or nothing: the same arguments, the same bytes.

        `model` maps paths in the bundle to bytes: `model.onnx` with its `binding`, or files below `model/` with the
        `entry` `module:Class`. `golden` holds the records given and the records answered, as JSON values. `name`
        defaults to the contract's, `targets` to every place where the runtime exists. `frame` is the data frame that a
        Python model was trained on, `packages` the versions of the distributions that it needs. `carried` are further
        contract versions that it answers, `default_contract` the one for callers that name none: the oldest, where it
        is not given. A bundle that already
        stands there is replaced, and left as it is (with its signature) where it is the same one; a directory that
        holds anything else is refused. Raises `BundleInvalid`.
        """
        given, answers = golden
        if len(given) != len(answers):
            raise BundleInvalid(f"{len(given)} golden rows in, {len(answers)} out", path=GOLDEN)
        files = dict(model)
        for path in (CONTRACT, GOLDEN, MANIFEST, SIGNATURE):
            if path in files:
                raise BundleInvalid("this file is written by the bundle itself", path=path)
        files[CONTRACT] = contract.to_bytes()
        files[GOLDEN] = b"".join(_golden_line(row, answer) for row, answer in zip(given, answers, strict=True))
        versions = in_order(carried)
        files |= {each.path: each.contract.to_bytes() for each in versions}
        check_layout(sorted(files), runtime, entry, [each.contract.version for each in versions])
        manifest = Manifest(
            format=1,
            name=contract.name if name is None else name,
            version=version,
            runtime=runtime,  # type: ignore[arg-type]  # checked when the bytes are read back below
            targets=tuple(TARGETS.get(runtime, ()) if targets is None else targets),  # type: ignore[arg-type]  # ditto
            contract=ContractEntry(contract.name, contract.version, contract.digest),
            tolerance=float(tolerance),
            files=tuple(_entry(path, files[path]) for path in sorted(files)),
            binding=binding,
            entry=entry,
            frame=None if frame is None else tuple(frame),
            packages=dict(packages or {}),
            contracts=tuple(each.entry() for each in versions),
            default_contract=default_contract or (oldest(contract, versions) if versions else None),
            # Everybody who has the bundle reads these.
            created_from=redact.value(dict(facts or {})),
        )
        files[MANIFEST] = manifest.to_bytes()
        target = Path(directory)
        # The one way in: what could not be opened is never written.
        bundle = _verified(target, _Memory(files), (), MAX_BYTES)
        standing = _standing(target)
        if standing is not None and standing.digest == bundle.digest:
            return standing
        _put(target, files)
        return bundle

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def version(self) -> str:
        return self.manifest.version

    @property
    def signed(self) -> bool:
        """Whether there is a signature; whether it was checked, and whose it is, says `signer`."""
        return SIGNATURE in self._files

    @property
    def default_contract(self) -> str:
        """The contract version that callers get who name none."""
        return _default(self.manifest)

    def names(self) -> tuple[str, ...]:
        """The paths of all files, sorted."""
        return tuple(sorted(self._files))

    def read(self, name: str) -> bytes:
        """The verified bytes of a file; KeyError where there is no such file."""
        return self._files[name]

    def golden(self) -> tuple[Columns, Columns]:
        """The golden rows: columns of the contract's inputs, and of its outputs as the packed model answered."""
        return self._golden

    def copy(self, directory: str | Path) -> Bundle:
        """Write the bundle, its signature included, to a directory, all of it or nothing; returns it as it lies there.

        What stands there is treated as by `write`, and left as it is where it is the same to the byte. Raises
        `BundleInvalid`.
        """
        target = Path(directory)
        standing = _standing(target)
        if standing is not None and standing._files == self._files:
            return standing
        _put(target, self._files)
        return replace(self, path=target)

    def archive(self, tar: str | Path) -> Path:
        """Write the bundle as one `.tar`; the same bundle gives the same bytes. Raises `BundleInvalid`."""
        place = Path(tar)
        refuse_within(place)
        try:
            atomic.replace_file(place, archive.tar_bytes(self._files))
        except OSError as err:
            raise BundleInvalid(f"cannot write {place}: {err.strerror}") from err
        return place

    def __repr__(self) -> str:
        return f"Bundle({self.name}@{self.version}, {self.digest[:12]})"


def sign(path: str | Path, key: Ed25519PrivateKey | bytes | str | Path) -> Bundle:
    """Sign the bundle at `path` (directory or `.tar`) with an Ed25519 private key or its PEM; returns it, verified.

    An older signature is replaced. Ed25519 is deterministic: the same bundle and key give the same bytes.
    """
    secret = private_key(key)
    place = Path(path)
    bundle = Bundle.open(place)
    signature = secret.sign(bundle.read(MANIFEST))
    try:
        if place.is_dir():
            # A part file inside the bundle would be a stranger to whoever opens the bundle at this moment.
            root = place.resolve()
            atomic.replace_file(root / SIGNATURE, signature, through=root.parent)
        else:
            atomic.replace_file(place, archive.tar_bytes({**bundle._files, SIGNATURE: signature}))
    except OSError as err:
        raise BundleInvalid(f"cannot write {place}: {err.strerror}") from err
    return Bundle.open(place, public_keys=[secret.public_key()])


class _Memory:
    """A source of files that are already bytes."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files

    def sizes(self) -> Mapping[str, int]:
        return {path: len(data) for path, data in self._files.items()}

    def read(self, path: str, limit: int) -> bytes:
        if len(self._files[path]) > limit:
            raise BundleInvalid(f"expected at most {limit:,} bytes", path=path)
        return self._files[path]


def _standing(target: Path) -> Bundle | None:
    """The bundle directory that stands there, or None where there is none or it is not whole."""
    try:
        return Bundle.open(target) if target.is_dir() else None
    except (BundleInvalid, OSError):
        return None


def _put(target: Path, files: Mapping[str, bytes]) -> None:
    try:
        check_replaceable(target)
        atomic.replace_directory(target.resolve(), files)
    except OSError as err:
        raise BundleInvalid(f"cannot write {target}: {err.strerror}") from err


def check_replaceable(target: Path) -> bool:
    """Whether a bundle stands there; False for nothing, or an empty directory.

    It is one by its names: whether its digests hold matters no longer. Raises `BundleInvalid` for anything else.
    """
    refuse_within(target)
    if not target.exists():
        return False
    if not target.is_dir():
        raise BundleInvalid(f"{target} is a file; a bundle is written to a directory")
    names = {entry.name for entry in target.iterdir()}
    own = {MANIFEST, SIGNATURE, CONTRACT, GOLDEN, MODEL, MODEL_DIRECTORY.rstrip("/"), CONTRACTS.rstrip("/")}
    if names and not (MANIFEST in names and names <= own):
        help = "name another directory, or empty this one yourself"
        raise BundleInvalid(f"{target} holds something other than a bundle", help=help)
    return bool(names)


def enclosing(place: Path) -> Path | None:
    """The bundle directory that `place` lies in, or would lie in; None where there is none. `place` itself is none."""
    # Not `resolve`, which has no answer to links in a circle.
    parents = Path(os.path.realpath(place)).parents
    return next((one for one in parents if all((one / name).is_file() for name in (MANIFEST, CONTRACT, GOLDEN))), None)


def refuse_within(target: Path) -> None:
    """Raise `BundleInvalid` for a place in a bundle: one file more than its manifest lists, and nobody opens it."""
    outer = enclosing(target)
    if outer is not None:
        raise BundleInvalid(f"{target} would lie in the bundle {outer}", help="name a place outside of it")


def _verified(place: Path, source: archive.Source, keys: Sequence[PublicKey], max_bytes: int) -> Bundle:
    sizes = source.sizes()
    if MANIFEST not in sizes:
        raise BundleInvalid("the bundle has no such file", path=MANIFEST)
    raw = source.read(MANIFEST, MAX_MANIFEST)
    manifest = Manifest.from_json(raw)
    files = {MANIFEST: raw}
    if SIGNATURE in sizes:
        files[SIGNATURE] = source.read(SIGNATURE, SIGNATURE_BYTES)
    by = signer(raw, files.get(SIGNATURE), keys)
    _check_names(manifest, sizes, max_bytes)
    for entry in manifest.files:
        data = source.read(entry.path, entry.bytes)
        if len(data) != entry.bytes:
            raise BundleInvalid(f"expected {entry.bytes:,} bytes, got {len(data):,}", path=entry.path)
        got = hashlib.sha256(data).hexdigest()
        if got != entry.sha256:
            raise BundleInvalid(f"expected sha256 {entry.sha256}, got {got}", path=entry.path)
        files[entry.path] = data
    contract = _contract(manifest, files[CONTRACT])
    if manifest.binding is not None:
        check(manifest.binding, contract)
    if manifest.frame is not None:
        check_frame(manifest.frame, contract.inputs)
    carried = read_carried(manifest, files, contract)
    views = views_of(manifest.name, contract, carried, _default(manifest))
    golden = _golden(files[GOLDEN], contract)
    digest = hashlib.sha256(raw).hexdigest()
    return Bundle(place, manifest, contract, carried, views, digest, by, files, golden)


def _default(manifest: Manifest) -> str:
    return manifest.default_contract or manifest.contract.version


def _check_names(manifest: Manifest, sizes: Mapping[str, int], max_bytes: int) -> None:
    listed = {entry.path: entry.bytes for entry in manifest.files}
    total = len(manifest.files) and sum(listed.values())
    if total > max_bytes:
        largest = max(listed, key=lambda path: listed[path])
        raise BundleInvalid(f"the files have {total:,} bytes together, more than {max_bytes:,}", path=largest)
    for path in sorted(sizes):
        if path not in listed and path not in (MANIFEST, SIGNATURE):
            raise BundleInvalid("the file is not listed in bundle.json", path=shown(path))
    for path, size in listed.items():
        if path not in sizes:
            raise BundleInvalid("the bundle has no such file", path=path)
        if sizes[path] != size:
            raise BundleInvalid(f"expected {size:,} bytes, got {sizes[path]:,}", path=path)


def _contract(manifest: Manifest, raw: bytes) -> Contract:
    try:
        contract = Contract.from_json(raw)
    except ContractInvalid as err:
        raise BundleInvalid(str(err), path=CONTRACT, help=err.help) from err
    for member, told, found in (
        ("name", manifest.contract.name, contract.name),
        ("version", manifest.contract.version, contract.version),
        ("sha256", manifest.contract.sha256, contract.digest),
    ):
        if told != found:
            raise refused(f"contract.{member}", f"expected {found!r} as in contract.json, got {told!r}")
    return contract


def _golden(raw: bytes, contract: Contract) -> tuple[Columns, Columns]:
    lines = raw.split(b"\n")
    unended = lines.pop()
    if unended or not 1 <= len(lines) <= MAX_GOLDEN:
        count = len(lines) + bool(unended)
        raise BundleInvalid(f"expected 1 to {MAX_GOLDEN} lines, each ended, got {count}", path=GOLDEN)
    given, answers = [], []
    for row, line in enumerate(lines):
        try:
            pair = _GOLDEN_LINE.decode(line)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as err:
            raise BundleInvalid(f'row {row}: expected {{"in": record, "out": record}}: {err}', path=GOLDEN) from err
        given.append(bytes(pair.given))
        answers.append(bytes(pair.answer))
    return _read(given, contract.inputs, "inputs"), _read(answers, contract.outputs, "outputs")


_GOLDEN_LINE = msgspec.json.Decoder(_GoldenLine)


def _read(records: Sequence[bytes], fields: Sequence[Field], side: str) -> Columns:
    try:
        return Records(fields).read_json(b'{"instances":[' + b",".join(records) + b"]}").accept()
    except ContractError as err:
        where = err.path.replace("inputs", side, 1)
        raise BundleInvalid(f"{where}: {err.message}", path=GOLDEN, help=err.help) from err


def _golden_line(given: Mapping[str, Any], answer: Mapping[str, Any]) -> bytes:
    pair = {"in": given, "out": answer}
    try:
        text = json.dumps(pair, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode() + b"\n"
    except (ValueError, TypeError) as err:
        raise BundleInvalid(f"a golden row is not JSON: {err}", path=GOLDEN) from err


def _entry(path: str, data: bytes) -> FileEntry:
    return FileEntry(path, len(data), hashlib.sha256(data).hexdigest())
