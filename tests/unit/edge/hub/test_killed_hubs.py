"""A hub that is killed at any moment: nothing lost, nothing double, in its store and in the log behind it."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from pathlib import Path

import httpx
import pytest
from tests.support.event_logs import LocalLogs
from tests.support.hubs import HubClient, event, start_hub

from fivefold.edge.hub.device_register import add_device
from fivefold.edge.hub.event_ledger import events_after
from fivefold.edge.hub.store_opening import open_database

pytestmark = pytest.mark.full

DEVICES = 3
KILLS = 4


class Device(threading.Thread):
    """Sends what it has collected, from what the hub says that it has, whatever happens to the hub."""

    def __init__(self, url: str, id: str, key: str, events: int, seed: int) -> None:
        super().__init__(name=id)
        self._url, self._id, self._key, self._events, self._random = url, id, key, events, random.Random(seed)
        self.through = 0

    def run(self) -> None:
        client = HubClient(self._url, self._id, self._key)
        with contextlib.closing(client):
            while self.through < self._events:
                begin = self.through + 1 - self._random.randrange(min(5, self.through + 1))
                lines = [event(seq, self._id) for seq in range(begin, min(begin + 40, self._events + 1))]
                with contextlib.suppress(httpx.TransportError):
                    answer = client.send(lines, packed=self._random.random() < 0.5)
                    if answer.status_code == 200:
                        assert answer.json()["rejected"] == []
                        acked = answer.json()["acked_through"]
                        assert self.through <= acked <= self._events
                        self.through = acked


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_nothing_lost_and_nothing_double(store: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Devices send and send again while the hub is killed, and its log is written exactly once."""
    from tests.unit.edge.hub.conftest import POSTGRES

    if store == "postgres" and POSTGRES is None:
        return
    url = request.getfixturevalue("postgres").database() if store == "postgres" else None
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    place = ["--database", url] if url else ["--data", str(tmp_path / "hub")]
    words = [*place, "--forward", f"local://edge?data={tmp_path / 'log'}"]
    with (
        contextlib.closing(open_database(str(tmp_path / "hub"), url)) as database,
        database.transaction() as connection,
    ):
        keys = {f"d{each}": add_device(connection, f"d{each}") for each in range(DEVICES)}
    events = 1500
    devices = [Device(f"http://127.0.0.1:{port}", id, key, events, at) for at, (id, key) in enumerate(keys.items())]
    hub = start_hub(port, *words)
    try:
        for each in devices:
            each.start()
        chance = random.Random(7)
        for kill in range(1, KILLS + 1):
            goal = events * DEVICES * kill // (KILLS + 2)
            while sum(each.through for each in devices) < goal and any(each.is_alive() for each in devices):
                time.sleep(chance.random() / 50)
            hub.kill()
            hub.wait()
            hub = start_hub(port, *words)
        for each in devices:
            each.join()
        logs = LocalLogs(tmp_path / "log")
        until = time.monotonic() + 60
        while len(logs.read("edge")) < events * DEVICES and time.monotonic() < until:
            time.sleep(0.1)
    finally:
        hub.kill()
        hub.wait()

    with contextlib.closing(open_database(str(tmp_path / "hub"), url)) as database, database.reading() as connection:
        stored = events_after(connection, 0, 10**6, max_bytes=1 << 30)
    assert [each.position for each in stored] == list(range(1, events * DEVICES + 1))
    for id in keys:
        mine = [each for each in stored if each.device == id]
        assert [each.body for each in mine] == [event(seq, id) for seq in range(1, events + 1)]
        sent = [each.value for each in logs.read("edge") if each.key == id.encode()]
        assert sent == [each.body for each in mine]
