"""What operators see, and that nobody else does."""

from __future__ import annotations

import base64
import socket
from pathlib import Path

import httpx
import pytest
from tests.support.hubs import RunningHub, event, running_hub

from fivefold.core.settings import SettingsError
from fivefold.edge.hub.database import HubDatabase
from fivefold.edge.hub.hub_limits import HubSettings
from fivefold.guard import keys


@pytest.mark.full
def test_the_page_and_its_figures(hub: RunningHub) -> None:
    """The page comes from this server alone, and shows what devices did."""
    device = hub.device("pump-7")
    device.send([event(1), b'{"seq":2 \xff'])

    page = httpx.get(hub.url)
    assert "default-src 'self'" in page.headers["content-security-policy"]
    for name in ("console.js", "console.css", "page.css", "icon.svg"):
        assert f"page/{name}" in page.text
        assert httpx.get(f"{hub.url}/page/{name}").status_code == 200
    overview = httpx.get(f"{hub.url}/v1/hub/overview").json()
    assert (overview["devices"], overview["events"], overview["quarantined"]) == (1, 1, 1)
    (line,) = httpx.get(f"{hub.url}/v1/hub/quarantine").json()["quarantine"]
    assert (line["device"], line["seq"], line["code"]) == ("pump-7", 2, "malformed")
    metrics = httpx.get(f"{hub.url}/metrics").text
    assert "fivefold_hub_events_total 1.0" in metrics
    assert 'fivefold_hub_devices_seen{within="5m"} 1.0' in metrics
    assert httpx.get(f"{hub.url}/livez").json() == {"live": True}
    assert httpx.get(f"{hub.url}/readyz").json() == {"ready": True}


@pytest.mark.full
@pytest.mark.parametrize(
    "headers",
    [
        {"x-forwarded-for": "10.1.2.3"},
        {"forwarded": "for=10.1.2.3"},
        {"host": "hub.example"},
        {"origin": "https://evil.example"},
    ],
)
def test_without_keys_only_this_machine_looks(hub: RunningHub, headers: dict[str, str]) -> None:
    """Not who comes through a proxy, nor a page of elsewhere, nor by another name."""
    for path in ("/v1/hub/overview", "/v1/hub/devices", "/v1/hub/quarantine", "/metrics"):
        assert httpx.get(hub.url + path, headers=headers).status_code == 403


def test_a_device_is_no_operator(local: HubDatabase, tmp_path: Path) -> None:
    """With key files the scope admin is asked for; a device's key is none of them."""
    key, entry = keys.make("ops", ("admin",))
    weak, other = keys.make("app", ("infer",))
    for each in (entry, other):
        keys.add(tmp_path / "keys.json", each)
    with running_hub(local, keys=str(tmp_path / "keys.json")) as hub:
        device = hub.device("pump-7")
        asked = {
            name: httpx.get(f"{hub.url}/v1/hub/overview", headers={"authorization": f"Bearer {shown}"}).status_code
            for name, shown in (("ops", key), ("app", weak), ("nobody", "x"))
        }

        assert device.http.get("/v1/hub/overview").status_code == 401
        assert httpx.get(f"{hub.url}/v1/hub/overview").status_code == 401
        assert asked == {"ops": 200, "app": 403, "nobody": 401}
        assert httpx.get(hub.url).status_code == 200


def test_devices_come_in_pages(hub: RunningHub) -> None:
    """By id, behind one of them."""
    for each in range(5):
        hub.device(f"d{each}")

    first = httpx.get(f"{hub.url}/v1/hub/devices", params={"limit": 2}).json()["devices"]
    then = httpx.get(f"{hub.url}/v1/hub/devices", params={"limit": 9, "after": first[-1]["id"]}).json()["devices"]

    assert [each["id"] for each in (*first, *then)] == [f"d{each}" for each in range(5)]
    assert httpx.get(f"{hub.url}/v1/hub/devices?limit=x").status_code == 400


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"http": "0.0.0.0:8700"}, "allow_http"),
        ({"certificate": "/nowhere.pem"}, "expected both"),
        ({"certificate": "/nowhere.pem", "private_key": "/nowhere.pem"}, "no file"),
        ({"http": "8700"}, "HOST:PORT"),
    ],
)
def test_settings_that_are_refused(given: dict[str, str], words: str) -> None:
    """With the reason."""
    with pytest.raises(SettingsError, match=words):
        HubSettings(**given)  # type: ignore[arg-type]


def test_metrics_have_an_address_of_their_own(local: HubDatabase) -> None:
    """There everybody is answered, metrics and health alone; elsewhere whoever is no operator still is not."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with running_hub(local, metrics=f"127.0.0.1:{port}") as hub:
        hub.device("pump-7").send([event(1)])
        forwarded = {"x-forwarded-for": "10.1.2.3"}
        metrics = httpx.get(f"http://127.0.0.1:{port}/metrics", headers=forwarded)
        others = [httpx.get(f"http://127.0.0.1:{port}{path}").status_code for path in ("/readyz", "/v1/hub/devices")]
        refused = httpx.get(f"{hub.url}/metrics", headers=forwarded).status_code

    assert metrics.status_code == 200
    for line in (
        "fivefold_hub_events_total 1.0",
        "fivefold_hub_silent_devices 0.0",
        "fivefold_hub_failed_transactions_total 0.0",
        "fivefold_hub_disk_free_bytes ",
    ):
        assert line in metrics.text
    assert others == [200, 404]
    assert refused == 403


def test_no_page_publishes_and_what_is_no_release_changes_nothing(local: HubDatabase) -> None:
    """Not even one of an origin that devices come from."""
    release = {"descriptor": "e30=", "signature": "AA=="}
    with running_hub(local, cors_origins=("https://ward.example",)) as hub:
        url = f"{hub.url}/v1/hub"
        chunk = f"{url}/archives/{'a' * 64}/chunks"
        for origin in ("https://ward.example", "https://other.example"):
            assert httpx.post(f"{url}/releases", json=release, headers={"origin": origin}).status_code == 403
            assert httpx.put(f"{chunk}/0", content=b"x", headers={"origin": origin}).status_code == 403
        refused = [
            httpx.post(f"{url}/releases", json=release),
            httpx.post(f"{url}/releases", json={**release, "more": 1}),
            httpx.post(
                f"{url}/releases", json={"descriptor": "e30=", "signature": base64.b64encode(bytes(64)).decode()}
            ),
            httpx.put(f"{chunk}/1024", content=b"x"),
            httpx.put(f"{url}/archives/A/chunks/0", content=b"x"),
            httpx.put(f"{chunk}/0", content=bytes((1 << 20) + 1)),
        ]
        with local.reading() as connection:
            left = connection.execute("SELECT count(*) FROM hub_uploads")

    assert [answer.status_code for answer in refused] == [400, 400, 422, 400, 400, 413]
    assert left == [(0,)]
