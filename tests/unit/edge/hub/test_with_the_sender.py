"""A device's own outbox and sender against a real hub: what was accepted is there once, in its order."""

from __future__ import annotations

import contextlib
import json
import threading
from pathlib import Path

import pytest
from tests.support.authority import Authority
from tests.support.hubs import RunningHub, running_hub

from fivefold.edge.hub.database import HubDatabase
from fivefold.edge.hub.device_register import add_device
from fivefold.edge.hub.event_ledger import events_after, lane_watermarks
from fivefold.edge.outbox import Outbox
from fivefold.edge.sync.event_bodies import prediction_body
from fivefold.edge.sync.hub_client import HubFailure
from fivefold.edge.sync.sender import Sender


def test_an_outbox_empties_into_the_hub(hub: RunningHub, tmp_path: Path) -> None:
    """Both lanes, more than one batch, alerts and gaps included; the report is shown."""
    device = hub.device("pump-7")
    key = device.http.headers["authorization"].split()[1]
    about = {"model": "m", "version": "1", "contract": "c@1", "bundle": "sha256:0"}
    with contextlib.closing(Outbox(tmp_path / "outbox.sqlite", quota_bytes=10 << 20)) as outbox:
        for number in range(480):
            lane = "alerts" if number % 4 == 0 else "bulk"
            outbox.append(lane, [(f"e-{number}", prediction_body(**about, input={"x": number}, output={}))])
        sender = Sender(outbox, hub.url, "pump-7", key, models=lambda: ())
        stop = threading.Event()
        thread = threading.Thread(target=sender.run, args=(stop,))
        thread.start()
        try:
            for _ in range(3000):
                if outbox.status().events == 0 or stop.wait(0.01):
                    break
        finally:
            stop.set()
            outbox.wake()
            thread.join()
            sender.close()
        left, id = outbox.status().events, outbox.id

    assert left == 0
    assert sender.status.rejected == 0
    with hub.database.reading() as connection:
        events = events_after(connection, 0, 10_000)
        assert lane_watermarks(connection, "pump-7", id) == {"alerts": 120, "bulk": 360}
    for lane in ("alerts", "bulk"):
        numbers = [json.loads(each.body)["input"]["x"] for each in events if each.lane == lane]
        assert numbers == [each for each in range(480) if (each % 4 == 0) == (lane == "alerts")]


def test_a_hub_behind_an_authority_of_its_own(local: HubDatabase, tmp_path: Path) -> None:
    """Over HTTPS: with the authority's file events arrive; without it, or with another's, nothing is sent."""
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    certificate, key = ours.issue("hub")
    with local.transaction() as connection:
        token = add_device(connection, "pump-7")
    given = {"certificate": str(certificate), "private_key": str(key)}
    with (
        running_hub(local, **given) as hub,
        contextlib.closing(Outbox(tmp_path / "outbox.sqlite", quota_bytes=10 << 20)) as outbox,
    ):
        assert hub.url.startswith("https://")
        outbox.append("bulk", [("e-1", b'{"at":"","kind":"prediction"}')])
        for ca in (None, str(theirs.file)):
            with contextlib.closing(Sender(outbox, hub.url, "pump-7", token, ca=ca)) as sender:
                with pytest.raises(HubFailure, match="certificate verify failed") as failed:
                    sender.step()
                assert failed.value.code == "not_ready"
        with contextlib.closing(Sender(outbox, hub.url, "pump-7", token, ca=str(ours.file))) as sender:
            while sender.step():
                pass
        assert outbox.status().events == 0
    with local.reading() as connection:
        assert [each.id for each in events_after(connection, 0, 10)] == ["e-1"]
