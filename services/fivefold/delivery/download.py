"""One object's bytes from `https`, `s3` or `gs` into a file.

A request that fails on the way, or with a status of 5xx, 408 or 429, is made again with growing pauses: by obstore for
object stores, whose connections and credentials are its matter too, and here for `web`. A body that breaks off is begun
anew here, because not every server can resume. What the bytes are is left to whoever verifies them.

No error tells an address's query, and none has a library's error behind it: a traceback would tell it.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator
from typing import IO, Any

from fivefold.core import redact
from fivefold.core.errors import BundleInvalid, Interrupted, Unavailable
from fivefold.delivery import web
from fivefold.delivery.reference import Reference
from fivefold.stores import object_store

ATTEMPTS = 4
"""Downloads of one object before it is given up; each may itself ask up to as many times."""

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
CONNECT_SECONDS = 10.0
STALL_SECONDS = 30.0
"""A server that sends nothing for so long counts as gone."""

CHUNK = 1 << 20


def download(
    reference: Reference,
    file: IO[bytes],
    *,
    limit: int,
    deadline: float,
    allow_http: bool = False,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Write the object to the (empty) file.

    `limit` is in bytes, `deadline` of `time.monotonic`. `allow_http` allows endpoints of object stores and redirects
    that are not encrypted, which an `http` reference does by itself. `check` is called between chunks, and what it
    raises ends the download. Raises `BundleInvalid` where the object is not there, may not be read or is too large,
    `Unavailable` where the server cannot be reached, `Interrupted` at the deadline, and `OSError` of the file.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _once(reference, file, limit, deadline, allow_http, check)
        except _BrokeOff as err:
            reason, how = str(err), f"the download broke off {ATTEMPTS} times"
        except web.Away as err:
            reason, how = str(err), "cannot be downloaded"
        pause = random.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt))  # noqa: S311  # spreads clients
        if time.monotonic() + pause >= deadline:
            raise _late(reference)
        if attempt < ATTEMPTS:
            time.sleep(pause)
            file.seek(0)
            file.truncate()
    raise Unavailable("not_ready", f"{reference.shown}: {how}: {reason}")


class _BrokeOff(Exception):
    """The body ended before its end."""


def _once(
    reference: Reference, file: IO[bytes], limit: int, deadline: float, allow_http: bool, check: Callable[[], None]
) -> None:
    from obstore.exceptions import BaseError

    left = deadline - time.monotonic()
    if left <= 0:
        raise _late(reference)
    if reference.scheme in ("http", "https"):
        _once_from_web(reference, file, limit, deadline, allow_http, check)
        return
    try:
        bucket, key = reference.bucket
        result = object_store.store(f"{reference.scheme}://{bucket}", allow_http, _patience(left)).get(key)
    except (BaseError, OSError, ValueError) as err:
        raise _refusal(reference, err, deadline) from None
    _check_size(reference, result.meta["size"], limit)
    _write(reference, file, _streamed(result), limit, deadline, check)


def _once_from_web(
    reference: Reference, file: IO[bytes], limit: int, deadline: float, allow_http: bool, check: Callable[[], None]
) -> None:
    seconds = min(STALL_SECONDS, max(0.001, deadline - time.monotonic()))
    try:
        with web.Object(reference.place, seconds=seconds, allow_http=allow_http) as found:
            _check_size(reference, found.size, limit)
            _write(reference, file, _broken_off(found), limit, deadline, check)
    except web.Denied as err:
        raise BundleInvalid(
            f"{reference.shown}: {err}", help="to follow it to http: FIVEFOLD_BUNDLE_HTTP=true"
        ) from None
    except web.Refused as err:
        if err.status in (401, 403):
            help = "a presigned URL may have expired"
            raise BundleInvalid(f"{reference.shown}: access is denied: {err}", help=help) from None
        if err.status == 404:
            raise BundleInvalid(f"{reference.shown}: there is no such object") from None
        if err.status < 500 and err.status not in web.RETRIED:
            raise BundleInvalid(f"{reference.shown}: {err}") from None
        raise web.Away(str(err)) from None


def _broken_off(found: web.Object) -> Iterator[bytes]:
    try:
        yield from found.chunks(CHUNK)
    except web.Away as err:
        raise _BrokeOff(str(err)) from None


def _streamed(result: Any) -> Iterator[bytes]:
    from obstore.exceptions import BaseError

    try:
        yield from result.stream(min_chunk_size=CHUNK)
    except (BaseError, OSError) as err:
        raise _BrokeOff(_sentence(err)) from None


def _check_size(reference: Reference, size: int | None, limit: int) -> None:
    if size is not None and size > limit:
        raise _too_large(reference, f"{size:,}", limit)


def _write(
    reference: Reference,
    file: IO[bytes],
    chunks: Iterator[bytes],
    limit: int,
    deadline: float,
    check: Callable[[], None],
) -> None:
    written = 0
    while True:
        chunk = next(chunks, None)
        check()
        if chunk is None:
            return
        written += len(chunk)
        if written > limit:
            raise _too_large(reference, "more", limit)
        file.write(chunk)
        if time.monotonic() >= deadline:
            raise _late(reference)


def _patience(seconds: float) -> object_store.Patience:
    """That of a download which has so many seconds left."""
    return object_store.Patience(
        connect=min(CONNECT_SECONDS, seconds),
        read=min(STALL_SECONDS, seconds),
        request=seconds,
        retries=ATTEMPTS - 1,
        retrying=seconds,
        backoff=(FIRST_PAUSE, LONGEST_PAUSE),
    )


def _refusal(reference: Reference, err: Exception, deadline: float) -> BundleInvalid | Unavailable | Interrupted:
    from obstore.exceptions import GenericError, PermissionDeniedError, UnauthenticatedError

    where, said, help = reference.shown, _sentence(err), object_store.HELP.get(reference.scheme)
    if isinstance(err, FileNotFoundError):
        return BundleInvalid(f"{where}: there is no such object")
    if isinstance(err, PermissionDeniedError | UnauthenticatedError):
        return BundleInvalid(f"{where}: access is denied: {said}", help=help)
    if time.monotonic() >= deadline:
        return _late(reference)
    if said.endswith("builder error") and reference.scheme in object_store.HELP:
        return BundleInvalid(
            f"{where}: the store's endpoint is not https", help="if that is meant: FIVEFOLD_BUNDLE_HTTP=true"
        )
    if not isinstance(err, GenericError) or re.search(r"status code: 4(?!08|29)\d\d", said):
        return BundleInvalid(f"{where}: {said}", help=help)
    return Unavailable("not_ready", f"{where}: cannot be downloaded: {said}", help=help)


def _sentence(err: Exception) -> str:
    """What went wrong, without the address (its query may be a secret) and without the library's debug output."""
    return redact.text(object_store.sentence(err).rpartition(" - ")[2].rstrip(": ")) or type(err).__name__


def _late(reference: Reference) -> Interrupted:
    return Interrupted(
        "deadline_exceeded",
        f"{reference.shown}: the time for fetching it is up",
        help="allow more: FIVEFOLD_BUNDLE_TIMEOUT=SECONDS",
    )


def _too_large(reference: Reference, size: str, limit: int) -> BundleInvalid:
    return BundleInvalid(f"{reference.shown}: expected at most {limit:,} bytes, got {size}")
