"""What the probe of a worker's readiness says of a proxy's answers: its own script, asked of a server on loopback."""

import os
import subprocess
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.chart.rendering import Release, typed
from tests.support import programs

WGET = programs.needed("wget", "the probe of a worker's readiness")
HEALTHY = 200, "success"
DRAINS = 503, "This node is being drained."
NO_REPLICAS = 503, "No replicas are available yet."
BOTH = "http-x,SERVE_REPLICA_1,0,UP,\ngrpc-x,SERVE_REPLICA_1,0,UP,\n"
HTTP_ALONE = "http-x,SERVE_REPLICA_1,0,UP,\ngrpc-x,SERVE_REPLICA_1,0,DOWN,\n"


class Proxy(ThreadingHTTPServer):
    """Answers as HAProxy does, with what a test sets."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.health = HEALTHY
        self.figures = BOTH


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Proxy)
        status, text = (200, self.server.figures) if self.path.startswith("/stats") else self.server.health
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A proxy that is up, and ends with its test."""
    server = Proxy()
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def ready(port: int, home: Path) -> bool:
    """Whether the probe of the rendered worker calls it ready."""
    worker = typed(Release("default").groups()["worker"]["template"]["spec"], "V1PodSpec").containers[0]
    *shell, script = worker.readiness_probe._exec.command
    script = script.replace(":8000", f":{port}").replace(":8404", f":{port}").replace("/tmp/", f"{home}/")
    return subprocess.run([*shell, script], check=False, capture_output=True).returncode == 0


if WGET is not None:

    def test_a_worker_is_ready_with_a_proxy_and_a_replica_for_both_transports(proxy: Proxy, tmp_path: Path) -> None:
        """One transport without a replica, or no proxy at all, is not ready."""
        assert ready(proxy.server_port, tmp_path)
        proxy.figures = HTTP_ALONE
        assert not ready(proxy.server_port, tmp_path)
        proxy.figures, proxy.health = BOTH, NO_REPLICAS
        assert not ready(proxy.server_port, tmp_path)
        assert not ready(1, tmp_path)

    def test_a_proxy_that_drains_keeps_its_worker_ready_for_half_of_its_time(proxy: Proxy, tmp_path: Path) -> None:
        """It answers by others' replicas meanwhile; the gateway needs it until a new worker is ready."""
        worker = typed(Release("default").groups()["worker"]["template"]["spec"], "V1PodSpec").containers[0]
        (drains,) = [int(item.value) for item in worker.env if item.name == "RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S"]
        proxy.health = DRAINS

        assert ready(proxy.server_port, tmp_path)
        (marker,) = tmp_path.iterdir()
        begun = time.time() - drains / 2
        os.utime(marker, (begun + 5, begun + 5))
        assert ready(proxy.server_port, tmp_path)
        os.utime(marker, (begun - 1, begun - 1))
        assert not ready(proxy.server_port, tmp_path)
        # With no replica anywhere it has nobody to answer by.
        os.utime(marker)
        proxy.figures = ""
        assert not ready(proxy.server_port, tmp_path)

    @pytest.mark.parametrize("between", [HEALTHY, NO_REPLICAS, None])
    def test_each_drain_has_its_own_time(proxy: Proxy, tmp_path: Path, between: tuple[int, str] | None) -> None:
        """Whatever the proxy was since the one before, and if it was another process."""
        proxy.health = DRAINS
        assert ready(proxy.server_port, tmp_path)
        (marker,) = tmp_path.iterdir()
        os.utime(marker, (1, 1))
        assert not ready(proxy.server_port, tmp_path)
        proxy.health = between or DRAINS
        ready(proxy.server_port if between else 1, tmp_path)
        proxy.health = DRAINS
        assert ready(proxy.server_port, tmp_path)
