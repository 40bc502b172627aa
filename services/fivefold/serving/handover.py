"""A listening socket that outlives the process which answers on it.

A local run with one replica needs no proxy between its clients and that replica. So that the port is nevertheless there
while a replica that died is replaced, the run itself keeps the socket and hands it over to each replica in turn, by a
Unix socket in the run's private directory: who connects meanwhile waits in the socket's queue and is answered.
Accepting is left to the replica.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
from pathlib import Path

from fivefold.core import telemetry

AGAIN_SECONDS = 0.5
"""After an accept that failed."""


class HandOver:
    """Keeps a bound socket and hands it over to whoever connects to `path`."""

    def __init__(self, listener: socket.socket, path: str | os.PathLike[str]) -> None:
        self._listener = listener
        self._closed = threading.Event()
        self._path = Path(path)
        self._desk = socket.socket(socket.AF_UNIX)
        self._desk.bind(os.fspath(path))
        self._desk.listen()
        self._thread = threading.Thread(target=self._give, name="fivefold-handover", daemon=True)
        self._thread.start()

    def _give(self) -> None:
        while True:
            try:
                replica, _ = self._desk.accept()
            except OSError as error:
                # One that fails, as where there is no descriptor left for a moment, is no end: without this thread no
                # replica could follow one that has died.
                if self._closed.is_set():
                    return
                telemetry.log(logging.ERROR, {"event": "handover", "error": str(error)})
                self._closed.wait(AGAIN_SECONDS)
                continue
            with replica, contextlib.suppress(OSError):
                socket.send_fds(replica, [b"\0"], [self._listener.fileno()])

    def close(self) -> None:
        """Let go of the socket: whoever has it decides alone when the port is free again. Idempotent."""
        self._closed.set()
        with contextlib.suppress(OSError):
            self._desk.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._desk.close()
        self._listener.close()
        self._path.unlink(missing_ok=True)


def take_over(path: str) -> socket.socket:
    """The socket that a `HandOver` keeps; raises `OSError` where there is none, or it ends before it has given it."""
    with socket.socket(socket.AF_UNIX) as desk:
        desk.connect(path)
        _, descriptors, _, _ = socket.recv_fds(desk, 1, 1)
    if not descriptors:
        raise ConnectionError(f"{path} handed over no socket")
    return socket.socket(fileno=descriptors[0])
