"""The sender against a hub that does as it should, and one that does not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.scripted_hub import Answer, Request, ScriptedHub, answer, scripted_hub

from fivefold.core.settings import SettingsError
from fivefold.edge.outbox import Outbox, inspection
from fivefold.edge.sync import sender as sending
from fivefold.edge.sync.hub_client import HubFailure
from fivefold.edge.sync.lane_protocol import ModelReport
from fivefold.edge.sync.pacing import HubBackOff
from fivefold.edge.sync.sender import Sender

SECONDS = 30.0


@pytest.fixture
def hub() -> Iterator[ScriptedHub]:
    with scripted_hub() as hub:
        yield hub


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox(tmp_path / "outbox.sqlite", quota_bytes=10**8) as outbox:
        yield outbox


@pytest.fixture
def sender(hub: ScriptedHub, outbox: Outbox) -> Iterator[Sender]:
    sender = Sender(outbox, hub.url, "device-1", "a-key")
    yield sender
    sender.close()


def fill(outbox: Outbox, lane: str, count: int, size: int = 10) -> None:
    outbox.append(lane, [(f"{lane}-{at}", b'{"kind":"prediction","x":"' + b"x" * size + b'"}') for at in range(count)])


def settle(sender: Sender) -> None:
    """Step until nothing is left to do."""
    while sender.step():
        pass


def test_alerts_go_first_and_everything_goes_once(sender: Sender, outbox: Outbox, hub: ScriptedHub) -> None:
    """In batches of at most 500 lines, compressed, with the device's key and the outbox's id."""
    fill(outbox, "bulk", 1200)
    fill(outbox, "alerts", 3)
    settle(sender)

    assert [(post.lane, len(post.lines)) for post in hub.posts()] == [
        ("alerts", 3),
        ("bulk", 500),
        ("bulk", 500),
        ("bulk", 200),
    ]
    assert [line["seq"] for line in hub.lines["bulk"]] == list(range(1, 1201))
    assert outbox.status().events == 0
    first = hub.posts()[0]
    assert first.path == "/v1/edge/device-1/lanes/alerts/events?after="
    # Each batch names the acknowledged line that it goes on from.
    assert [post.path.partition("?")[2] for post in hub.posts()[2:]] == ["after=bulk-499", "after=bulk-999"]
    assert first.headers["authorization"] == "Bearer a-key"
    assert first.headers["x-fivefold-outbox"] == outbox.id
    assert (first.headers["content-type"], first.headers["content-encoding"]) == ("application/x-ndjson", "gzip")
    assert sender.status.events == 1203


def test_a_reply_that_is_lost_costs_a_question_and_no_event(sender: Sender, outbox: Outbox, hub: ScriptedHub) -> None:
    """The hub has stored the batch, and the connection breaks: the watermark says so."""

    def lose(hub: ScriptedHub, request: Request) -> Answer | None:
        hub.right(request)
        return None

    fill(outbox, "bulk", 5)
    sender.step()
    hub.script.append(lose)
    stop = threading.Event()
    _run_until(sender, stop, lambda: outbox.status().events == 0)

    assert [line["seq"] for line in hub.lines["bulk"]] == [1, 2, 3, 4, 5]
    assert len(hub.posts()) == 1
    assert sender.status.error is None


def _run_until(sender: Sender, stop: threading.Event, done) -> None:
    thread = threading.Thread(target=sender.run, args=(stop,))
    thread.start()
    pause = threading.Event()
    for _ in range(int(SECONDS / 0.02)):
        if done():
            break
        pause.wait(0.02)
    stop.set()
    thread.join(SECONDS)
    assert not thread.is_alive()
    assert done()


@pytest.mark.parametrize(
    ("reply", "code", "retry_after"),
    [
        (answer(503, {"code": "not_ready", "error": "starting"}, retry_after="7"), "not_ready", 7.0),
        (answer(429, {"code": "rate_limited", "error": "slower"}, retry_after="30"), "rate_limited", 30.0),
        (answer(401, {"code": "unauthenticated", "error": "who"}), "unauthenticated", None),
        (answer(403, {"code": "forbidden", "error": "not yours"}), "forbidden", None),
        (answer(500, {}), "not_ready", None),
        (answer(302, {}, location="https://portal.example/login"), "internal", None),
        ((200, {"content-type": "text/html"}, b"<html>Welcome to our network"), "internal", None),
        (answer(200, {"acked_through": "5"}), "internal", None),
        (answer(200, {"acked_through": 0}), "internal", None),
        (answer(409, {"code": "sequence_gap", "acked_through": 0}), "internal", None),
        (answer(503, {}, retry_after="soon"), "not_ready", None),
        ((200, {}, b"[" * 100_000), "internal", None),
        ((200, {}, b"x" * 2_000_000), "internal", None),
    ],
)
def test_what_is_no_acknowledgement_forgets_nothing(
    sender: Sender, outbox: Outbox, hub: ScriptedHub, reply: Answer, code: str, retry_after: float | None
) -> None:
    """It is a failure with a code, and afterwards everything arrives once."""
    fill(outbox, "bulk", 5)
    sender.step()
    hub.script.append(lambda *_: reply)
    with pytest.raises(HubFailure) as failed:
        sender.step()

    assert (failed.value.code, failed.value.retry_after) == (code, retry_after)
    assert outbox.status().events == 5
    settle(sender)
    assert [line["seq"] for line in hub.lines["bulk"]] == [1, 2, 3, 4, 5]


def test_a_batch_that_is_too_large_is_halved_and_grows_again(sender: Sender, outbox: Outbox, hub: ScriptedHub) -> None:
    hub.most_lines = 100
    fill(outbox, "bulk", 500)
    settle(sender)
    assert [line["seq"] for line in hub.lines["bulk"]] == list(range(1, 501))
    assert max(len(post.lines) for post in hub.posts()[3:]) <= 124
    hub.most_lines = 0
    fill(outbox, "bulk", 1)
    with pytest.raises(HubFailure, match="413"):
        settle(sender)
    assert outbox.status().events == 1


def test_large_events_make_small_batches(sender: Sender, outbox: Outbox, hub: ScriptedHub) -> None:
    """No batch is above a MiB, inflated."""
    fill(outbox, "bulk", 20, size=200_000)
    settle(sender)

    assert [line["seq"] for line in hub.lines["bulk"]] == list(range(1, 21))
    assert {len(post.lines) for post in hub.posts()} == {4}


@pytest.mark.parametrize("through", [6, 10**30, 2**63, 2**53])
def test_a_hub_that_has_more_than_was_sent_stops_the_lane(
    sender: Sender, outbox: Outbox, hub: ScriptedHub, through: int, tmp_path: Path
) -> None:
    """Nothing is deleted, the other lane goes on, also after a restart."""
    fill(outbox, "bulk", 5)
    fill(outbox, "alerts", 1)
    sender.step()
    sender.step()
    hub.script.append(lambda *_: answer(200, {"acked_through": through, "rejected": []}))
    settle(sender)
    assert sender.status.stopped == {"bulk": "hub_invalid"}
    assert outbox.status()["bulk"].events == 5
    fill(outbox, "alerts", 2)
    settle(sender)
    assert len(hub.lines["alerts"]) == 3
    outbox.close()
    with Outbox(tmp_path / "outbox.sqlite", quota_bytes=10**8) as again:
        later = Sender(again, hub.url, "device-1", "a-key")
        settle(later)
        assert later.status.stopped == {"bulk": "hub_invalid"}
        assert "bulk" not in hub.lines
        later.close()


def _consent(tmp_path: Path, sender: Sender, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What `outbox resume --accept-loss` does, while the sender runs."""
    monkeypatch.setattr(sender, "_consents_at", 0.0)
    return [each.lane for each in inspection.resume(tmp_path / "outbox.sqlite", accept_loss=True)]


def test_a_lie_that_is_not_repeated_costs_nothing(
    sender: Sender, outbox: Outbox, hub: ScriptedHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the consent the hub is asked again, and what it says then counts."""
    fill(outbox, "bulk", 5)
    sender.step()
    hub.script.append(lambda *_: answer(200, {"acked_through": 9}))
    settle(sender)
    assert _consent(tmp_path, sender, monkeypatch) == ["bulk"]
    settle(sender)

    assert [(line["seq"], line["kind"]) for line in hub.lines["bulk"]] == [(at, "prediction") for at in range(1, 6)]


def test_a_hub_that_has_others_events_is_numbered_around(
    sender: Sender, outbox: Outbox, hub: ScriptedHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An outbox from an old copy: what waits gets numbers above the hub's, behind a gap record of no events."""
    fill(outbox, "bulk", 5)
    hub.marks["bulk"] = 40
    settle(sender)
    assert sender.status.stopped == {"bulk": "hub_invalid"}
    assert hub.posts() == []
    _consent(tmp_path, sender, monkeypatch)
    settle(sender)

    gap, *rest = hub.lines["bulk"]
    assert (gap["kind"], gap["from_seq"], gap["to_seq"], gap["count"], gap["reason"]) == ("gap", 41, 41, 0, "hub_lost")
    assert [(line["seq"], line["id"]) for line in rest] == [(42 + at, f"bulk-{at}") for at in range(5)]
    fill(outbox, "bulk", 1)
    settle(sender)
    assert hub.lines["bulk"][-1]["seq"] == 47


def test_a_hub_that_has_lost_its_state_stops_the_lane_until_somebody_accepts_it(
    sender: Sender, outbox: Outbox, hub: ScriptedHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then a gap record says what is gone, and the numbers go on."""
    fill(outbox, "bulk", 5)
    settle(sender)
    hub.marks.clear()
    hub.lines.clear()
    fill(outbox, "bulk", 2)
    settle(sender)
    assert sender.status.stopped == {"bulk": "hub_behind"}
    assert outbox.status()["bulk"].events == 2
    assert hub.lines == {}
    _consent(tmp_path, sender, monkeypatch)
    settle(sender)

    gap, *rest = hub.lines["bulk"]
    assert (gap["from_seq"], gap["to_seq"], gap["count"], gap["reason"]) == (1, 5, 5, "hub_lost")
    assert [line["seq"] for line in rest] == [6, 7]
    assert sender.status.stopped == {}


def test_what_is_rejected_is_counted_and_blocks_nothing(outbox: Outbox, hub: ScriptedHub) -> None:
    said: list[str] = []
    sender = Sender(outbox, hub.url, "device-1", "a-key", log=said.append)
    fill(outbox, "bulk", 2)
    sender.step()
    rejected = [{"seq": 1, "code": "malformed", "message": "no event"}]
    hub.script.append(lambda *_: answer(200, {"acked_through": 2, "rejected": rejected}))
    settle(sender)
    sender.close()

    assert sender.status.rejected == 1
    assert "quarantine" in said[0]
    assert outbox.status().events == 0


def test_a_report_is_sent_and_its_refusal_stops_nothing(outbox: Outbox, hub: ScriptedHub) -> None:
    models = [ModelReport(name="m", version="1", digest="sha256:0", state="active")]
    sender = Sender(outbox, hub.url, "device-1", "a-key", models=lambda: models)
    sender.step()
    hub.script.append(lambda *_: answer(404, {}))
    sender.step()
    fill(outbox, "bulk", 1)
    settle(sender)
    sender.close()

    reports = [each for each in hub.requests if each.method == "PUT"]
    assert len(reports) == 1
    assert b'"backlog":{"alerts":0,"bulk":0}' in reports[0].body
    assert outbox.status().events == 0


def test_the_bandwidth_is_kept(outbox: Outbox, hub: ScriptedHub) -> None:
    """It waits as long as its bucket says before it sends, and asks again what goes first afterwards."""
    sender = Sender(outbox, hub.url, "device-1", "a-key", bandwidth=1000)
    waits: list[float] = []
    sender._pause = waits.append
    fill(outbox, "bulk", 300, size=200)
    sender.step()
    sender.step()
    assert len(hub.posts()) == 1
    sender.step()
    fill(outbox, "alerts", 1)
    assert len(hub.posts()) == 1
    assert 0 < waits[0] <= 1.0
    sender._bucket = None
    sender.step()
    sender.close()
    assert [post.lane for post in hub.posts()] == ["bulk", "alerts"]
    assert len(hub.posts()[0].lines) < 100


def test_a_stop_ends_a_long_wait(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a hub it backs off, and ends at once when it is to."""
    monkeypatch.setattr(sending, "HubBackOff", lambda: HubBackOff(lambda low, high: 300.0))
    sender = Sender(outbox, "http://127.0.0.1:9", "device-1", "a-key")
    stop = threading.Event()
    _run_until(sender, stop, lambda: sender.status.failures > 0)
    assert sender.status.error_code == "not_ready"
    assert "cannot be reached" in (sender.status.error or "")


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"hub_url": "http://hub.example"}, "plain http"),
        ({"hub_url": "ftp://hub.example"}, "https"),
        ({"hub_url": "https://me:secret@hub.example"}, "https"),
        ({"hub_url": "https://[::1"}, "https"),
        ({"hub_url": "hub.example:443"}, "https"),
        ({"device": "Device 1"}, "device"),
        ({"device": "../other"}, "device"),
        ({"key": "a key\r\nx: y"}, "key"),
        ({"key": ""}, "key"),
        ({"bandwidth": 0}, "bandwidth"),
        ({"bandwidth": float("nan")}, "bandwidth"),
        ({"ca": "/nowhere/ca.pem", "hub_url": "https://hub.example"}, "ca"),
    ],
)
def test_settings_that_cannot_be_are_refused(outbox: Outbox, given: dict[str, object], word: str) -> None:
    words = {"hub_url": "https://hub.example", "device": "device-1", "key": "a-key"} | given
    with pytest.raises(SettingsError, match=word) as refused:
        Sender(outbox, **words)  # type: ignore[arg-type]
    assert "secret" not in str(refused.value)
