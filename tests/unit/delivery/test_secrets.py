"""A credential in an address: whatever goes wrong, it is in no error, no traceback, no log, no header, no output."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tests.support.bundle_server import Shelf
from tests.support.bundles import write_sum
from tests.support.http_calls import log_lines
from tests.support.listening import listening
from tests.unit.delivery.conftest import Packed

from fivefold.cli import main
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import BundleInvalid, FivefoldError
from fivefold.core.telemetry import describe
from fivefold.delivery import download
from fivefold.delivery.fetch import fetch, fetch_to
from fivefold.delivery.reference import Reference
from fivefold.delivery.settings import DeliverySettings

SECRET = "hunter2"
DIGEST = "0123456789abcdef" * 4
QUERIES = ("X-Amz-Signature=hunter2", "X-Goog-Signature=hunter2&a=b", "sv=1&sig=hunter2", "token=hunter2", "hunter2")


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "FIRST_PAUSE", 0.001)


def told(error: BaseException) -> str:
    """All that an error may end up as: its words, its help, a traceback with what is behind it, a log's fields."""
    said = [str(error), repr(error), *traceback.format_exception(error)]
    if isinstance(error, FivefoldError):
        said += [json.dumps(error.to_json()), json.dumps(describe(error))]
    return "\n".join(said)


REFERENCES = [
    *(f"{scheme}://host/demo.tar?{query}" for scheme in ("https", "http", "az", "ftp") for query in QUERIES),
    *(f"{scheme}://bucket/demo.tar?{query}#sha256={DIGEST}" for scheme in ("s3", "gs", "az") for query in QUERIES),
    *(f"https://host/demo.tar#sha256={DIGEST}?{query}" for query in QUERIES[:4]),
    *(f"https://host/demo.tar?{query}#sha256=abc" for query in QUERIES),
    *(f"https://host/demo.tar?{query}#sha512=abc" for query in QUERIES),
    *(f"https://host:x/demo.tar?{query}#sha256={DIGEST}" for query in QUERIES),
    *(f"https://[::1/demo.tar?{query}#sha256={DIGEST}" for query in QUERIES),
    *(f"https://host?{query}#sha256={DIGEST}" for query in QUERIES),
    *(f"file:///nothing/demo.tar?{query}" for query in QUERIES),
    *(f"http://bundles.invalid/demo.tar?{query}#sha256={DIGEST}" for query in QUERIES),
    *(f"{scheme}://me:hunter2@host/demo.tar#sha256={DIGEST}" for scheme in ("https", "http", "file")),
    f"https://hunter2@host/demo.tar#sha256={DIGEST}",
    f"https://me:a/hunter2@host/demo.tar#sha256={DIGEST}",
    f"https://me:hunter2/@host/demo.tar#sha256={DIGEST}",
    f"https://me:hunter2@[::1/demo.tar#sha256={DIGEST}",
    f"https://me:hunter2@ho\u2100st/demo.tar#sha256={DIGEST}",
    f"https://me:hunter2@host:x/demo.tar#sha256={DIGEST}",
    "https:/host/demo.tar?sig=hunter2",
    "host/demo.tar?sig=hunter2",
    f"host/demo.tar?sig=hunter2#sha256={DIGEST}",
]


@pytest.mark.parametrize("reference", REFERENCES)
def test_a_reference_that_is_refused(
    reference: str, settings: DeliverySettings, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """By parsing, by fetching, by the commands, and as the argument of an application."""
    from fivefold.online.ray.arguments import Arguments

    with pytest.raises(FivefoldError) as refused:
        fetch(reference, settings)
    assert SECRET not in told(refused.value)
    commands = [["bundle", "show", reference], ["bundle", "fetch", reference, "--output", str(tmp_path / "out")]]
    try:
        Reference.parse(reference)
    except BundleInvalid:
        commands.append(["serve", "--model", reference])
    for command in commands:
        with log_lines() as lines:
            assert main(command) != 0
        said = capfd.readouterr()
        assert "error: " in said.err
        assert SECRET not in said.out + said.err + json.dumps(lines), command
    for given in ({"models": [reference], "unknown": 1}, {"models": [reference, 7]}):
        with pytest.raises((ValidationError, BundleInvalid)) as wrong:
            Arguments.model_validate(given)
        assert SECRET not in told(wrong.value)


@pytest.mark.parametrize(
    "trouble",
    ["400", "401", "403", "404", "410", "418", "500", "503", "break", "stall", "garbage", "huge", "nobody", "name"],
)
@pytest.mark.parametrize("query", QUERIES[1:3])
def test_a_download_that_fails(
    server: Shelf, packed: Packed, settings: DeliverySettings, tmp_path: Path, trouble: str, query: str
) -> None:
    """In every way; not in what is logged meanwhile by any library either."""
    server.put("/sum.tar", packed.tar, packed.digest)
    host = {"nobody": "http://127.0.0.1:1", "name": "https://bundles.invalid"}.get(trouble, server.url)
    reference = f"{host}/sum.tar?{query}#sha256={packed.digest}"
    if trouble == "garbage":
        server.put("/sum.tar", b"<html>", packed.digest)
    elif trouble == "huge":
        settings = replace(settings, bundle_max_bytes=1)
    elif trouble == "stall":
        settings = replace(settings, bundle_timeout=0.05)
    server.troubles[:] = [trouble] * 20 if trouble.isdigit() or trouble in ("break", "stall") else []
    said: list[str] = []

    class Everything(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(self.format(record))

    root, handler = logging.getLogger(), Everything(0)
    level = root.level
    root.addHandler(handler)
    root.setLevel(0)
    try:
        for ask in (lambda: fetch(reference, settings), lambda: fetch_to(reference, tmp_path / "out", settings)):
            with pytest.raises(FivefoldError) as refused:
                ask()
            assert SECRET not in told(refused.value)
            assert "sum.tar" in refused.value.message
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        server.go_on.set()
    assert SECRET not in "\n".join(said)


@contextmanager
def redirecting(leads: Callable[[str], str]) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A server that sends everything elsewhere, and the headers of what it was asked."""
    heard: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            heard.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(302)
            self.send_header("location", leads(self.path))
            self.send_header("content-length", "0")
            self.end_headers()

    with listening(Handler) as url:
        yield url, heard


def test_who_is_redirected_to_does_not_hear_from_where(
    server: Shelf, packed: Packed, settings: DeliverySettings
) -> None:
    """No Referer, over two steps; what the redirect itself says is asked for as it stands."""
    server.put("/sum.tar", packed.tar, packed.digest)
    heard: list[Any] = []
    plain = server.asked
    with redirecting(lambda _: f"{server.url}/sum.tar?other=1") as (second, at_second):
        with redirecting(lambda path: f"{second}/again{path}") as (first, at_first):
            assert fetch(f"{first}/sum.tar?sig={SECRET}#sha256={packed.digest}", settings).digest == packed.digest
        heard += at_first + at_second

    assert plain == ["/sum.tar?other=1"]
    assert len(heard) == 2
    for headers in heard:
        assert not {"referer", "authorization", "cookie"} & headers.keys()


@pytest.mark.parametrize(
    ("location", "says"),
    [
        ("ftp://host/x?sig=hunter2", "ftp://host/x"),
        ("file:///etc/passwd", "file:///etc/passwd"),
        ("http://me:hunter2@127.0.0.1:1/x", "…@127.0.0.1:1/x"),
        ("http://bundles.invalid/x?sig=hunter2", "not https"),
        ("http://[::1/x?sig=hunter2", "no URL"),
        ("http://127.0.0.1:x/?sig=hunter2", "no URL"),
        ("", "leads nowhere"),
    ],
)
def test_redirects_that_are_not_followed(settings: DeliverySettings, location: str, says: str) -> None:
    """To other schemes, to plain http elsewhere, with a password: each is refused in words that hold no secret."""
    with redirecting(lambda _: location) as (url, heard), pytest.raises(BundleInvalid) as refused:
        fetch(f"{url}/sum.tar?sig={SECRET}#sha256={DIGEST}", settings)

    assert says in refused.value.message
    assert SECRET not in told(refused.value)
    assert len(heard) == 1


def test_redirects_have_an_end(settings: DeliverySettings) -> None:
    with redirecting(lambda path: path) as (url, heard), pytest.raises(BundleInvalid, match="at most 10 redirects"):
        fetch(f"{url}/sum.tar?sig={SECRET}#sha256={DIGEST}", settings)

    assert len(heard) == 11


def test_what_a_bundle_is_made_from_is_shown_without_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither does a new bundle hold it, nor is it shown of one that others have packed."""
    bundle = write_sum(tmp_path / "sum")
    facts = {"data": "s3://b/rows.csv?X-Amz-Signature=hunter2", "more": ["https://me:hunter2@host/x"], "rows": 7}
    written = Bundle.write(
        tmp_path / "made",
        contract=bundle.contract,
        model={name: bundle.read(name) for name in bundle.names() if name.startswith("model")},
        runtime=bundle.manifest.runtime,
        entry=bundle.manifest.entry,
        golden=(bundle.golden()[0].to_records(), bundle.golden()[1].to_records()),
        tolerance=bundle.manifest.tolerance,
        binding=bundle.manifest.binding,
        facts=facts,
    )
    assert SECRET.encode() not in (tmp_path / "made" / "bundle.json").read_bytes()
    assert written.manifest.created_from["data"] == "s3://b/rows.csv"
    for flags in ([], ["--json"]):
        assert main(["bundle", "show", str(tmp_path / "made"), *flags]) == 0
    assert SECRET not in capsys.readouterr().out


def test_a_reference_shows_none_of_it() -> None:
    """Where it stands in a traceback, in a list, in a name."""
    found = Reference.parse(f"https://host/demo.tar?sig=hunter2#sha256={DIGEST}")

    assert SECRET not in f"{found!r} {found.shown} {found.name} {[found]}"
    assert SECRET in str(found)
