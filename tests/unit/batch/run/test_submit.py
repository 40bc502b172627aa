"""Jobs of a real Ray cluster with a login."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.bundles import write_sum
from tests.support.score_commands import SERVICES, environment, until

from fivefold.local import processes

pytestmark = [pytest.mark.host, pytest.mark.full]


def free_port() -> int:
    """A port that nobody has."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variables by which it is reached."""
    processes.adopt_orphans()
    before = processes.descendants()
    login = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0"}
    port = free_port()
    words = ["start", "--head", "--block", "--num-cpus=2", f"--port={free_port()}", f"--dashboard-port={port}"]
    words += ["--dashboard-host=127.0.0.1", "--include-dashboard=true", "--node-ip-address=127.0.0.1"]
    log = (tmp_path_factory.mktemp("ray") / "log").open("wb")
    # `python` of a job is the one of PATH.
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    process = subprocess.Popen(
        [sys.executable, "-m", "ray.scripts.scripts", *words],
        stdout=log,
        stderr=log,
        env=environment() | login | {"PATH": path, "PYTHONPATH": str(SERVICES)},
    )
    try:
        until(lambda: _listens(port))
        yield login | {"RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{port}"}
    finally:
        process.terminate()
        process.wait(60)
        log.close()
        assert processes.sweep(keep=before) == []


def _listens(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


def test_a_run_is_one_job_however_often_it_is_submitted(cluster: dict[str, str], tmp_path: Path) -> None:
    """It joins the cluster whose job it is, and publishes there."""
    model = write_sum(tmp_path / "sum").path
    (tmp_path / "a.csv").write_text("a,b\n" + "1,2\n" * 100)
    words = ["--model", str(model), "--input", str(tmp_path / "a.csv"), "--output", str(tmp_path / "out"), "--json"]

    def try_to_submit() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "fivefold.cli", "batch", "submit", *words],
            capture_output=True,
            text=True,
            env=environment() | cluster,
        )

    def submit() -> dict[str, object]:
        done = try_to_submit()
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)  # type: ignore[no-any-return]  # an object

    # A cluster that has just started takes no jobs yet, and says so.
    tries: list[subprocess.CompletedProcess[str]] = []
    until(lambda: tries.append(try_to_submit()) or tries[-1].returncode != 5)
    assert tries[-1].returncode == 0, tries[-1].stderr
    first = json.loads(tries[-1].stdout)
    second = submit()
    until(lambda: (tmp_path / "out" / "_SUCCESS").exists())
    third = submit()

    assert first["submitted"] is True
    assert str(first["submission_id"]).startswith("batch-")
    assert str(first["submission_id"]).endswith("-a1")
    assert [each["submission_id"] for each in (second, third)] == [first["submission_id"]] * 2
    assert [each["submitted"] for each in (second, third)] == [False, False]
    assert json.loads((tmp_path / "out" / "run.json").read_text())["scored"] == 100


def test_without_the_login_the_cluster_refuses(cluster: dict[str, str], tmp_path: Path) -> None:
    """With a sentence, and no traceback."""
    model = write_sum(tmp_path / "sum").path
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    words = ["--model", str(model), "--input", str(tmp_path / "a.csv"), "--output", str(tmp_path / "out")]
    given = {"RAY_API_SERVER_ADDRESS": cluster["RAY_API_SERVER_ADDRESS"]}

    done = subprocess.run(
        [sys.executable, "-m", "fivefold.cli", "batch", "submit", *words],
        capture_output=True,
        text=True,
        env=environment() | given,
    )

    assert done.returncode == 4
    assert done.stderr.startswith("error: ")
    assert "RAY_AUTH_TOKEN" in done.stderr
    assert "Traceback" not in done.stderr
