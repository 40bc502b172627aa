"""Fivefold's own hub in the receiver's place: its process, and what it says that it has, as the checker reads it.

What arrived is taken from `fivefold hub events --follow`, a process of its own that reads the hub's store.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Final

from loadtest.edge.device import START_SECONDS, Receiver, environment
from loadtest.machine.measurement import Failed
from loadtest.machine.programs import ROOT

DEVICE: Final = "device-1"


class FivefoldHub(Receiver):
    """A hub with one device, whose key is `key`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir()
        self._log = directory / "hub.log"
        added = subprocess.run(
            self._words("device", "add", DEVICE),
            capture_output=True,
            text=True,
            env=environment(),
            cwd=ROOT,
            check=False,
        )
        if added.returncode:
            raise Failed(f"the hub knows no device: {added.stderr[-500:]}")
        self.key = added.stdout.split()[-1]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._free_port = free.getsockname()[1]
        super().__init__(directory / "arrived.txt")
        self._follower = subprocess.Popen(
            self._words("events", "--follow"), stdout=subprocess.PIPE, env=environment(), cwd=ROOT
        )
        threading.Thread(target=self._follow, daemon=True).start()

    def _words(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "fivefold.cli", "hub", *words, "--data", str(self._directory / "hub")]

    def start(self) -> None:
        """Start it; returns when it listens. Raises `Failed`."""
        self.port = self._free_port
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._words("serve", "--http", f"127.0.0.1:{self.port}"),
                stdout=log,
                stderr=log,
                env=environment(),
                cwd=ROOT,
            )
        self.starts += 1
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1.0).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise Failed(f"the hub does not start: {self._log.read_text()[-500:]}")

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """Kill it for good."""
        self.kill()
        self._follower.kill()
        self._follower.wait()

    def _follow(self) -> None:
        assert self._follower.stdout is not None
        with self._follower.stdout, self.file.open("w", buffering=1) as out:
            for text in self._follower.stdout:
                line = json.loads(text)
                lane, event = line["lane"], line["event"]
                seq = event["seq"]
                if event["kind"] == "gap":
                    out.write(f"{lane} {event['from_seq']} {seq} gap {event['count']} {event['reason']}\n")
                else:
                    out.write(f"{lane} {seq} {seq} {event['t']} {event['n']} {event['at']}\n")
                with self._changed:
                    self.lines += 1
                    self.marks[lane] = seq
                    self._changed.notify_all()
