"""The chart on a cluster: its test, its notes typed as printed, and a release that its gate refuses."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from tests.e2e import bundles, cluster
from tests.e2e.load import Load

pytestmark = pytest.mark.e2e


def test_helm_test_calls_the_model() -> None:
    """A pod in the cluster asks the service over REST and gRPC."""
    assert "Succeeded" in cluster.helm("test", cluster.NAME, "--logs", "--timeout", "10m")


def test_the_notes_work_as_printed(tmp_path: Path) -> None:
    """Every command that the installation prints, typed into a shell by somebody who knows nothing else."""
    notes = cluster.helm("get", "notes", cluster.NAME)
    lines = [line.strip() for line in notes.splitlines() if re.match(r"\s+(kubectl|export|curl) ", line)]
    looked = [line.partition(":")[2].strip() for line in notes.splitlines() if line.startswith("Look at it:")]
    config = cluster.command("kind", "get", "kubeconfig", "--name", cluster.NAME)
    (tmp_path / "config").write_text(config)
    shell = "\n".join(["set -eu", f"cd {shlex.quote(str(tmp_path))}", *lines, *looked])

    said = cluster.command("bash", "-c", shell, KUBECONFIG=str(tmp_path / "config"))

    assert len(lines) >= 4
    assert re.search("^True$", said, re.MULTILINE)
    assert '"breast-cancer"' in said
    assert "rayservice.ray.io/fivefold" in said


def test_a_release_that_changes_the_contract_is_refused() -> None:
    """The gate names the difference before anything is changed, and callers notice nothing."""
    before = cluster.kubectl("get", "rayservice", cluster.NAME, "-o", "jsonpath={.metadata.generation} {.spec}")

    with Load(bundles.build(1)) as load:
        said = cluster.make("upgrade", check=False, BUNDLE=str(bundles.contradicting().path))
        load.steady()
        course = load.course()

    assert "Helm refused or failed" in said
    assert "refused" in said
    assert "inputs.mean_radius: maximum 60 became 59 (input-range-narrowed)" in said
    assert cluster.kubectl("get", "rayservice", cluster.NAME, "-o", "jsonpath={.metadata.generation} {.spec}") == before
    assert course.failures(("http", "grpc", "stream", "large")) == []
    assert course.bundles() == {bundles.build(1).digest}


def test_helm_records_what_is_served() -> None:
    """The refused release stands in the history as failed; the next one goes on from what is served."""
    history = json.loads(cluster.helm("history", cluster.NAME, "-o", "json"))
    assert history[-1]["status"] == "failed"

    cluster.upgrade(bundles.paths(bundles.build(1)))

    assert json.loads(cluster.helm("history", cluster.NAME, "-o", "json"))[-1]["status"] == "deployed"
    assert cluster.served() == {bundles.DEMO: bundles.build(1).digest}
