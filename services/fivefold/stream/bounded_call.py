"""Calls into a client library that may never come back, whatever time they are given.

librdkafka does not look at the time that `rd_kafka_send_offsets_to_transaction` is given while the group's coordinator
is away (confluentinc/librdkafka#5456, open; met with 2.16: three workers stood for minutes after a broker's restart),
and a consumer that is closed waits for its group without end. A thread makes the call, so that a worker can go on
without it; what is left behind keeps its thread and its objects until it comes back, or the process ends.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class NeverBack(Exception):
    """A call has not come back in its time; what it does still is not known."""


def bounded(call: Callable[[], object], seconds: float) -> None:
    """Make a call that is to be back within `seconds`; raises what it raises, or `NeverBack`."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as err:
            raised.append(err)

    # Daemons do not hold up the end of the process.
    thread = threading.Thread(target=run, name="fivefold-bounded", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise NeverBack(f"a call has not come back within {seconds:.0f} s")
    if raised:
        raise raised[0]
