"""The servers while they run: started, waited for, paused while another one is measured, weighed, ended.

A server that waits is stopped with SIGSTOP, all its processes, so that no background work of its is part of another
one's figure. Those on Ray run on, since they do not survive that: their idle work is the same for everybody. What a
server is asked is left to `questions`.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fivefold.core.bundle.bundle import Bundle
from fivefold.local import processes
from loadtest.bench import questions, tools
from loadtest.bench.comparison import BenchComparison, Contender
from loadtest.bench.questions import Question, Refuses
from loadtest.machine import programs
from loadtest.machine.cost import cpu_seconds
from loadtest.machine.measurement import Differs
from loadtest.machine.programs import PEERS

START_SECONDS: Final = 120.0
END_SECONDS: Final = 25.0


@dataclass(frozen=True)
class MemoryWeight:
    """Memory of the process that holds the model, in bytes: resident, and its proportional share."""

    resident: int
    proportional: int


class Running:
    """One server that answers."""

    def __init__(
        self, who: Contender, comparison: BenchComparison, directory: Path, bundles: Path, asked: Question
    ) -> None:
        """Start it and wait until every form of its requests is answered rightly.

        Raises `Differs` with the end of its output where it ends, answers wrongly or is not there in time.
        """
        self.who = who
        # Ray takes a stopped node for a dead one: after a minute's pause its proxy is gone.
        self._pause = not who.ray
        self._directory = directory / who.name
        self._directory.mkdir(parents=True)
        self._output = self._directory / "output.txt"
        self._stopped: list[int] = []
        self._rows = {workload.name: workload.rows for workload in comparison.workloads}
        self.asks = {name: form(asked, self._rows[name]) for name, form in who.http.items()}
        self._truth = asked.truth
        self._messages: dict[str, bytes] = {}
        self.scripts = {name: tools.script(self._directory / f"{name}.lua", ask) for name, ask in self.asks.items()}
        for workload in comparison.workloads:
            if workload.grpc and who.grpc:
                self._messages[workload.name] = questions.message(asked, workload.rows)
        self.payloads = {
            name: tools.payload(self._directory / f"{name}.bin", message) for name, message in self._messages.items()
        }
        self.http, self.grpc = (0, 0) if not who.program else (free_port(), free_port() if who.grpc else 0)
        self._process = self._start(directory, bundles, asked.model)
        self._until_right()

    def _start(self, directory: Path, bundles: Path, model: str) -> subprocess.Popen[bytes]:
        who = self.who
        if who.program:
            program = [str(who.python), str(PEERS / who.program), *who.arguments]
        else:
            models = [part for name in who.arguments for part in ("--model", str(bundles / name))]
            fivefold = str(who.python.with_name("fivefold"))
            program = [fivefold, "serve", *models, "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]
        environment = programs.direct()
        if who.program:
            ports = {"PEER_HTTP": str(self.http), "PEER_GRPC": str(self.grpc)}
            environment |= model_variables(bundles / model) | ports
        environment |= {
            "PYTHONPATH": os.pathsep.join((str(PEERS), str(directory / "protos"))) if who.program else "",
            "PYTHONUNBUFFERED": "1",
            "RAY_USAGE_STATS_ENABLED": "0",
            "BENTOML_DO_NOT_TRACK": "True",
            "BENTOML_HOME": str(self._directory / "bentoml"),
        }
        # Ray's sockets need a short path, so it keeps the system's directory.
        environment |= {} if who.ray else {"TMPDIR": str(self._directory)}
        with self._output.open("wb") as output:
            # A session of its own: Ctrl-C reaches the bench alone, which then ends everything in order.
            return subprocess.Popen(
                program,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                cwd=self._directory,
                start_new_session=True,
            )

    def _until_right(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self._find_addresses()
                self.check()
                return
            except (OSError, Refuses) as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise Differs(f"{self.who.title} does not start: {error}\n{self.output()}") from error
            time.sleep(0.2)

    def _find_addresses(self) -> None:
        if self.who.program or self.http:
            return
        printed = self._output.read_text(errors="replace")
        if "Ctrl-C stops it" not in printed:
            raise ConnectionError("not ready")
        rest, grpc = re.search(r"REST\s+http://\S+?:(\d+)/", printed), re.search(r"gRPC\s+\S+?:(\d+)", printed)
        assert rest is not None
        assert grpc is not None
        self.http, self.grpc = int(rest[1]), int(grpc[1])

    def check(self) -> None:
        """Ask everything once; raises `Differs` or `OSError`."""
        for name, ask in self.asks.items():
            questions.check_http(f"{self.who.title}, {name}", self.http, ask, self._truth[: self._rows[name]])
        for name, message in self._messages.items():
            questions.check_grpc(f"{self.who.title}, {name}", self.grpc, message, self._truth[: self._rows[name]])

    def output(self) -> str:
        """The end of its output."""
        return self._output.read_text(errors="replace")[-3000:]

    def pids(self) -> list[int]:
        """Its processes, the first one first."""
        return [self._process.pid, *reversed(processes.descendants(self._process.pid))]

    def cpu_seconds(self) -> float:
        """CPU that its processes have taken since they began."""
        total = 0.0
        for pid in self.pids():
            # One that has just ended takes what it took along.
            with contextlib.suppress(OSError):
                total += cpu_seconds(pid)
        return total

    def pause(self) -> None:
        """Stop all its processes, until nothing new appears."""
        while self._pause and (new := [pid for pid in self.pids() if pid not in self._stopped]):
            _signal(new, signal.SIGSTOP)
            self._stopped += new

    def resume(self) -> None:
        """Let them go on."""
        _signal(self._stopped, signal.SIGCONT)
        self._stopped = []

    def weight(self) -> MemoryWeight:
        """The memory of the process that holds the model."""
        found = [pid for pid in self.pids() if self._holds(pid)]
        if not found:
            raise Differs(f"no process of {self.who.title} holds the model")
        return max((_weigh(pid) for pid in found), key=lambda weight: weight.proportional)

    def _holds(self, pid: int) -> bool:
        with contextlib.suppress(OSError):
            if self.who.ray and not Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::ServeReplica"):
                return False
            return "onnxruntime" in Path(f"/proc/{pid}/maps").read_text(errors="replace")
        return False

    def end(self, deadline: float | None = None) -> None:
        """Ask it to end and wait; what is left is the sweep's."""
        self.ask_to_end()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.1, (deadline or time.monotonic() + END_SECONDS) - time.monotonic()))

    def ask_to_end(self) -> None:
        """SIGTERM to its first process."""
        self.resume()
        if self._process.poll() is None:
            self._process.terminate()


def model_variables(bundle: Path) -> dict[str, str]:
    """What `loadtest.peers.scoring` reads."""
    binding = Bundle.open(bundle).manifest.binding
    assert binding is not None
    return {
        "PEER_MODEL": str(bundle / "model.onnx"),
        "PEER_MODEL_NAME": bundle.name,
        "PEER_MODEL_INPUT": binding.inputs[0].model_input,
        "PEER_MODEL_OUTPUT": binding.outputs[0].model_output,
    }


def free_port() -> int:
    """A port that nobody listens on, below those that the system hands out: Ray takes dozens of these meanwhile."""
    while True:
        port = random.randrange(10_000, 19_900)
        with socket.socket() as trial, contextlib.suppress(OSError):
            trial.bind(("127.0.0.1", port))
            return port


def _signal(pids: list[int], signum: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signum)


def _weigh(pid: int) -> MemoryWeight:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = {name: int(size) * 1024 for name, size in re.findall(r"^(Rss|Pss):\s+(\d+) kB", text, re.MULTILINE)}
    return MemoryWeight(found["Rss"], found["Pss"])
