"""What `fivefold serve` refuses before it starts anything, and how it hears signals."""

import socket
import threading
import time
from pathlib import Path

import pytest
from tests.host import launch

from fivefold.local import processes
from fivefold.online.local import Stop


@pytest.mark.parametrize("door", ["http", "grpc"])
def test_a_taken_port_is_named_and_nothing_starts(tmp_path: Path, door: str) -> None:
    """With the option that names another one. Another gRPC server is in the way even if it shares its port."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(door == "grpc"))
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        host = launch([tmp_path / "bundle"], tmp_path, **{door: f"127.0.0.1:{port}"})

        assert host.wait() == 1

    assert f"error: port {port} on 127.0.0.1 is taken" in host.printed()
    assert f"--{door} HOST:PORT" in host.printed()
    assert "Traceback" not in host.printed()
    assert "starting" not in host.printed()


def test_the_two_doors_cannot_be_one(tmp_path: Path) -> None:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{trial.getsockname()[1]}"
    host = launch([tmp_path / "bundle"], tmp_path, http=address, grpc=address)

    assert host.wait() == 1
    assert "cannot be both --http and --grpc" in host.printed()


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
    stop = Stop()
    threading.Timer(0.05, stop).start()
    begun = time.monotonic()

    assert stop.wait(30)
    assert time.monotonic() - begun < 10
    assert not stop.wait(0, count=2)
    stop.close()


def test_signals_are_counted_even_if_nobody_waits() -> None:
    """The second one means at once."""
    stop = Stop()
    for _ in range(100_000):
        stop()

    assert stop.wait(0, count=2)
    stop.close()


def test_a_local_run_needs_no_terminal(tmp_path: Path) -> None:
    """Under a service manager standard input is closed; that alone must not end it differently."""
    host = launch([tmp_path / "nothing"], tmp_path)

    assert host.wait() != 0
    assert "bundle_invalid" in host.printed()
