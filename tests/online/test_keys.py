"""A guarded `fivefold serve`: real Ray, real HAProxy, keys that change while it runs, replicas that share a limit."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fivefold import Client
from fivefold.client.retry import Retries
from fivefold.core.errors import FivefoldError
from fivefold.guard import keys
from tests.support import slow_model
from tests.support.serve_process import running

pytestmark = pytest.mark.host

REPLICAS = 2
ONCE = Retries(attempts=1)


def made(place: Path, **rest: Any) -> str:
    key, entry = keys.make("test", **rest)
    keys.add(place, entry)
    return key


@pytest.mark.full
def test_keys_at_a_running_server(tmp_path: Path) -> None:
    """Both transports ask; a new key is known and a revoked one is not, in every replica, without a restart."""
    bundle, place = slow_model.bundle(tmp_path / "slow"), tmp_path / "keys.json"
    key, limited = made(place), made(place, rate=0.001, burst=2 * REPLICAS)
    with running([bundle], tmp_path, keys=str(place), min_replicas=REPLICAS, max_replicas=REPLICAS) as host:

        def codes(shown: str, count: int = 1) -> set[str]:
            return {code(url, shown) for url in (host.url, f"grpc://{host.grpc}") for _ in range(count)}

        def code(url: str, shown: str) -> str:
            with Client(url, key=shown, retries=ONCE) as client:
                assert client.ready()
                try:
                    client.predict([{"seconds": 0.0}], model=slow_model.NAME)
                except FivefoldError as error:
                    return error.code
                return "ok"

        assert f"an API key of {place}" in host.printed()
        assert codes(key) == {"ok"}
        assert codes("") == codes(key[:-1] + "?") == {"unauthenticated"}

        # Each replica grants its share, and the shares are the limit. Requests at once reach both, once both are there.
        granted, deadline = 0, time.monotonic() + 60
        with ThreadPoolExecutor(8) as pool:
            while granted < 2 * REPLICAS:
                assert time.monotonic() < deadline, granted
                granted += list(pool.map(code, [host.url] * 8, [limited] * 8)).count("ok")
            after = set(pool.map(code, [host.url] * 40, [limited] * 40))
        assert (granted, after) == (2 * REPLICAS, {"rate_limited"})

        keys.remove(place, key[3:11])
        later = made(place)
        deadline = time.monotonic() + 30
        while not (codes(key, 4) == {"unauthenticated"} and codes(later, 4) == {"ok"}):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert later[12:] not in host.printed()
        assert key[12:] not in host.printed()
