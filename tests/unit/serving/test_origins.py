"""Which browsers' pages may ask: a local server's own names, requests of other sites, and CORS with its preflight."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.grpc_calls import gate_bundle
from tests.support.http_calls import Reply, World, dumps, world

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import AccessError
from fivefold.core.settings import SettingsError
from fivefold.guard import keys
from fivefold.serving.limits import ServingLimits
from fivefold.serving.origins import Origins

PREDICT = "/v1/models/gate:predict"
ROUTES = (
    ("POST", PREDICT),
    ("POST", "/v2/models/gate/infer"),
    ("GET", "/v1/models"),
    ("GET", "/"),
    ("GET", "/metrics"),
)
PROBES = ("/livez", "/readyz", "/v2/health/live", "/v2/health/ready")
OWN = ("127.0.0.1:8000", "localhost:8000", "[::1]:8000")
STRANGERS = (
    "evil.example",
    "evil.example:8000",
    "127.0.0.1.evil.example:8000",
    "localhost.evil.example:8000",
    "localhost:8001",
    "127.0.0.1",
    "0.0.0.0:8000",
    "127.0.0.2:8000",
    "[::ffff:7f00:1]:8000",
    "localhost:8000:8000",
    "localhost@evil.example:8000",
    "",
    ":8000",
    "evil.example#localhost:8000",
    "[::1",
)
APP = "https://app.example"
OTHERS = (
    "http://evil.example",
    "https://app.example.evil.example",
    "http://app.example",
    "null",
    "https://app.example:8443",
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return gate_bundle(tmp_path_factory.mktemp("origins") / "gate")


@pytest.fixture(scope="module")
def plain(bundle: Bundle) -> Iterator[World]:
    """A local server without a guard."""
    with world([bundle], local=True) as out:
        yield out


@pytest.fixture(scope="module")
def sharing(bundle: Bundle) -> Iterator[World]:
    """The same, with one origin let in."""
    with world([bundle], local=True, cors_origins=(APP,)) as out:
        yield out


@pytest.fixture(scope="module")
def guarded(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, str]]:
    """A server with keys and one origin."""
    place = tmp_path_factory.mktemp("keys") / "keys.json"
    key, entry = keys.make("page")
    keys.add(place, entry)
    with world([bundle], local=True, keys=str(place), cors_origins=(APP,)) as out:
        yield out, key


def ask(out: World, method: str, path: str, **headers: str) -> Reply:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    body = dumps({"instances": [{"x": 2}]}) if path == PREDICT else b"{}" if method == "POST" else b""
    return out.ask(method, path, body, headers=given)


def is_refused(reply: Reply) -> bool:
    return reply.status == 403 and reply.code == "forbidden" and reply.json["help"] != ""


@pytest.mark.parametrize("host", STRANGERS)
def test_another_name_is_refused(plain: World, host: str) -> None:
    """On every route but what probes ask; the sentence says what came, the help what to do."""
    for method, path in ROUTES:
        reply = ask(plain, method, path, host=host)
        assert is_refused(reply), (path, host)
        assert "FIVEFOLD_HOSTS" in reply.json["help"]
    for path in PROBES:
        assert ask(plain, "GET", path, host=host).status == 200


@pytest.mark.parametrize("host", [*OWN, "LOCALHOST:8000", "localhost.:8000", "[0:0:0:0:0:0:0:1]:8000", None])
def test_its_own_names_are_answered(plain: World, host: str | None) -> None:
    """As browsers, curl and old clients spell them, or with no name at all."""
    given = {} if host is None else {"host": host}

    assert ask(plain, "POST", PREDICT, **given).status == 200
    assert ask(plain, "GET", "/", **given, accept="text/html").status == 200


@pytest.mark.parametrize(
    ("settings", "host", "answered"),
    [
        ({"http": "127.0.0.9:8000"}, "127.0.0.9:8000", True),
        ({"http": "[::1]:8000"}, "[::1]:8000", True),
        ({"http": "localhost:80"}, "localhost", True),
        ({"http": "127.0.0.1:80"}, "127.0.0.1:80", True),
        ({"http": "127.0.0.1:8080"}, "127.0.0.1:8000", False),
        ({"hosts": ("box.local",)}, "box.local:8000", True),
        ({"hosts": ("box.local",)}, "box.local", True),
        ({"hosts": ("Box.Local:9999",)}, "box.local:9999", True),
        ({"hosts": ("box.local:9999",)}, "box.local:8000", False),
        ({"hosts": ("[fe80::1]:9999",)}, "[FE80:0::1]:9999", True),
        ({"http": "0.0.0.0:8000", "grpc": "0.0.0.0:9000", "allow_public": True}, "anything.example", True),
    ],
)
def test_which_names_are_its_own(settings: dict[str, Any], host: str, answered: bool) -> None:
    """Those of its address and port, and those it is told; a public server has whatever names the network gives it."""
    found = Origins.of(ServingLimits(**settings), local=True)

    if found is None:
        assert answered
    elif answered:
        found.check({"method": "POST"}, {b"host": host.encode()})
    else:
        with pytest.raises(AccessError, match="expected a host of this server"):
            found.check({"method": "POST"}, {b"host": host.encode()})


@given(st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=12))
def test_no_header_breaks_it(host: bytes, origin: bytes, site: bytes) -> None:
    """Whatever comes is let in or refused in words."""
    found = Origins(ServingLimits(), local=True)
    for headers in ({b"host": host}, {b"host": b"localhost:8000", b"origin": origin, b"sec-fetch-site": site}):
        with contextlib.suppress(AccessError):
            found.check({"method": "POST", "server": ("127.0.0.1", 8000)}, headers)


@pytest.mark.parametrize("origin", [*OTHERS, APP, "http://localhost:3000", "http://localhost", "file://", ""])
def test_a_page_elsewhere_is_refused(plain: World, origin: str) -> None:
    """Its plain POST as well as its `fetch`, though it names us rightly; nothing of it reaches the model."""
    before = plain.count("ok", "gate", "1")
    for media_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/json"):
        reply = ask(plain, "POST", PREDICT, host="localhost:8000", origin=origin, content_type=media_type)
        assert is_refused(reply)
        assert "access-control-allow-origin" not in reply.headers
    for method, path in ROUTES:
        assert is_refused(ask(plain, method, path, host="localhost:8000", origin=origin)), path
    assert plain.count("ok", "gate", "1") == before


@pytest.mark.parametrize("site", ["cross-site", "same-site", "Cross-Site", "another"])
@pytest.mark.parametrize("mode", ["no-cors", "cors", "navigate", "websocket"])
def test_what_a_browser_says_of_the_site_is_believed(plain: World, site: str, mode: str) -> None:
    """An image or a script has no origin in its request; following a link is the person's own doing."""
    given = {"host": "localhost:8000", "sec_fetch_site": site, "sec_fetch_mode": mode}
    for method, path in ROUTES:
        for destination in ("document", "iframe", "image", "empty"):
            follows = mode == "navigate" and destination == "document" and method == "GET"
            reply = ask(plain, method, path, **given, sec_fetch_dest=destination)
            assert is_refused(reply) is not follows, (path, destination)


def test_its_own_names_at_the_port_of_the_connection() -> None:
    """A process has several servers; the name has to be its own at each of them."""
    found = Origins(ServingLimits(), local=True)
    here = {"method": "POST", "server": ("127.0.0.1", 30007)}
    for host in (b"127.0.0.1:30007", b"localhost:30007", b"127.0.0.1:8000"):
        found.check(here, {b"host": host})
    for scope, host in (
        (here, b"evil.example:30007"),
        (here, b"localhost:30008"),
        ({"method": "POST", "server": ("/run/s", None)}, b"localhost:30007"),
        ({"method": "POST", "server": None}, b"localhost:30007"),
    ):
        with pytest.raises(AccessError):
            found.check(scope, {b"host": host})


@pytest.mark.parametrize("host", OWN)
def test_its_own_page_asks_as_ever(plain: World, host: str) -> None:
    reply = ask(plain, "POST", PREDICT, host=host, origin=f"http://{host}", sec_fetch_site="same-origin")

    assert reply.status == 200
    assert ask(plain, "GET", "/v1/models", host=host, sec_fetch_site="same-origin", sec_fetch_mode="cors").status == 200
    assert ask(plain, "GET", "/", host=host, sec_fetch_site="none", accept="text/html").status == 200
    # Two of its own names are two origins to a browser.
    assert is_refused(ask(plain, "POST", PREDICT, host="localhost:8000", origin="http://127.0.0.1:8000"))


def test_an_origin_that_is_let_in(sharing: World) -> None:
    """Its preflight, its requests and their errors; each answer says for whom it is."""
    asked = {"access_control_request_method": "POST", "access_control_request_headers": "content-type"}
    before = ask(sharing, "OPTIONS", PREDICT, host="localhost:8000", origin=APP, **asked)

    assert before.status == 204
    assert before.body == b""
    assert before.headers["access-control-allow-origin"] == APP
    assert "POST" in before.headers["access-control-allow-methods"]
    for name in ("content-type", "authorization", "x-request-timeout", "inference-header-content-length"):
        assert name in before.headers["access-control-allow-headers"]
    assert before.headers["vary"] == "origin"
    for method, path in (*ROUTES, ("GET", "/nothing"), ("GET", "/v1/models/nobody"), ("DELETE", "/v1/models")):
        reply = ask(sharing, method, path, host="localhost:8000", origin=APP, sec_fetch_site="cross-site")
        assert reply.status != 403
        assert reply.headers["access-control-allow-origin"] == APP, path
        assert "x-request-id" in reply.headers["access-control-expose-headers"]
        assert "origin" in reply.headers["vary"].split(", ")
        assert "access-control-allow-credentials" not in reply.headers


@pytest.mark.parametrize("origin", [*OTHERS, "https://APP.example", "https://app.example/", ""])
def test_others_are_refused_beside_it(sharing: World, origin: str) -> None:
    asked = {"access_control_request_method": "POST"}
    reply = ask(sharing, "POST", PREDICT, host="localhost:8000", origin=origin)
    before = ask(sharing, "OPTIONS", PREDICT, host="localhost:8000", origin=origin, **asked)

    assert is_refused(reply)
    for answer in (reply, before):
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert answer.headers["vary"] == "origin"
    assert is_refused(ask(sharing, "POST", PREDICT, host="evil.example:8000", origin=APP))


def test_programs_notice_nothing(sharing: World, plain: World) -> None:
    """Neither a client without an origin, nor one that asks for the methods of a path."""
    reply = ask(sharing, "POST", PREDICT, host="localhost:8000")
    assert (reply.status, reply.headers["vary"]) == (200, "origin")
    assert not [name for name in reply.headers if name.startswith("access-control")]
    for out in (sharing, plain):
        methods = ask(out, "OPTIONS", "/v1/models", host="localhost:8000")
        assert (methods.status, methods.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
    assert "vary" not in ask(plain, "POST", PREDICT, host="localhost:8000").headers


def test_a_private_networks_preflight(sharing: World) -> None:
    """A page of the internet asks twice before it may ask this machine."""
    asked = {"access_control_request_method": "POST", "access_control_request_private_network": "true"}
    reply = ask(sharing, "OPTIONS", PREDICT, origin=APP, **asked)

    assert reply.headers["access-control-allow-private-network"] == "true"


def test_a_guarded_server_has_any_name_and_still_asks_for_a_key(guarded: tuple[World, str]) -> None:
    """A gateway's name, another site's page: the key decides. Its preflight comes without one."""
    out, key = guarded
    asked = {"access_control_request_method": "POST", "access_control_request_headers": "authorization"}
    before = ask(out, "OPTIONS", PREDICT, host="models.example", origin=APP, **asked)
    none = ask(out, "POST", PREDICT, host="models.example", origin=APP)
    known = ask(out, "POST", PREDICT, host="models.example", origin=APP, authorization=f"Bearer {key}")
    other = ask(out, "POST", PREDICT, host="models.example", origin=OTHERS[0], authorization=f"Bearer {key}")
    described = ask(out, "GET", "/openapi.json", origin=APP, authorization=f"Bearer {key}")

    assert (before.status, before.headers["access-control-allow-origin"]) == (204, APP)
    assert (none.status, none.headers["access-control-allow-origin"]) == (401, APP)
    assert (known.status, known.headers["access-control-allow-origin"]) == (200, APP)
    assert other.status == 200
    assert "access-control-allow-origin" not in other.headers
    assert set(described.headers["vary"].split(", ")) == {"origin", "accept-encoding", "authorization", "x-api-key"}


def test_any_origin_where_no_key_is_asked_for(bundle: Bundle) -> None:
    with world([bundle], local=True, cors_origins=("*",)) as out:
        for origin in (APP, *OTHERS):
            reply = ask(out, "POST", PREDICT, host="localhost:8000", origin=origin)
            assert (reply.status, reply.headers["access-control-allow-origin"]) == (200, "*")
            assert "vary" not in reply.headers
        assert is_refused(ask(out, "POST", PREDICT, host="evil.example:8000", origin=APP))


def test_another_servers_application_looks_at_no_names(bundle: Bundle) -> None:
    """The reader's own server has addresses that these settings do not know; CORS works there too."""
    with world([bundle], cors_origins=(APP,)) as out:
        reply = ask(out, "POST", PREDICT, host="models.example", origin=APP)

        assert (reply.status, reply.headers["access-control-allow-origin"]) == (200, APP)


@pytest.mark.parametrize(
    "given",
    [
        {"cors_origins": ("*",), "keys": "keys.json"},
        {"cors_origins": ("*",), "oidc_issuer": "https://id.example", "oidc_audience": "a"},
        *(
            {"cors_origins": (origin,)}
            for origin in ("app.example", "https://app.example/", "https://App.example", "null")
        ),
        *(
            {"cors_origins": (origin,)}
            for origin in ("https://*.example", "https://a@b", "https://a:443", "http://a:80", "")
        ),
        *({"hosts": (host,)} for host in ("http://box", "box/x", "fe80::1", "a b", "")),
    ],
)
def test_settings_that_would_let_nobody_in_or_too_many(given: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=r"cors_origins: expected|hosts: expected"):
        ServingLimits(**given)


def test_pages_tell_no_other_site_where_they_were(plain: World) -> None:
    """An address may hold credentials."""
    for path in ("/", "/docs", "/page/page.js", "/openapi.json"):
        reply = ask(plain, "GET", path, accept="text/html, */*")
        assert reply.headers["referrer-policy"] == "no-referrer"


def test_settings_come_from_the_environment(tmp_path: Path) -> None:
    from fivefold.core.settings import read

    environ = {"FIVEFOLD_CORS_ORIGINS": f"{APP}, http://localhost:3000", "FIVEFOLD_HOSTS": "box.local"}
    found = read(ServingLimits, environ=environ)

    assert found.cors_origins == (APP, "http://localhost:3000")
    assert found.hosts == ("box.local",)
