"""One object's bytes from `https`, `s3` or `gs` into a file.

Connections, credentials and the first retries are obstore's: a request that fails on the way, or with a status of 5xx,
408 or 429, is made again with growing pauses. A body that breaks off is begun anew here, because not every server can
resume. What the bytes are is left to whoever verifies them.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from datetime import timedelta
from typing import IO, TYPE_CHECKING, Any

from fivefold.core.errors import BundleInvalid, Interrupted, Unavailable
from fivefold.delivery.reference import Reference

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

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
    clear: bool = False,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Write the object to the (empty) file.

    `limit` is in bytes, `deadline` of `time.monotonic`. `clear` allows endpoints of object stores and redirects that
    are not encrypted, which an `http` reference does by itself. `check` is called between chunks, and what it raises
    ends the download. Raises `BundleInvalid` where the object is not there, may not be read or is too large,
    `Unavailable` where the server cannot be reached, `Interrupted` at the deadline, and `OSError` of the file.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _once(reference, file, limit, deadline, clear, check)
        except _BrokeOff as err:
            reason = str(err)
        pause = random.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt))  # noqa: S311  # spreads clients
        if time.monotonic() + pause >= deadline:
            raise _late(reference)
        if attempt < ATTEMPTS:
            time.sleep(pause)
            file.seek(0)
            file.truncate()
    raise Unavailable("not_ready", f"{reference.shown}: the download broke off {ATTEMPTS} times: {reason}")


class _BrokeOff(Exception):
    """The body ended before its end."""


def _once(
    reference: Reference, file: IO[bytes], limit: int, deadline: float, clear: bool, check: Callable[[], None]
) -> None:
    from obstore.exceptions import BaseError

    left = deadline - time.monotonic()
    if left <= 0:
        raise _late(reference)
    try:
        store, key = _store(reference, left, clear)
        result = store.get(key)
    except (BaseError, OSError, ValueError) as err:
        raise _refusal(reference, err, deadline) from err
    if result.meta["size"] > limit:
        raise _too_large(reference, f"{result.meta['size']:,}", limit)
    written = 0
    chunks = iter(result.stream(min_chunk_size=CHUNK))
    while True:
        try:
            chunk = next(chunks, None)
        except (BaseError, OSError) as err:
            raise _BrokeOff(_sentence(err)) from err
        check()
        if chunk is None:
            return
        written += len(chunk)
        if written > limit:
            raise _too_large(reference, "more", limit)
        file.write(chunk)
        if time.monotonic() >= deadline:
            raise _late(reference)


def _store(reference: Reference, seconds: float, clear: bool) -> tuple[Any, str]:
    from obstore.store import GCSStore, HTTPStore, S3Store

    client: ClientConfig = {
        "connect_timeout": timedelta(seconds=min(CONNECT_SECONDS, seconds)),
        "read_timeout": timedelta(seconds=min(STALL_SECONDS, seconds)),
        "timeout": timedelta(seconds=seconds),
        "allow_http": clear or reference.scheme == "http",
    }
    retry: RetryConfig = {
        "max_retries": ATTEMPTS - 1,
        "retry_timeout": timedelta(seconds=seconds),
        "backoff": {
            "init_backoff": timedelta(seconds=FIRST_PAUSE),
            "max_backoff": timedelta(seconds=LONGEST_PAUSE),
            "base": 2,
        },
    }
    if reference.scheme in ("http", "https"):
        # The whole URL is the store and the object's key is empty: a signed query stays exactly as it was signed.
        return HTTPStore.from_url(reference.place, client_options=client, retry_config=retry), ""
    bucket, key = reference.bucket
    if reference.scheme == "gs":
        return GCSStore(bucket, client_options=client, retry_config=retry), key
    return S3Store(bucket, client_options=client, retry_config=retry), key


def _refusal(reference: Reference, err: Exception, deadline: float) -> BundleInvalid | Unavailable | Interrupted:
    from obstore.exceptions import GenericError, PermissionDeniedError, UnauthenticatedError

    where, said = reference.shown, _sentence(err)
    if isinstance(err, FileNotFoundError):
        return BundleInvalid(f"{where}: there is no such object")
    if isinstance(err, PermissionDeniedError | UnauthenticatedError):
        return BundleInvalid(f"{where}: access is denied: {said}", help=_HELP_ACCESS.get(reference.scheme))
    if time.monotonic() >= deadline:
        return _late(reference)
    if said.endswith("builder error") and reference.scheme in _HELP_ACCESS:
        return BundleInvalid(
            f"{where}: the store's endpoint is not https", help="if that is meant: FIVEFOLD_BUNDLE_HTTP=true"
        )
    if not isinstance(err, GenericError) or re.search(r"status code: 4(?!08|29)\d\d", said):
        return BundleInvalid(f"{where}: {said}", help=_HELP_ACCESS.get(reference.scheme))
    return Unavailable("not_ready", f"{where}: cannot be downloaded: {said}", help=_HELP_ACCESS.get(reference.scheme))


_HELP_ACCESS = {
    "s3": "credentials, region and endpoint come from AWS_* variables, or from the pod's own identity",
    "gs": "credentials come from GOOGLE_APPLICATION_CREDENTIALS, or from the pod's own identity",
}


def _sentence(err: Exception) -> str:
    """What went wrong, without the address (its query may be a secret) and without the library's debug output."""
    first = str(err).partition("\n")[0].partition("<")[0].strip()
    return first.rpartition(" - ")[2].rstrip(": ") or type(err).__name__


def _late(reference: Reference) -> Interrupted:
    return Interrupted(
        "deadline_exceeded",
        f"{reference.shown}: the time for fetching it is up",
        help="allow more: FIVEFOLD_BUNDLE_TIMEOUT=SECONDS",
    )


def _too_large(reference: Reference, size: str, limit: int) -> BundleInvalid:
    return BundleInvalid(f"{reference.shown}: expected at most {limit:,} bytes, got {size}")
