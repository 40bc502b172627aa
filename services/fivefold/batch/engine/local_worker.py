"""The process of `local_process`: takes a run, then its fragments one after another, and answers each.

    python -m fivefold.batch.engine.local_worker DESCRIPTOR

The descriptor is a socket on which pickled orders come. It ends with it, and with the process that started it. Signals
that ask a run to end are for that process alone.
"""

from __future__ import annotations

import signal
import sys
from multiprocessing.connection import Connection

from fivefold.batch.work.task import TiedWorker
from fivefold.local.signals import STOP_SIGNALS


def main(descriptor: int) -> None:
    """Work until nobody asks any more."""
    for signum in STOP_SIGNALS:
        signal.signal(signum, signal.SIG_IGN)
    with Connection(descriptor) as orders:
        try:
            worker = TiedWorker(orders.recv(), True)
            orders.send(worker.open())
            while True:
                orders.send(worker.score(*orders.recv()))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return


if __name__ == "__main__":
    main(int(sys.argv[1]))
