"""What `fivefold serve` refuses before it starts anything, and how it hears signals."""

import socket
import threading
import time
from pathlib import Path

import pytest
from tests.support.serve_process import launch

from fivefold.local import processes
from fivefold.local.signals import StopSignals
from fivefold.online.local import lifecycle
from fivefold.online.local.child import Child, Ended
from fivefold.online.local.in_place import Asking
from fivefold.online.local.lifecycle import RayFailed, Run
from fivefold.online.local.readiness import Readiness


@pytest.mark.parametrize("transport", ["http", "grpc"])
def test_a_taken_port_is_named_and_nothing_starts(tmp_path: Path, transport: str) -> None:
    """With the option that names another one. Another gRPC server is in the way even if it shares its port."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(transport == "grpc"))
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        host = launch([tmp_path / "bundle"], tmp_path, **{transport: f"127.0.0.1:{port}"})

        assert host.wait() == 1

    assert f"error: port {port} on 127.0.0.1 is taken" in host.printed()
    assert f"--{transport} HOST:PORT" in host.printed()
    assert "Traceback" not in host.printed()
    assert "starting" not in host.printed()


def test_the_two_endpoints_cannot_be_one(tmp_path: Path) -> None:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{trial.getsockname()[1]}"
    host = launch([tmp_path / "bundle"], tmp_path, http=address, grpc=address)

    assert host.wait() == 1
    assert "cannot be both --http and --grpc" in host.printed()


@pytest.mark.full
def test_a_bad_bundle_is_refused_before_ray_starts(tmp_path: Path) -> None:
    """With the error's code and the file that is wrong."""
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "bundle.json").write_text("{}")
    host = launch([bundle], tmp_path / "run")

    assert host.wait() != 0
    assert "bundle_invalid" in host.printed()
    assert "bundle.json" in host.printed()
    assert "starting" not in host.printed()
    assert processes.descendants(host.process.pid) == []


def test_a_signal_wakes_whoever_waits() -> None:
    stop = StopSignals()
    threading.Timer(0.05, stop).start()
    begun = time.monotonic()

    assert stop.wait(30)
    assert time.monotonic() - begun < 10
    assert not stop.wait(0, count=2)
    stop.close()


def test_signals_are_counted_even_if_nobody_waits() -> None:
    """The second one means at once."""
    stop = StopSignals()
    for _ in range(100_000):
        stop()

    assert stop.wait(0, count=2)
    stop.close()


def test_a_local_run_needs_no_terminal(tmp_path: Path) -> None:
    """Under a service manager standard input is closed; that alone must not end it differently."""
    host = launch([tmp_path / "nothing"], tmp_path)

    assert host.wait() != 0
    assert "bundle_invalid" in host.printed()


class Silent:
    """What a run's Ray process looks like to it: there, and saying what it is told to say."""

    def __init__(self, *reports: list[dict[str, str]]) -> None:
        self.process, self._reports = self, [list(each) for each in reports]

    def poll(self) -> None:
        return None

    def report(self, *_: object) -> dict[str, str] | None:
        if not self._reports:
            return None
        if not self._reports[0]:
            self._reports.pop(0)
            return None
        return self._reports[0].pop(0)


def run_of(ray: Silent, monkeypatch: pytest.MonkeyPatch, *, ready: bool) -> Run:
    """A run that answers, as far as `wait` is concerned; a look takes no time."""
    clock = iter(range(10_000))
    monkeypatch.setattr(lifecycle, "time", type("Time", (), {"monotonic": lambda: float(next(clock))}))
    run = Run.__new__(Run)
    run._ray = ray  # type: ignore[assignment]  # all that is asked of it
    run._stop = type("Never", (), {"wait": lambda *_: False, "fileno": 0, "count": 0})()  # type: ignore[assignment]
    run._watch = type("Well", (), {"look": lambda *_, **__: None})()  # type: ignore[assignment]
    run._unready_seconds = 60.0
    monkeypatch.setattr(Run, "_pass_log_on", lambda _: None)
    run._asking = Asking()
    run._ready = Readiness("here:80")
    monkeypatch.setattr(Readiness, "__call__", lambda *_: ready)
    return run


def test_a_ray_that_is_there_and_says_nothing_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence counts from the last word."""
    ray = Silent(*[[], [{"event": "alive"}]] * 20)
    run = run_of(ray, monkeypatch, ready=True)

    with pytest.raises(RayFailed, match="Ray has not answered for 30 s"):
        run.wait()
    assert ray._reports == []


def test_a_run_that_is_never_ready_again_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Although all of its processes are there."""
    run = run_of(Silent(*[[{"event": "alive"}]] * 5000), monkeypatch, ready=False)
    monkeypatch.setattr(Child, "output", lambda _: "")
    run._ray.output = lambda: ""  # type: ignore[union-attr, method-assign]

    with pytest.raises(RayFailed, match="http://here:80/readyz has not said ready for 65 s"):
        run.wait()


def test_a_child_reports_line_by_line_until_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what it printed is kept for the sentence that says how it ended; nothing is left open."""
    (tmp_path / "reporter.py").write_text(
        """
import os, sys
order = sys.stdin.readline().strip()
print("it said", order, flush=True)
os.write(int(sys.argv[1]), b'{"event": "a"}\\n{"event": "b"}\\n{"event": ')
"""
    )
    before = len(list(Path("/proc/self/fd").iterdir()))
    child = Child("reporter", tmp_path / "log", {"PYTHONPATH": str(tmp_path)})
    stop = StopSignals()
    assert child.report(time.monotonic() + 0.05, stop.fileno, lambda: None) is None
    child.order("hello")

    assert [child.report(None, stop.fileno, lambda: None) for _ in range(2)] == [{"event": "a"}, {"event": "b"}]
    with pytest.raises(Ended):
        child.report(None, stop.fileno, lambda: None)
    assert child.process.wait(20) == 0
    assert child.output() == ":\nit said hello"
    child.close()
    stop.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
