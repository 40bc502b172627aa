"""A device's process, there to be killed: threads that append to an outbox, and a sender.

    python -m loadtest.edge.outbox_writer FILE --hub URL --threads N --from N,N,... [--pause S] [--clock MS,SPEED]

After each append that has returned, and not before, a line goes to stdout: `lane first-seq thread first-number count`.
What is in the pipe survives the process, so the reader of the pipe knows what was accepted. The clock runs at a speed
and from a time that the caller gives; waits of the sender are shortened by the same speed.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any, Final

from fivefold.core.errors import FivefoldError
from fivefold.edge.outbox import Outbox
from fivefold.edge.sync import hub_client, pacing
from fivefold.edge.sync import sender as sending

TOGETHER: Final = 20
"""Events of one append, at most."""
ALERTS: Final = 20
"""One append in so many is of alerts."""


def sped_up(begin_ms: int, speed: float) -> None:
    """From here on the process's wall clock runs from a time on, at a speed."""
    began = time.monotonic_ns()
    time.time_ns = lambda: begin_ms * 1_000_000 + int((time.monotonic_ns() - began) * speed)
    shortened: tuple[tuple[Any, str, float], ...] = (
        (pacing, "FIRST_SECONDS", 0.01),
        (pacing, "MOST_SECONDS", 0.2),
        (sending, "IDLE_SECONDS", 0.1),
        (hub_client, "STEP_SECONDS", 1.0),
        (hub_client, "REPLY_SECONDS", 3.0),
    )
    for module, name, least in shortened:
        setattr(module, name, max(getattr(module, name) / speed, least))


def body(thread: int, number: int) -> bytes:
    """An event's body: whose it is, which, and something of another length each time."""
    padding = "x" * (number * 7919 % 300)
    return b'{"at":"%d","kind":"prediction","t":%d,"n":%d,"x":"%s"}' % (
        time.time_ns() // 1_000_000,
        thread,
        number,
        padding.encode(),
    )


def append_for_ever(outbox: Outbox, thread: int, number: int, pause: float) -> None:
    """Append, and say so, until the process is killed or the outbox full."""
    round_ = number
    while True:
        round_ += 1
        count = 1 + round_ % TOGETHER
        lane = "alerts" if round_ % ALERTS == thread % ALERTS else "bulk"
        events = [(str(uuid.uuid4()), body(thread, number + at)) for at in range(count)]
        try:
            seqs = outbox.append(lane, events)
        except FivefoldError as err:
            os.write(1, b"refused %s\n" % str(err).encode())
            return
        os.write(1, b"%s %d %d %d %d\n" % (lane.encode(), seqs[0], thread, number, count))
        number += count
        if pause:
            time.sleep(pause)


def main() -> int:
    """Append and send until SIGKILL."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--hub", required=True)
    parser.add_argument("--key", default="key")
    parser.add_argument("--device", default="device-1")
    parser.add_argument("--from", dest="begin", required=True)
    parser.add_argument("--quota", type=int, default=4_000_000_000)
    parser.add_argument("--policy", default="reject_new")
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--clock", default="")
    parser.add_argument("--silent", action="store_true", help="append nothing")
    given = parser.parse_args()
    if given.clock:
        begin_ms, _, speed = given.clock.partition(",")
        sped_up(int(begin_ms), float(speed))
    outbox = Outbox(given.file, quota_bytes=given.quota, policy=given.policy)
    os.write(1, b"open\n")
    for thread, number in enumerate([] if given.silent else map(int, given.begin.split(","))):
        threading.Thread(target=append_for_ever, args=(outbox, thread, number, given.pause), daemon=True).start()
    sender = sending.Sender(outbox, given.hub, given.device, given.key, log=lambda text: print(text, file=sys.stderr))
    sender.run(threading.Event())
    return 0


if __name__ == "__main__":
    sys.exit(main())
