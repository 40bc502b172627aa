"""The repository host's workflow: it runs what `.ci/run` runs, on pinned actions, each job with the rights it needs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
FILE = ROOT / ".github" / "workflows" / "ci.yaml"
WORKFLOW = yaml.safe_load(FILE.read_text(encoding="utf-8"))
JOBS: dict[str, Any] = WORKFLOW["jobs"]
TARGET = re.compile(r"^(?:once_more )?(\.ci/programs|make [a-z].*)$", re.MULTILINE)


def steps() -> Iterator[dict[str, Any]]:
    for job in JOBS.values():
        yield from job["steps"]


def test_every_target_that_a_change_must_pass_is_run() -> None:
    wanted = set(TARGET.findall((ROOT / ".ci" / "run").read_text(encoding="utf-8")))
    found = {line for step in steps() for line in TARGET.findall(step.get("run", ""))}

    assert {"make check", "make test", "make gate"} < wanted <= found


def test_every_action_is_pinned_to_a_commit_beside_its_version() -> None:
    used = re.findall(r"uses: (.*)", FILE.read_text(encoding="utf-8"))

    assert used
    assert [each for each in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each)] == []


@pytest.mark.parametrize("name", JOBS)
def test_a_job_ends_in_time_and_may_do_only_what_it_needs(name: str) -> None:
    job = JOBS[name]

    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert 0 < job["timeout-minutes"] <= 120
    assert ("permissions" in job) == (name == "release")
    checkouts = [step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_a_release_comes_after_all_else_and_from_a_tag_alone() -> None:
    release = JOBS["release"]

    assert set(release["needs"]) == JOBS.keys() - {"release"}
    assert release["if"] == "startsWith(github.ref, 'refs/tags/v')"
    assert all("${{" not in step.get("run", "") for step in steps())
