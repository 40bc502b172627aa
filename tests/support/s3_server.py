"""Object stores of this machine: real S3 and Google Cloud Storage servers, started for the tests that name them.

versitygw checks signatures and honours `If-None-Match`. fake-gcs-server lists and reads by the same XML calls that a
client of Google's sends, but takes uploads by the JSON calls only; `gcs` therefore puts a forwarder in front of it,
which asks the server for the same upload, under the same condition, in its own words.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import pytest

from tests.support.listening import listening

PROGRAMS = {"s3": "versitygw", "gs": "fake-gcs-server"}
"""By the scheme of their URLs."""

ACCESS, SECRET = "someone", "something-secret"


@contextlib.contextmanager
def store(scheme: str, home: Path) -> Iterator[dict[str, str]]:
    """A running server with an empty bucket `data`; gives the variables by which a client finds it.

    `home` is an empty directory for the server's files.
    """
    with {"s3": s3, "gs": gcs}[scheme](home) as variables:
        yield variables


@contextlib.contextmanager
def s3(home: Path) -> Iterator[dict[str, str]]:
    """By versitygw; what lies in `objects/BUCKET` there is an object."""
    (home / "objects" / "data").mkdir(parents=True)
    (home / "about").mkdir()
    words = ["--access", ACCESS, "--secret", SECRET, "--quiet", "--port", address := free()]
    with started("s3", home, [*words, "posix", "--sidecar", str(home / "about"), str(home / "objects")], address):
        yield {
            "AWS_ENDPOINT_URL": f"http://{address}",
            "AWS_ACCESS_KEY_ID": ACCESS,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }


@contextlib.contextmanager
def gcs(home: Path) -> Iterator[dict[str, str]]:
    """By fake-gcs-server behind the forwarder."""
    address = free()
    host, port = address.split(":")
    words = ["-backend", "memory", "-scheme", "http", "-host", host, "-port", port, "-public-host", address]
    with started("gs", home, words, address), forwarder(address) as url:
        upstream = HTTPConnection(address)
        upstream.request("POST", "/storage/v1/b?project=p", '{"name": "data"}', {"content-type": "application/json"})
        assert upstream.getresponse().status == 200
        upstream.close()
        account = {"gcs_base_url": url, "disable_oauth": True, "client_email": "", "private_key": ""}
        (home / "account.json").write_text(json.dumps({**account, "private_key_id": ""}))
        yield {"GOOGLE_SERVICE_ACCOUNT": str(home / "account.json")}


def free() -> str:
    """An address of the loopback that nobody has."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{trial.getsockname()[1]}"


@contextlib.contextmanager
def started(scheme: str, home: Path, words: list[str], address: str) -> Iterator[None]:
    """The program of a scheme while it listens at an address; its output is `home/log`."""
    name = PROGRAMS[scheme]
    program = os.environ.get(f"FIVEFOLD_{name.upper()}") or shutil.which(name)
    assert program
    with (home / "log").open("wb") as log:
        process = subprocess.Popen([program, *words], stdout=log, stderr=log)
    try:
        until_open(address, process)
        yield
    finally:
        process.terminate()
        process.wait(60)


def until_open(address: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until somebody listens."""
    host, port = address.split(":")
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
            return
        except OSError:
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "nobody listens"
            time.sleep(0.05)


def chosen(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    """Set the variables, and none of the machine's own."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "GOOGLE_"))]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@contextlib.contextmanager
def forwarder(upstream: str) -> Iterator[str]:
    """The server's address for clients that put objects by the XML call: `PUT /BUCKET/KEY`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            method, target = self.command, self.path
            if method == "PUT":
                bucket, _, key = urlsplit(target).path.removeprefix("/").partition("/")
                method = "POST"
                target = f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name={quote(unquote(key), safe='')}"
                if generation := self.headers.get("x-goog-if-generation-match"):
                    target += f"&ifGenerationMatch={generation}"
            connection = HTTPConnection(upstream, timeout=60)
            try:
                connection.request(method, target, body, {**dict(self.headers), "host": upstream})
                answer = connection.getresponse()
                data = answer.read()
            finally:
                connection.close()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "content-length", "connection", "date", "server"):
                    self.send_header(name, value)
            size = answer.getheader("content-length") if method == "HEAD" else None
            self.send_header("content-length", size or str(len(data)))
            if self.command == "PUT" and answer.status == 200:
                self.send_header("etag", json.dumps(json.loads(data)["etag"]))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = forward

    with listening(Handler) as url:
        yield url
