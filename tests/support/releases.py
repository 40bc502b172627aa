"""Signed releases of small bundles, and a hub that serves them as it should or as it should not."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fivefold.edge.updates.descriptor import ReleaseDescriptor, SignedRelease, make_release, sign_release, write_release
from tests.support.bundles import write_sum
from tests.support.listening import listening

PUBLISHER = Ed25519PrivateKey.from_private_bytes(bytes(32))
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(31) + b"1")
TRUSTED = (PUBLISHER.public_key(),)

CHUNK = 1024


def released(directory: Path, number: int, write: Callable[..., Any] = write_sum, **changes: Any) -> Path:
    """A directory with the three files of a release of the sum; its bundle has the number as its version."""
    write(directory / "bundle", **{"version": str(number), **changes})
    descriptor, archive = make_release(directory / "bundle", release=number, chunk_bytes=CHUNK)
    return write_release(directory / "stick", sign_release(descriptor, PUBLISHER), archive)


class ReleaseHub:
    """What a hub answers to one device; `break_archive` may change the body of an archive's answer, given its start."""

    def __init__(self) -> None:
        self.offers: list[dict[str, Any]] = []
        self.archives: dict[str, bytes] = {}
        self.requests: list[tuple[str, str, str | None]] = []
        """Method, last parts of the path, and the range or the tag that was asked for."""
        self.ranges = True
        self.status: int | None = None
        self.break_archive: Callable[[bytes, int], bytes] = lambda body, start: body
        self.content_range: str | None = None
        self.url = ""

    def publish(self, signed: SignedRelease, archive: bytes, signature: bytes | None = None) -> None:
        """Offer a release instead of the model's one before."""
        descriptor = signed.descriptor
        self.offers = [one for one in self.offers if one["model"] != descriptor.model]
        self.offers.append(
            {
                "model": descriptor.model,
                "release": descriptor.release,
                "descriptor": base64.b64encode(signed.raw).decode(),
                "signature": base64.b64encode(signature or signed.signature).decode(),
            }
        )
        self.archives[descriptor.archive.sha256] = archive

    def publish_stick(self, stick: Path) -> None:
        """Offer the release of a directory."""
        raw, signature = ((stick / name).read_bytes() for name in ("release.json", "release.sig"))
        self.publish(
            SignedRelease(ReleaseDescriptor.from_json(raw), raw, signature), (stick / "bundle.tar").read_bytes()
        )

    def ranges_asked(self) -> list[str | None]:
        return [asked for _, path, asked in self.requests if path.startswith("archives/")]


@contextlib.contextmanager
def release_hub(key: str = "secret", device: str = "device-1") -> Iterator[ReleaseHub]:
    """A hub on a free port of this machine."""
    hub = ReleaseHub()

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            path = self._path()
            if path is None:
                return
            if path == "models":
                self._models()
            else:
                self._archive(path.removeprefix("archives/"))

        def _path(self) -> str | None:
            prefix = f"/v1/edge/{device}/"
            path = self.path.removeprefix(prefix)
            asked = self.headers.get("range") or self.headers.get("if-none-match")
            hub.requests.append((self.command, path, asked))
            if self.headers.get("authorization") != f"Bearer {key}" or not self.path.startswith(prefix):
                self._send(401, b"{}")
                return None
            if hub.status is not None:
                self._send(hub.status, b"{}", {"retry-after": "7"})
                return None
            return path

        def _models(self) -> None:
            body = json.dumps({"models": hub.offers}).encode()
            tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
            if self.headers.get("if-none-match") == tag:
                self._send(304, b"")
            else:
                self._send(200, body, {"etag": tag})

        def _archive(self, sha256: str) -> None:
            data = hub.archives.get(sha256)
            if data is None:
                self._send(404, b"{}")
                return
            start = 0
            headers = {}
            if hub.ranges and self.headers.get("range"):
                start = int(self.headers["range"].removeprefix("bytes=").partition("-")[0])
                headers["content-range"] = hub.content_range or f"bytes {start}-{len(data) - 1}/{len(data)}"
            body = data[start:]
            sent = hub.break_archive(body, start)
            self._send(206 if headers else 200, sent, headers, length=len(body))
            if len(sent) != len(body):
                self.close_connection = True

        def _send(
            self, status: int, body: bytes, headers: dict[str, str] | None = None, length: int | None = None
        ) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            if status not in (204, 304):
                self.send_header("content-length", str(len(body) if length is None else length))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body)

    with listening(Answers) as hub.url:
        yield hub
