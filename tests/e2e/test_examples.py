"""Every file of `k8s/examples` is taken by the cluster's API as it stands."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.e2e import cluster

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
        said = cluster.command(
            "kubectl", "--context", cluster.CONTEXT, *words, "--dry-run=server", given=path.read_text()
        )
    finally:
        for name in new:
            cluster.kubectl("delete", "namespace", name, "--wait=false")

    assert said.count("serverside-applied (server dry run)") == len(documents)
