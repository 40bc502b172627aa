"""The watch says what has ended for good, waits for what comes back, and does not wait for what is stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from fivefold.online.local import watch
from fivefold.online.local.watch import RESTORE_SECONDS, STOPPED_LOOKS, Died, ProcessWatch

NAMES = {
    1: "gcs_server",
    2: "raylet",
    3: "ray::ServeController",
    4: "ray::HAProxyManager",
    5: "haproxy",
    6: "ray::ServeReplica:fivefold:Online",
    7: "ray::ServeReplica:fivefold:Online",
    8: "ray::ProxyActor",
}


class Machine:
    """The processes of a run, as the watch is told of them."""

    def __init__(self) -> None:
        self.names = dict(NAMES)
        self.states = dict.fromkeys(NAMES, "S")
        self.killed: list[int] = []
        self.scans = 0
        self.watch = ProcessWatch(
            watch.parts(10.0), below=self._below, state=self._state, name=lambda pid: self.names[pid], kill=self.end
        )

    def _below(self) -> list[int]:
        self.scans += 1
        return list(self.names)

    def _state(self, pid: int) -> str:
        return self.states.get(pid, "")

    def end(self, pid: int) -> None:
        self.killed.append(pid)
        self.states[pid] = "Z"

    def start(self, pid: int, name: str) -> None:
        self.names[pid], self.states[pid] = name, "R"

    def looks(self, count: int, **given: bool) -> None:
        for _ in range(count):
            self.watch.look(**given)


@pytest.fixture
def machine() -> Machine:
    out = Machine()
    out.looks(1)
    return out


def test_a_run_that_is_well_is_not_searched_again(machine: Machine) -> None:
    """A look asks for the processes that are known, not for all of the machine's."""
    scans = machine.scans

    machine.looks(100)

    assert machine.scans == scans


@pytest.mark.parametrize(("pid", "name"), [(1, "gcs_server"), (2, "raylet")])
@pytest.mark.parametrize("state", ["Z", "X", ""])
def test_what_nobody_restores_ends_the_run_at_once(machine: Machine, pid: int, name: str, state: str) -> None:
    machine.states[pid] = state

    with pytest.raises(Died, match=name):
        machine.looks(1)


@pytest.mark.parametrize(
    ("pids", "name"), [((3,), "controller"), ((4,), "manager"), ((5,), "HAProxy"), ((6, 7), "replica")]
)
def test_what_ray_restores_has_its_time(machine: Machine, pids: tuple[int, ...], name: str) -> None:
    """One that comes back under another id is found, also twice in a row; one that does not is named."""
    command = NAMES[pids[0]]
    patience = int(RESTORE_SECONDS) + (10 if name == "replica" else 0)
    for again in (100, 200):
        for pid in pids:
            machine.end(pid)
        machine.looks(patience)
        machine.start(again, command)
        machine.looks(patience + 5)
        pids = (again,)
    machine.end(pids[0])
    machine.looks(patience)

    with pytest.raises(Died, match=f"{name} has ended and did not come back within {patience} s"):
        machine.looks(1)


def test_one_replica_of_several_may_go(machine: Machine) -> None:
    """Autoscaling takes some away, too."""
    machine.end(6)

    machine.looks(200)


@pytest.mark.parametrize("pid", NAMES)
def test_what_is_stopped_is_killed(machine: Machine, pid: int) -> None:
    """Nobody would notice it: a stopped process keeps its sockets. What is traced, or stopped shortly, is left."""
    machine.states[pid] = "t"
    machine.looks(20)
    machine.states[pid] = "T"
    machine.looks(STOPPED_LOOKS - 1)
    machine.states[pid] = "S"
    machine.looks(1)
    machine.states[pid] = "T"
    machine.looks(STOPPED_LOOKS - 1)
    assert machine.killed == []

    if pid in (1, 2):
        with pytest.raises(Died):
            machine.looks(1)
    else:
        machine.looks(1)

    assert machine.killed == ([pid] if pid != 8 else []), "the fallback proxy is Ray's own matter"


def test_what_has_not_started_is_not_missed() -> None:
    """But what has, and has ended, is."""
    machine = Machine()
    for pid in (2, 3, 4, 5, 6, 7):
        machine.states[pid] = ""
    machine.looks(500, starting=True)
    machine.start(2, "raylet")
    machine.looks(2, starting=True)
    machine.end(1)

    with pytest.raises(Died, match="gcs_server"):
        machine.looks(1, starting=True)


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


def test_the_system_tells_of_its_processes(child: subprocess.Popen[bytes]) -> None:
    """Also of those that are stopped, and of those that are not there."""
    assert watch.name_of(child.pid).startswith("python")
    assert watch.state_of(os.getpid()) == "R"
    child.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
    assert watch.state_of(child.pid) == "T"
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert watch.state_of(child.pid) == "Z"
    child.communicate()
    assert watch.state_of(child.pid) == ""
    assert watch.name_of(child.pid) == ""
