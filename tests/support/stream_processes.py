"""Workers as processes of their own, and the checker that knows nothing of how they work."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from fivefold.stream.events import Event, Outgoing
from tests.support.score_commands import environment

BAD_EVERY = 50


def numbered(count: int, first: int = 0) -> list[Outgoing]:
    """Events of the sum under thirteen keys; one of fifty is bad."""
    return [
        Outgoing(
            "in",
            b"k%d" % (at % 13),
            b'{"b": %d}' % at if at % BAD_EVERY == 7 else b'{"a": 1, "b": 1}',
            (("n", b"%d" % at),),
        )
        for at in range(first, first + count)
    ]


def line(model: Path, source: str, to: str, *more: str) -> list[str]:
    """A worker's command line."""
    words = ["--model", str(model), "--from", source, "--to", to, "--max-bad-fraction", "1"]
    return [sys.executable, "-m", "fivefold.cli", "stream", *words, *more]


def start(words: Sequence[str]) -> subprocess.Popen[str]:
    """A worker."""
    return subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment())


def with_kills(commands: Sequence[Sequence[str]], done: Callable[[], int], total: int, kills: int, seed: int) -> None:
    """Run workers until `total` events are done, and kill -9 one of them `kills` times at random moments."""
    dice = random.Random(seed)
    workers = [start(words) for words in commands]
    deadline = time.monotonic() + 240
    try:
        while (so_far := done()) < total or kills:
            assert time.monotonic() < deadline, (so_far, total, kills)
            time.sleep(dice.uniform(0.02, 0.3))
            at = dice.randrange(len(workers))
            # No sooner than it works, or nothing would ever be in its hands.
            if kills and so_far > total * (1 - kills / 10):
                workers[at].kill()
                kills -= 1
            if workers[at].poll() is not None:
                _, said = workers[at].communicate()
                assert workers[at].returncode == -signal.SIGKILL, said
                workers[at] = start(commands[at])
        for worker in workers:
            worker.send_signal(signal.SIGTERM)
        for worker in workers:
            _, said = worker.communicate(timeout=60)
            # One may be killed already, or be so new that it does not listen yet.
            assert worker.returncode in (0, -signal.SIGTERM, -signal.SIGKILL), (worker.returncode, said)
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


def check(count: int, results: Sequence[Event], dead: Sequence[Event]) -> None:
    """Exactly one result for each good event and one dead letter for each bad one, in each key's order."""
    bad = [at for at in range(count) if at % BAD_EVERY == 7]
    good = [at for at in range(count) if at % BAD_EVERY != 7]
    for found, wanted in ((results, good), (dead, bad)):
        numbers = [int(dict(event.headers)["n"] or b"") for event in found]
        assert sorted(numbers) == wanted
        by_key: dict[bytes | None, list[int]] = {}
        for number, event in zip(numbers, found, strict=True):
            by_key.setdefault(event.key, []).append(number)
            assert event.key == b"k%d" % (number % 13)
        assert all(order == sorted(order) for order in by_key.values())
    assert all(json.loads(event.value or b"") == {"total": 2.0, "label": 1} for event in results)
