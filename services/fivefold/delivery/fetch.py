"""From a reference to a verified bundle: the one way by which a bundle from elsewhere comes in.

Every byte is verified where it is taken from, the cache included, and the bundle that was verified is the one that is
given back: nothing is read a second time. What the cache is, and how bytes travel, is left to the modules beside.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

from fivefold.core.bundle.archive import capacity
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import BundleInvalid
from fivefold.delivery.cache import Cache, UnfinishedEntry, cannot_write, default
from fivefold.delivery.reference import Reference
from fivefold.delivery.settings import DeliverySettings


def fetch(
    reference: str | Reference,
    settings: DeliverySettings | None = None,
    *,
    check: Callable[[], None] = lambda: None,
) -> Bundle:
    """The bundle that a reference names, verified: every file's digest, its own, and the signature with trusted keys.

    A bundle elsewhere is downloaded once into the cache, by one process at a time, and taken from there afterwards;
    `path` says where it lies. `check` is called while it is downloaded, and what it raises ends the download. Raises
    `BundleInvalid` for a bundle that must not be served or cannot be had, `Unavailable` where its server cannot be
    reached, and `Interrupted` when `bundle_timeout` is over.
    """
    reference = Reference.parse(reference) if isinstance(reference, str) else reference
    settings = settings or DeliverySettings()
    if reference.local:
        return _verified(Path(reference.place), reference, settings)
    if reference.plain_http and not settings.bundle_http:
        raise BundleInvalid(
            f"{reference.shown}: http to another machine shows the model to everybody on the way",
            help="use https, or allow it: FIVEFOLD_BUNDLE_HTTP=true",
        )
    assert reference.digest is not None
    deadline = time.monotonic() + settings.bundle_timeout
    cache = Cache(Path(settings.bundle_cache) if settings.bundle_cache else default())
    entry = cache.entry(reference.digest)
    found = _standing(entry, reference, settings)
    if found is not None:
        return found
    with cache.turn(reference.digest, deadline) as part:
        # Another process may have put it there since.
        return _standing(entry, reference, settings) or _fill(part, entry, reference, settings, deadline, check)


def fetch_to(reference: str | Reference, directory: Path, settings: DeliverySettings | None = None) -> Bundle:
    """The bundle that a reference names, verified and written to a directory, all of it or nothing.

    Where that bundle stands there already, nothing is read from elsewhere. What is downloaded goes through a cache of
    its own beside the directory, so that only the directory's parent has to be writable. Raises as `fetch` does.
    """
    reference = Reference.parse(reference) if isinstance(reference, str) else reference
    settings = settings or DeliverySettings()
    if not reference.local:
        standing = _standing(directory, reference, settings)
        if standing is not None:
            return standing
    if reference.local:
        return fetch(reference, settings).copy(directory)
    place = directory.absolute().with_name(f".{directory.absolute().name}.download")
    try:
        return fetch(reference, dataclasses.replace(settings, bundle_cache=str(place))).copy(directory)
    finally:
        assert reference.digest is not None
        Cache(place).entry(reference.digest).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            place.rmdir()


def _fill(
    part: UnfinishedEntry,
    entry: Path,
    reference: Reference,
    settings: DeliverySettings,
    deadline: float,
    check: Callable[[], None],
) -> Bundle:
    # Seldom: what lies on this disk needs no client.
    from fivefold.delivery.download import download

    try:
        limit = capacity(settings.bundle_max_bytes)
        download(reference, part.file, limit=limit, deadline=deadline, allow_http=settings.bundle_http, check=check)
        part.file.flush()
        bundle = _verified(part.path, reference, settings)
        part.keep(entry)
    except OSError as err:
        raise cannot_write(entry.parent, err) from err
    return dataclasses.replace(bundle, path=entry)


def _standing(entry: Path, reference: Reference, settings: DeliverySettings) -> Bundle | None:
    """The cached bundle; None where there is none, or it is damaged or lacks the signature that is asked for now."""
    try:
        return _verified(entry, reference, settings) if entry.exists() else None
    except BundleInvalid:
        return None


def _verified(place: Path, reference: Reference, settings: DeliverySettings) -> Bundle:
    try:
        bundle = Bundle.open(place, public_keys=settings.trusted_keys, max_bytes=settings.bundle_max_bytes)
    except BundleInvalid as err:
        if reference.local:
            raise
        path = "" if err.path == place.name else err.path
        raise BundleInvalid(f"{reference.shown}: {err.message}", path=path, help=err.help) from err
    if reference.digest not in (None, bundle.digest):
        raise BundleInvalid(
            f"{reference.shown}: expected the bundle {reference.digest}, got {bundle.digest} "
            f"({bundle.name}@{bundle.version})",
            help="the digest is what `fivefold bundle show` prints: the sha256 of bundle.json, not of the .tar",
        )
    return bundle
