"""What the machine lacks, told from what programs really print. The programs are stand-ins on a PATH of their own."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from fivefold.cli import main
from fivefold.doctor import laptop_checks, machine_checks
from fivefold.doctor.finding import Finding, version_of

INFO: dict[str, Any] = {"ServerVersion": "27.3.1", "NCPU": 8, "MemTotal": 16 << 30, "DockerRootDir": "/"}
KUBECTL = "Client Version: v1.34.3\nKustomize Version: v5.7.1"


class Programs:
    """A PATH with nothing on it but what a test puts there."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, name: str, output: str, *, status: int = 0, error: str = "") -> None:
        """A program that prints and ends."""
        program = self._directory / name
        program.write_text(
            f"#!/bin/sh\nwhile IFS= read -r line; do echo \"$line\"; done <<'END'\n{output}\nEND\n"
            f"echo '{error}' >&2\nexit {status}\n"
        )
        program.chmod(0o755)

    def put_all(self) -> None:
        """A machine that has everything."""
        self.put("docker", json.dumps(INFO))
        self.put("kind", "kind v0.30.0 go1.24.6 linux/amd64")
        self.put("kubectl", KUBECTL)
        self.put("helm", "v3.19.0+g3d8990f")


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """The only ones."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return Programs(tmp_path / "bin")


@pytest.fixture(autouse=True)
def free_port(monkeypatch: pytest.MonkeyPatch) -> int:
    """The gateway's port is one that nobody has."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port: int = trial.getsockname()[1]
    monkeypatch.setattr(machine_checks, "PORT", port)
    return port


def found(name: str) -> Finding:
    """One finding of the whole examination."""
    (finding,) = [finding for finding in machine_checks.examine() if finding.name == name]
    return finding


def test_versions_are_found_in_what_programs_print() -> None:
    """With and without a v, a patch number and words around."""
    assert version_of("kind v0.30.0 go1.24.6 linux/amd64") == (0, 30, 0)
    assert version_of("20.10.24+dfsg1") == (20, 10, 24)
    assert version_of("Client Version: v1.34") == (1, 34, 0)
    assert version_of("unknown") is None


def test_a_machine_that_has_everything(programs: Programs) -> None:
    """Nothing is missing."""
    programs.put_all()

    assert [finding for finding in machine_checks.examine() if finding.verdict == "missing"] == []
    assert found("docker").says == "engine 27.3.1"
    assert found("cores").says == "8"
    assert found("memory").says == "16.0 GiB"


def test_an_empty_machine(programs: Programs) -> None:
    """Every program is missing, each with what it is for and where it is to be had."""
    for name in ("docker", "kind", "kubectl", "helm"):
        finding = found(name)

        assert (finding.verdict, finding.says) == ("missing", "not on PATH")
        assert finding.need
        assert finding.help.startswith("https://")


@pytest.mark.parametrize(
    ("name", "output", "says"),
    [
        ("kind", "kind v0.26.0 go1.23.4 linux/amd64", "0.26.0, older than 0.27"),
        ("kubectl", "Client Version: v1.29.9", "1.29.9, older than 1.30"),
        ("helm", "v2.17.0+ga690bad", "2.17.0, older than 3.14"),
        ("helm", "what?", "does not tell its version: what?"),
        ("docker", json.dumps(INFO | {"ServerVersion": "19.03.1"}), "engine 19.03.1, older than 20.10"),
    ],
)
def test_an_old_program_is_as_good_as_none(programs: Programs, name: str, output: str, says: str) -> None:
    """With both versions."""
    programs.put_all()
    programs.put(name, output)

    assert (found(name).verdict, found(name).says) == ("missing", says)


@pytest.mark.parametrize(
    ("output", "status", "error"),
    [
        ("", 1, "Cannot connect to the Docker daemon"),
        (json.dumps({"ServerVersion": "", "ServerErrors": ["Cannot connect to the Docker daemon"]}), 0, ""),
    ],
)
def test_an_engine_that_does_not_answer_is_not_a_missing_program(
    programs: Programs, output: str, status: int, error: str
) -> None:
    """The client is there; old ones end with an error, new ones tell it in the answer."""
    programs.put("docker", output, status=status, error=error)

    assert found("docker").says == "the engine does not answer: Cannot connect to the Docker daemon"
    assert "start it" in found("docker").help


@pytest.mark.parametrize(
    ("info", "cores", "memory"),
    [
        ({"NCPU": 1, "MemTotal": 2 << 30}, "missing", "missing"),
        ({"NCPU": 2, "MemTotal": 4 << 30}, "warn", "warn"),
        ({"NCPU": 4, "MemTotal": 8 << 30}, "ok", "ok"),
    ],
)
def test_room_is_what_the_engine_has(programs: Programs, info: dict[str, Any], cores: str, memory: str) -> None:
    """It may run in a machine of its own, smaller than this one."""
    programs.put("docker", json.dumps(INFO | info))

    assert (found("cores").verdict, found("memory").verdict) == (cores, memory)


def test_a_taken_port_is_named_unless_it_is_our_own_cluster(programs: Programs, free_port: int) -> None:
    """After `make kind-up` the port is taken by what was wanted."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", free_port))
        other.listen()
        programs.put("kind", "another")
        assert found(f"port {free_port}").verdict == "missing"
        programs.put("kind", "another\nfivefold")
        assert found(f"port {free_port}").verdict == "ok"

    assert found(f"port {free_port}").says == "free"


def test_few_watches_are_a_warning(tmp_path: Path) -> None:
    """On Linux; elsewhere there is no such limit."""
    (tmp_path / "max_user_instances").write_text("128\n")

    assert [finding.verdict for finding in machine_checks._inotify(tmp_path)] == ["warn"]
    assert machine_checks._inotify(tmp_path / "nowhere") == ()


def test_the_command_ends_by_what_is_missing(
    programs: Programs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """0 where nothing is; a cluster counts only where one is asked for."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.setattr(machine_checks, "GIB", 1)
    programs.put_all()
    monkeypatch.setattr(laptop_checks, "examine", list)
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out == "laptop\nwhat Kubernetes needs: fivefold doctor --cluster\n"
    assert main(["doctor", "--cluster"]) == 1
    assert "missing  cluster" in capsys.readouterr().out

    programs.put("helm", "v2.17.0")
    assert main(["doctor", "--cluster", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is False
    assert [one["name"] for one in report["machine"] if one["verdict"] == "missing"] == ["helm"]
