"""Every file of `k8s/examples` is taken by the cluster's API as it stands, and the caller does what it is there for."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from tests.e2e import bundles, cluster

pytestmark = pytest.mark.e2e

EXAMPLES = sorted((cluster.ROOT / "k8s" / "examples").glob("*.yaml"))


def test_there_are_examples() -> None:
    """So that the next test has something to try."""
    assert EXAMPLES


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_api_takes_it(path: Path) -> None:
    """Applied on the server, down to the point of writing; namespaces for real, since what is in them asks for them."""
    documents = [each for each in yaml.safe_load_all(path.read_text()) if each]
    made = [each["metadata"]["name"] for each in documents if each["kind"] == "Namespace"]
    new = [name for name in made if not cluster.kubectl("get", "namespace", name, "--ignore-not-found").strip()]
    words = ("apply", "--server-side", "--force-conflicts", "--field-manager=example", "-f", "-")
    try:
        for name in new:
            cluster.kubectl("create", "namespace", name)
        # Not in the release's namespace by a flag: a file says itself where it belongs.
        said = _kubectl(*words, "--dry-run=server", given=path.read_text())
    finally:
        for name in new:
            cluster.kubectl("delete", "namespace", name, "--wait=false")

    assert said.count("serverside-applied (server dry run)") == len(documents)


@pytest.mark.rare
def test_the_caller_of_another_namespace_is_let_in_by_the_values() -> None:
    """With its namespace among `networkPolicy.callers`, a copy of the key, and the image that the nodes have."""
    callers = [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}} for name in ("traefik", "callers")
    ]
    text = (cluster.ROOT / "k8s" / "examples" / "caller.yaml").read_text()
    worker = cluster.pods("worker")[0].name
    image = cluster.kubectl("get", "pod", worker, "-o", "jsonpath={.spec.containers[0].image}")
    told = json.dumps(callers, separators=(",", ":"))
    cluster.upgrade(bundles.paths(bundles.build(1)), ARGS=f"--set-json networkPolicy.callers={told}")
    try:
        _apply(re.sub(r"image: fivefold/ray:\S+", f"image: {image}", text))
        _apply(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Secret",
                    "metadata": {"name": "fivefold-key", "namespace": "callers"},
                    "stringData": {"key": cluster.key()},
                }
            )
        )
        cluster.until("the caller's answer", lambda: _status("succeeded") == "1" or _status("failed") == "1")
        said = _kubectl("logs", "job/ask", "--namespace", "callers")
        assert _status("succeeded") == "1", said
    finally:
        _kubectl("delete", "namespace", "callers", "--ignore-not-found")
        cluster.upgrade(bundles.paths(bundles.build(1)))


def _status(what: str) -> str:
    return _kubectl("get", "job", "ask", "--namespace", "callers", "-o", f"jsonpath={{.status.{what}}}")


def _apply(text: str) -> None:
    _kubectl("apply", "--server-side", "-f", "-", given=text)


def _kubectl(*words: str, given: str | None = None) -> str:
    return cluster.command("kubectl", "--context", cluster.CONTEXT, *words, given=given)
