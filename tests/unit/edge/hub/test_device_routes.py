"""The hub as strangers, thieves and broken devices meet it over HTTP."""

from __future__ import annotations

import gzip
import json
import time
import zlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.support.hubs import OUTBOX, HubClient, RunningHub, body, event, running_hub

from fivefold.edge.hub.batch_commit import BatchCommit
from fivefold.edge.hub.database import HubDatabase
from fivefold.edge.hub.device_register import milliseconds, revoke_keys, rotate_key
from fivefold.edge.sync.lane_protocol import MAX_BATCH_BYTES

REPORT = {
    "outbox": OUTBOX,
    "backlog": {"alerts": 0, "bulk": 7},
    "oldest": "2026-11-29T12:00:00.123Z",
    "software": "x 1",
}


@pytest.fixture
def device(hub: RunningHub) -> HubClient:
    return hub.device("pump-7")


def refusal(answer: httpx.Response) -> tuple[int, str]:
    """The status and the code of an error; it has the body that all of them have."""
    found = answer.json()
    assert {"error", "code", "path", "request_id"} <= found.keys()
    return answer.status_code, found["code"]


def test_a_batch_plain_and_packed(device) -> None:
    """Both are taken, and the watermark tells."""
    assert device.send([event(1), event(2)]).json() == {"acked_through": 2, "rejected": []}
    assert device.send([event(2), event(3)], packed=True).json() == {"acked_through": 3, "rejected": []}
    assert device.watermarks() == {"alerts": 0, "bulk": 3}


def test_a_hole(device) -> None:
    """409, and what the hub has."""
    device.send([event(1)])

    answer = device.send([event(3)])

    assert refusal(answer) == (409, "sequence_gap")
    assert answer.json()["acked_through"] == 1


@pytest.mark.parametrize("key", ["x", "ff_00000000_" + "A" * 43, "ff__", "ff_' OR 1=1 --_x", "é" * 9, "A" * 5000])
def test_an_unknown_key(hub, device, key) -> None:
    """401 and the same words, whatever was shown."""
    header = {"authorization": f"Bearer {key}".encode()}
    answer = httpx.get(f"{hub.url}/v1/edge/pump-7/watermark", params={"outbox": OUTBOX}, headers=header)

    assert refusal(answer) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_changed_secret(hub, device) -> None:
    """The right id with another secret is no key."""
    key = device.http.headers["authorization"]
    device.http.headers["authorization"] = key[:-1] + ("A" if key[-1] != "A" else "B")

    assert refusal(device.send([event(1)])) == (401, "unauthenticated")


def test_several_credentials(device) -> None:
    """Nobody knows which one a proxy has looked at."""
    headers = [(b"authorization", device.http.headers["authorization"].encode()), (b"authorization", b"Bearer x")]
    answer = httpx.get(f"{device.http.base_url}/v1/edge/pump-7/watermark?outbox={OUTBOX}", headers=headers)

    assert refusal(answer) == (401, "unauthenticated")


def test_a_stolen_key_opens_its_own_device_alone(hub, device) -> None:
    """Everything of another device is 403, and nothing of it changes."""
    other = hub.device("pump-8")
    other.send([event(1)])
    thief = device.http

    for method, path in (
        ("POST", "/v1/edge/pump-8/lanes/bulk/events"),
        ("GET", f"/v1/edge/pump-8/watermark?outbox={OUTBOX}"),
        ("PUT", "/v1/edge/pump-8/report"),
        ("GET", "/v1/edge/nobody/watermark"),
        ("GET", "/v1/edge/pump-8/models"),
        ("GET", "/v1/edge/pump-8/archives/" + "0" * 64),
    ):
        assert refusal(thief.request(method, path, content=b"{}")) == (403, "forbidden"), path
    assert other.watermarks() == {"alerts": 0, "bulk": 1}


def test_a_revoked_key(hub, device) -> None:
    """From the next request on."""
    assert device.send([event(1)]).status_code == 200
    with hub.database.transaction() as connection:
        assert revoke_keys(connection, "pump-7") == 1

    assert refusal(device.send([event(2)])) == (401, "unauthenticated")


def test_rotation(hub, device) -> None:
    """The old key ends with the new one, or when its overlap is over."""
    with hub.database.transaction() as connection:
        second = rotate_key(connection, "pump-7", 60_000)
    assert device.watermarks()["bulk"] == 0
    with hub.database.transaction() as connection:
        third = rotate_key(connection, "pump-7")

    for key in (device.http.headers["authorization"].split()[1], second):
        device.http.headers["authorization"] = f"Bearer {key}"
        assert refusal(device.send([event(1)])) == (401, "unauthenticated")
    device.http.headers["authorization"] = f"Bearer {third}"
    assert device.send([event(1)]).status_code == 200


def test_an_overlap_ends(hub, device) -> None:
    """By the hub's clock."""
    with hub.database.transaction() as connection:
        rotate_key(connection, "pump-7", 60_000)
        connection.execute("UPDATE hub_keys SET expires = ? WHERE expires IS NOT NULL", (milliseconds() - 1,))

    assert refusal(device.send([event(1)])) == (401, "unauthenticated")


def test_guesses_are_slowed_down_and_the_right_key_is_not(hub, device) -> None:
    """After some failures of an address: 429 with Retry-After; who knows is let in at once."""
    guess = {"authorization": "Bearer ff_00000000_x"}
    with httpx.Client(base_url=hub.url) as client:
        answers = [client.get("/v1/edge/pump-7/watermark", headers=guess) for _ in range(25)]

    assert {each.status_code for each in answers} == {401, 429}
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert device.send([event(1)]).status_code == 200


def test_the_store_holds_no_key(hub, device, tmp_path) -> None:
    """Neither a key nor its secret is anywhere on the disk, nor in what operators are shown."""
    key = device.http.headers["authorization"].split()[1]
    device.send([event(1)])
    # It may have underscores of its own.
    secret = key.split("_", 2)[2]

    files = b"".join(each.read_bytes() for each in (tmp_path / "hub").iterdir())
    assert b"pump-7" in files
    assert secret.encode() not in files
    assert secret not in httpx.get(f"{hub.url}/v1/hub/devices").text


def _bombs() -> Iterator[Any]:
    yield pytest.param(gzip.compress(b"\n" * (1 << 28)), "gzip", 413, "too_large", id="256 MiB in gzip")
    yield pytest.param(gzip.compress(b"") * 5000, "gzip", 413, "too_large", id="members")
    yield pytest.param(b" " * (MAX_BATCH_BYTES + 1), "identity", 413, "too_large", id="plain")
    yield pytest.param(gzip.compress(event(1))[:-4], "gzip", 400, "malformed", id="cut")
    yield pytest.param(b"\x1f\x8b" + b"\x00" * 50, "gzip", 400, "malformed", id="broken")
    yield pytest.param(zlib.compress(event(1)), "br", 415, "unsupported_media_type", id="brotli")
    yield pytest.param(body(*map(event, range(1, 502))), "identity", 413, "too_large", id="501 lines")
    yield pytest.param(b"\x00" * 1000, "identity", 400, "malformed", id="zeros")
    yield pytest.param(b"", "identity", 400, "malformed", id="empty")


@pytest.mark.parametrize(("content", "encoding", "status", "code"), list(_bombs()))
def test_bodies_that_are_none(device, content, encoding, status, code) -> None:
    """Each has its error, and the next batch is taken."""
    assert refusal(device.send(content, content_encoding=encoding)) == (status, code)
    assert device.send([event(1)]).json()["acked_through"] == 1


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/v1/edge/pump-7/lanes/bulk/events", {"x-fivefold-outbox": "x"}, 400),
        ("/v1/edge/pump-7/lanes/bulk/events", {"x-fivefold-outbox": OUTBOX + "\u00e9"}, 400),
        ("/v1/edge/pump-7/lanes/No%20Lane/events", {}, 400),
        ("/v1/edge/pump-7/lanes/bulk/events", {"content-type": "text/plain"}, 415),
        ("/v1/edge/pump-7/lanes/bulk/nothing", {}, 404),
        ("/v1/edge/pump-7/watermark", {}, 405),
    ],
)
def test_requests_that_are_none(device, path, headers, status) -> None:
    """The product's own errors, with a place where there is one."""
    given = {"x-fivefold-outbox": OUTBOX, "content-type": "application/x-ndjson"} | headers
    encoded = {name: value.encode() for name, value in given.items()}
    assert refusal(device.http.post(path, content=event(1), headers=encoded))[0] == status


def test_a_report(hub, device) -> None:
    """What a device says of itself is shown to operators; what is no report is refused with its place."""
    models = [{"name": "m", "version": "2", "digest": "sha256:0", "release": 5, "state": "active", "reason": None}]
    assert device.http.put("/v1/edge/pump-7/report", json=REPORT | {"models": models}).status_code == 204
    assert refusal(device.http.put("/v1/edge/pump-7/report", json=REPORT | {"backlog": []})) == (400, "malformed")
    assert refusal(device.http.put("/v1/edge/pump-7/report", content=b" " * 100_000)) == (413, "too_large")

    (shown,) = httpx.get(f"{hub.url}/v1/hub/devices").json()["devices"]
    assert shown["report"]["backlog"] == {"alerts": 0, "bulk": 7}
    assert shown["report"]["models"][0]["release"] == 5


def test_an_overload_is_told(local, monkeypatch) -> None:
    """Where too many batches wait for the store: 503 with Retry-After, and nothing is lost by asking again."""
    monkeypatch.setattr(BatchCommit.__init__, "__kwdefaults__", {"most": 1})
    with running_hub(local) as hub:
        device = hub.device("pump-7")
        with local.transaction():
            # The store is somebody else's for now: the first batch is taken out of the queue, the second one fills it.
            pending = [_send_raw(hub, device, event(1)) for _ in range(3)]
            refused = next(filter(None, (_answered(each) for each in pending)), None)
        assert refused is not None
        assert refused.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 1" in refused
        for each in pending:
            each.close()
        # The batches that waited may still be on their way into the store: the same one may be sent again at any time.
        deadline = time.monotonic() + 60
        while (answer := device.send([event(1)])).status_code == 503 and time.monotonic() < deadline:
            assert answer.headers["retry-after"] == "1"
        assert answer.json()["acked_through"] == 1


def _send_raw(hub: RunningHub, device: HubClient, content: bytes) -> Any:
    import socket

    made = socket.create_connection(("127.0.0.1", hub.port))
    head = (
        f"POST /v1/edge/pump-7/lanes/bulk/events HTTP/1.1\r\nhost: 127.0.0.1:{hub.port}\r\n"
        f"authorization: {device.http.headers['authorization']}\r\nx-fivefold-outbox: {OUTBOX}\r\n"
        f"content-type: application/x-ndjson\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    made.sendall(head.encode() + content)
    return made


def _answered(connection: Any) -> bytes | None:
    connection.settimeout(2)
    try:
        found: bytes = connection.recv(65536)
    except TimeoutError:
        return None
    return found


def test_a_browser_that_is_a_device(local: HubDatabase) -> None:
    """A preflight of an origin that is let in is answered, and so is the request behind it."""
    with running_hub(local, cors_origins=("https://app.example",)) as hub:
        device = hub.device("page-1")
        path = f"{hub.url}/v1/edge/page-1/lanes/bulk/events"
        asked = {"origin": "https://app.example", "access-control-request-method": "POST"}
        preflight = httpx.options(path, headers=asked)
        answer = device.send([event(1)], origin="https://app.example")
        stranger = httpx.options(path, headers=asked | {"origin": "https://evil.example"})

    assert preflight.status_code == 204
    assert "x-fivefold-outbox" in preflight.headers["access-control-allow-headers"]
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    assert "access-control-allow-origin" not in stranger.headers


def test_rejected_lines_are_told_by_the_endpoint(device) -> None:
    """With their code and a sentence."""
    answer = device.send([event(1), b'{"seq": 2, oops', event(3)])

    (rejected,) = answer.json()["rejected"]
    assert (answer.json()["acked_through"], rejected["seq"], rejected["code"]) == (3, 2, "malformed")
    assert json.loads(device.send([event(3), event(4)]).content) == {"acked_through": 4, "rejected": []}
