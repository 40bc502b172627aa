"""`fivefold batch submit --date`, by a kubectl that asks a Kubernetes API over HTTP."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.cron_jobs import cron_job, ended
from tests.support.kubernetes_api import Cluster, running

from fivefold.cli import main
from fivefold.cluster.kubectl import Kubectl
from fivefold.cluster.kubernetes_api import CRONJOB, JOB, ApiError
from fivefold.cluster.rerun import LABELS
from fivefold.commands import batch_day

NAME = "fivefold-batch-20260130"
DAY = ("batch", "submit", "--date", "2026-01-30")
KUBECTL = shutil.which("kubectl")


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A cluster with one CronJob, reached as a pod does."""
    with running(tmp_path) as (cluster, api):
        monkeypatch.setattr(batch_day, "_api", lambda _: api)
        cron = cron_job()
        cluster.cronjobs[cron["metadata"]["name"]] = cron
        yield cluster


def test_a_day_is_made_once_and_told(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    """Each time with the Job's name."""
    assert main(DAY) == 0
    assert main(DAY) == 0
    ended(cluster.jobs[NAME], "Complete")
    assert main([*DAY, "--wait"]) == 0

    assert capsys.readouterr().out.splitlines() == [
        f"{NAME}: made, for 2026-01-30",
        f"{NAME} is there already, for 2026-01-30: running",
        f"{NAME} has scored 2026-01-30 already; --again runs it once more",
    ]


def test_json_says_the_same(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    """One object on standard output, what is waited for beside it."""
    assert main([*DAY, "--json"]) == 0

    assert json.loads(capsys.readouterr().out) == {
        "job": NAME, "date": "2026-01-30", "submitted": True, "state": "running",
    }  # fmt: skip


def test_a_failure_that_was_waited_for_is_one(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    """With its reason, and where the rest of it is."""
    cluster.ends = {
        "conditions": [{"type": "Failed", "status": "True", "message": "no file matches /data/2026-01-30/*"}]
    }

    assert main([*DAY, "--wait"]) == 1
    said = capsys.readouterr().err
    assert "no file matches /data/2026-01-30/*" in said
    assert f"kubectl -n scores logs job/{NAME}" in said


@pytest.mark.parametrize(
    ("day", "words"),
    [
        ("2999-01-01", "not over yet"),
        ("30.1.2026", "expected a day"),
        ("2026-02-30", "expected a day"),
        ("", "expected"),
    ],
)
def test_a_day_that_is_none_is_refused(
    cluster: Cluster, capsys: pytest.CaptureFixture[str], day: str, words: str
) -> None:
    """Nothing is made."""
    assert main(["batch", "submit", "--date", day]) == 2
    assert words in capsys.readouterr().err
    assert not cluster.jobs


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--model", "bundles/demo"), "--model is what the CronJob says"),
        (("--format", "csv"), "--format is what the CronJob says"),
        (("--address", "http://127.0.0.1:8265"), "--address is what the CronJob says"),
        (("--max-bad-rows", "0"), "--max-bad-rows is what the CronJob says"),
    ],
)
def test_what_the_cron_job_says_is_not_said_twice(
    cluster: Cluster, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], words: str
) -> None:
    """It would be passed over in silence."""
    assert main([*DAY, *more]) == 2
    assert words in capsys.readouterr().err
    assert not cluster.jobs


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (("--model", "m", "--input", "i", "--output", "o", "--wait"), "--wait is for a run with --date"),
        (("--model", "m", "--output", "o"), "the following arguments are required: --input, or --date"),
        ((), "--model, --input, --output, or --date"),
    ],
)
def test_without_a_date_the_rest_is_needed(
    capsys: pytest.CaptureFixture[str], line: tuple[str, ...], words: str
) -> None:
    """As before."""
    assert main(["batch", "submit", *line]) == 2
    assert words in capsys.readouterr().err


def test_what_is_no_day_is_refused_before_anybody_is_asked(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither a cluster nor its account is needed to say so."""
    for text in ("2026-13-01", "yesterday", "2026-01-30T24", "2026-1-3", ""):
        assert main(["batch", "submit", "--date", text]) == 2
        assert f"got {text!r}" in capsys.readouterr().err
    assert not cluster.asked


def test_a_cluster_that_refuses_is_told_with_what_is_needed(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    """The API's own words, and the rights."""
    cluster.forbidden.add(NAME)

    assert main(DAY) == 5
    said = capsys.readouterr().err
    assert f"{NAME} is none of yours" in said
    assert "to read and make Jobs" in said


if KUBECTL:

    @pytest.fixture
    def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
        """The same cluster, reached by kubectl's configuration."""
        with running(tmp_path) as (cluster, api):
            # kubectl gives no token away in clear text.
            cluster.token = ""
            context = {"cluster": "c", "user": "u", "namespace": "scores"}
            given = {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [
                    {"name": "c", "cluster": {"server": api.url}},
                    {"name": "none", "cluster": {"server": "http://127.0.0.1:9"}},
                ],
                "users": [{"name": "u", "user": {}}],
                "contexts": [
                    {"name": "here", "context": context},
                    {"name": "away", "context": context | {"cluster": "none"}},
                ],
                "current-context": "here",
            }
            (tmp_path / "kubeconfig").write_text(json.dumps(given))
            monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
            monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
            cron = cron_job()
            cluster.cronjobs[cron["metadata"]["name"]] = cron
            yield cluster

    def test_from_outside_kubectl_asks(outside: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
        """With its own context, login and namespace."""
        assert main(DAY) == 0
        assert f"{NAME}: made, for 2026-01-30" in capsys.readouterr().out
        assert set(outside.jobs) == {NAME}
        assert main([*DAY, "--context", "away"]) == 5
        assert "--context NAME" in capsys.readouterr().err

    def test_kubectls_answers_are_the_apis(outside: Cluster) -> None:
        """What is not there, what is there already, what is chosen by labels, and what is not allowed."""
        api = Kubectl.of()
        assert api.namespace == "scores"
        assert api.read(JOB, NAME) is None
        assert api.create(JOB, {"metadata": {"name": NAME}})
        assert not api.create(JOB, {"metadata": {"name": NAME}})
        assert [each["metadata"]["name"] for each in api.find(CRONJOB, LABELS)] == ["fivefold-batch"]
        assert not api.find(CRONJOB, {"app.kubernetes.io/instance": "other"})
        outside.forbidden.add("secret")
        with pytest.raises(ApiError) as caught:
            api.read(JOB, "secret")
        assert caught.value.status == 403


def test_a_machine_without_kubectl_says_so() -> None:
    """By its name."""
    with pytest.raises(ApiError, match="there is no no-kubectl on this machine"):
        Kubectl.of(program="no-kubectl")
