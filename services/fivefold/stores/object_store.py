"""Object stores: `s3://bucket/key` and `gs://bucket/key` by obstore, and its errors in our words.

Credentials and endpoints come from the environment. What lies where, and when it may be written, is left to `sources`
and `storage`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from fivefold.core.errors import FivefoldError, NotFound, RunFailed

SCHEMES = ("s3", "gs")
READ_BYTES = 8 * 1024 * 1024
"""Asked for at once when an object is read from front to back."""

_HELP = {
    "s3": "credentials, region and endpoint come from AWS_* variables, or from the pod's own identity",
    "gs": "credentials come from GOOGLE_APPLICATION_CREDENTIALS, or from the pod's own identity",
}


def is_remote(url: str) -> bool:
    """Whether the URL is an object store's."""
    return url.partition("://")[0] in SCHEMES and "://" in url


def split(url: str) -> tuple[str, str, str]:
    """Scheme, bucket and key."""
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    if not bucket:
        raise NotFound("not_found", f"{url}: expected {scheme}://BUCKET/KEY")
    return scheme, bucket, key


def store(url: str, allow_http: bool) -> Any:
    """The store of the URL's bucket; `allow_http` allows an endpoint that is not https."""
    from obstore.store import GCSStore, S3Store

    scheme, bucket, _ = split(url)
    client: Any = {
        "connect_timeout": timedelta(seconds=10),
        "read_timeout": timedelta(seconds=60),
        "timeout": timedelta(seconds=600),
        "allow_http": allow_http,
    }
    retry: Any = {"max_retries": 5, "retry_timeout": timedelta(seconds=120)}
    kind: Any = GCSStore if scheme == "gs" else S3Store
    return kind(bucket, client_options=client, retry_config=retry)


@contextmanager
def speaking_of(url: str) -> Iterator[None]:
    """Turn the library's errors into ours: `NotFound`, or `RunFailed` `storage_failed`."""
    from obstore.exceptions import BaseError, PreconditionError

    try:
        yield
    except FileNotFoundError as err:
        raise NotFound("not_found", "there is no such object", path=url) from err
    except PreconditionError as err:
        raise changed(url) from err
    except (BaseError, ValueError) as err:
        said = str(err).partition("\n")[0].partition("<")[0].strip()[:300]
        raise RunFailed("storage_failed", said, path=url, help=_HELP.get(url.partition("://")[0])) from err


def changed(url: str) -> FivefoldError:
    """The error of an input that is no longer what the plan says."""
    return RunFailed(
        "run_conflict",
        "the file has changed since the run was planned",
        path=url,
        help="inputs of a run must not change; start a new run into another output directory",
    )


class ObjectFile(io.RawIOBase):
    """An object as a file to read: each read is one request, of the very version that was planned."""

    def __init__(self, url: str, size: int, tag: str | None, allow_http: bool) -> None:
        self._url, self._size, self._tag = url, size, tag
        self._store, self._key = store(url, allow_http), split(url)[2]
        self._at = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """The position."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer, or as much of it as the object still has."""
        end = min(self._at + len(buffer), self._size)
        if end <= self._at:
            return 0
        options: Any = {"range": (self._at, end)}
        if self._tag:
            options["if_match"] = self._tag
        with speaking_of(self._url):
            result = self._store.get(self._key, options=options)
            # Not every server that speaks a store's protocol heeds the condition, and some quote the tag only here.
            if self._tag and (result.meta["e_tag"] or "").strip('"') != self._tag.strip('"'):
                raise changed(self._url)
            data = bytes(result.bytes())
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
