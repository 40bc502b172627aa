"""What one process that answers needs to know: its addresses, whom it lets in, and how much it takes.

The class is checked when it is built. Reading it from variables and arguments is core's
(`fivefold.core.settings.read`); how many such processes there are is `fivefold.online.settings`'.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

from fivefold.core import redact
from fivefold.core.settings import SettingsError, address, is_loopback
from fivefold.guard.settings import GuardSettings

_ORIGIN = re.compile(r"[a-z][a-z0-9+.\-]*://([^\s/?#@,*:\[\]A-Z]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
_DEFAULT_PORT = re.compile(r"http://.*:80|https://.*:443")
_HOST = re.compile(r"([^\s/?#@,:\[\]]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingLimits(GuardSettings):
    """What a process needs beside its bundles; sizes in bytes, times in seconds. Raises `SettingsError`."""

    http: str = "127.0.0.1:8000"
    """HOST:PORT of REST, the page, health and metrics."""

    grpc: str = "127.0.0.1:9000"
    """HOST:PORT of gRPC."""

    allow_public: bool = False
    """Listen on an address that other machines reach although nobody is asked who they are."""

    max_body_bytes: int = 64 * 1024 * 1024
    """A larger request is `too_large`, whether compressed or after decompression; also gRPC's message limit."""

    max_bytes_in_flight: int = 0
    """What the bodies of all requests of one process may hold at once, beyond the first 64 KiB of each; more is
    `overloaded`, with Retry-After. 0: eight times `max_body_bytes`."""

    max_header_bytes: int = 32 * 1024
    """Request headers beyond this sum are `headers_too_large`."""

    max_rows: int = 100_000
    """A request with more rows is `too_large`."""

    max_json_depth: int = 64
    """JSON nested deeper is `too_large`."""

    max_inflight: int = 256
    """Requests in work at once for one model in one process; the next one is `overloaded`, with Retry-After."""

    max_wait: float = 0.01
    """A request that would have to wait longer for a busy model (or twice its own duration, if that is more) is
    `overloaded` too, unless this is a burst."""

    burst_seconds: float = 0.1
    """How long requests may wait longer than `max_wait`, as in a burst; only `max_inflight` limits those. (CoDel's
    interval, RFC 8289: many requests at one moment pass, the beginning of an overload costs few of them their time.)"""

    retry_after: float = 1.0
    """What an `overloaded` or `not_ready` answer asks the client to wait."""

    default_timeout: float = 60.0
    """The deadline of a request that names none, and the longest that one may name."""

    body_timeout: float = 30.0
    """A client that has not sent its whole body by then gets `request_timeout`."""

    inline_seconds: float = 0.002
    """Work estimated shorter runs on the event loop; longer work runs in a thread, so that probes keep answering."""

    inline_bytes: int = 256 * 1024
    """A larger body is parsed in a thread."""

    threads: int = 2
    """Threads of each model for work that is too long for the event loop."""

    batching: bool = True
    """Score requests together that wait for a busy model, where the model's measured cost says that it pays."""

    batch_seconds: float = 0.1
    """How long scoring one such batch may be expected to take."""

    log_sample: float = 0.01
    """The share of healthy requests that get a log line; failed ones always do."""

    record: str = ""
    """A file for a sample of the requests that were answered, as JSON lines; each process writes one of its own, with
    its host's name and its number before the suffix. Empty: nothing is recorded."""

    record_sample: float = 1.0
    """The share of rows that is offered to the sample."""

    record_rows: int = 10_000
    """Rows that the sample keeps, all with the same chance."""

    record_redact: tuple[str, ...] = ()
    """Inputs whose values are not recorded: left out where they are optional, otherwise a constant."""

    input_statistics: bool = True
    """Count what comes in for each input field: values, nulls, a histogram of numbers, enumerated values, refusals. The
    metrics have the counts of values, nulls and refusals, `/v1/models/NAME/input-statistics` and the page all of it."""

    serve_bundles: bool = False
    """Give out the files of the bundles (the model and its golden rows among them) to everybody who may ask, where
    nobody is asked for a key. Where keys are asked for, the scope `bundles` decides, and this says nothing."""

    cors_origins: tuple[str, ...] = ()
    """Origins (`https://app.example`) whose pages a browser lets read the answers; `*`: any, where no key is asked
    for."""

    hosts: tuple[str, ...] = ()
    """Further names (NAME or NAME:PORT) that a local server without a guard answers to: by default its own alone, so
    that no page can reach it by a name that it has pointed here."""

    page: bool = True
    """Serve the page for people at `/`."""

    page_runtime: str = ""
    """Let the page run the model itself beside the server: a directory that holds onnxruntime-web, or `auto` for this
    user's cache. The page then fetches the bundle's files: where keys are asked for, with a key of the scope `bundles`;
    on a loopback address without keys they are given out as by `serve_bundles`. Empty: it does not."""

    grpc_min_ping_seconds: float = 10.0
    """A gRPC client may ask this often whether its connection still stands; one that does so more often is sent away
    (GOAWAY, too many pings)."""

    drain_seconds: float = 40.0
    """How long a replica that goes away finishes what it has begun."""

    def __post_init__(self) -> None:
        # A class with slots is made twice, so `super()` would not find itself.
        GuardSettings.__post_init__(self)
        for name in ("http", "grpc"):
            host, _ = address(getattr(self, name), name)
            if not self.guarded and not self.allow_public and not is_loopback(host):
                raise SettingsError(
                    f"{name}: {host} is reachable from other machines and nobody would be asked for a key; "
                    f"listen on 127.0.0.1, give keys or an oidc_issuer, or say allow_public"
                )
        if self.page_runtime and not self.page:
            raise SettingsError("page_runtime: expected a page to run models in, and there is to be none")
        if self.page_runtime and not (self.guarded or self.serve_bundles or is_loopback(address(self.http)[0])):
            raise SettingsError(
                "page_runtime: hands the bundles' files to whoever opens the page, and nobody is asked for a key; "
                "give keys, listen on 127.0.0.1, or say serve_bundles too"
            )
        for origin in self.cors_origins:
            _check_origin(origin, guarded=self.guarded)
        for given in self.hosts:
            if not _HOST.fullmatch(given):
                raise SettingsError(f"hosts: expected NAME or NAME:PORT, got {given!r}")
        at_least = {
            "max_body_bytes": 1,
            "max_bytes_in_flight": 0,
            "max_header_bytes": 1024,
            "max_rows": 1,
            "max_json_depth": 4,
            "max_inflight": 1,
            "max_wait": 0,
            "burst_seconds": 0,
            "retry_after": 0,
            "default_timeout": 0.001,
            "body_timeout": 0.001,
            "inline_seconds": 0,
            "inline_bytes": 0,
            "threads": 1,
            "batch_seconds": 0,
            "log_sample": 0,
            "record_sample": 0,
            "record_rows": 1,
            "grpc_min_ping_seconds": 0,
            "drain_seconds": 0,
        }
        check_least(self, at_least)
        if 0 < self.max_bytes_in_flight < self.max_body_bytes:
            raise SettingsError(
                f"max_bytes_in_flight: expected at least max_body_bytes ({self.max_body_bytes}), or 0, "
                f"got {self.max_bytes_in_flight}"
            )
        for name in ("log_sample", "record_sample"):
            if getattr(self, name) > 1:
                raise SettingsError(f"{name}: expected a share of at most 1, got {getattr(self, name)}")

    @property
    def bundles_open(self) -> bool:
        """Whether the bundles' files are given out where nobody is asked for a key."""
        return self.serve_bundles or bool(self.page_runtime)

    @property
    def bytes_in_flight(self) -> int:
        """`max_bytes_in_flight`, or what it stands for."""
        return self.max_bytes_in_flight or 8 * self.max_body_bytes


def check_least(settings: ServingLimits, at_least: Mapping[str, float]) -> None:
    """Raise `SettingsError` for the first number that is none, or below what is given for its name."""
    for name, low in at_least.items():
        value = getattr(settings, name)
        if not isfinite(value) or value < low:
            raise SettingsError(f"{name}: expected at least {low}, got {value}")


def _check_origin(origin: str, *, guarded: bool) -> None:
    """Raise `SettingsError` for what no browser sends as its origin, and so would let nobody in."""
    if origin == "*":
        if guarded:
            raise SettingsError(
                "cors_origins: expected origins by name where keys are asked for, got '*': any page could use the keys "
                "that it is given"
            )
        return
    if not _ORIGIN.fullmatch(origin) or _DEFAULT_PORT.fullmatch(origin):
        raise SettingsError(
            f"cors_origins: expected an origin as browsers spell it, such as https://app.example (lower case, no path, "
            f"no default port), got {redact.address(origin)!r}"
        )
