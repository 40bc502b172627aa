"""One cluster for the whole directory: brought up once, broken test by test, left running.

    make e2e                                       all but what is rare, in the order of `ORDER`
    make e2e-full                                  everything: the second cluster, every conformance case, a lost head
    make e2e ARGS="-k access"                      a part; the cluster is brought up, or taken as it stands
    make e2e ARGS="--report figures.md"            write the figures as a table
    make e2e ARGS="--kind-down"                    delete the cluster at the end

A failing test shows what runs in the cluster, and what its pods have said.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import bundles, cluster
from tests.e2e.report import Report
from tests.support import programs

ORDER = (
    "test_bring_up",
    "test_access",
    "test_clients",
    "test_chart",
    "test_routes",
    "test_envoy",
    "test_gitops",
    "test_examples",
    "test_batch",
    "test_stream",
    "test_edge",
    "test_conformance",
    "test_upgrades",
    "test_faults",
    "test_scaling",
    "test_head",
    "test_release",
)
"""One cluster goes through all of it, so the order is no accident: what breaks most comes last."""

SECONDS = 1800
"""The longest that one test may take, the bringing up included."""

TELLING = 5
"""Of how many failing tests it is shown what runs in the cluster."""

_TOLD = pytest.StashKey[int]()

NEEDS = ("docker", "kind", "kubectl", "helm")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of this directory."""
    parser.addoption("--report", type=Path, metavar="FILE", help="write the figures of the cluster's tests as Markdown")
    parser.addoption("--kind-down", action="store_true", help="delete the cluster after the tests")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what cannot run here; say so only where it was asked for."""
    wanted = "e2e" in config.option.markexpr and "not e2e" not in config.option.markexpr
    missing = [name for name in NEEDS if programs.needed(name, "the cluster's tests") is None] if wanted else []
    # Maven has the jars of the broker.
    if wanted and collection_path.name == "test_stream.py":
        missing += ["mvn"] * (programs.needed("mvn", "the stream on the cluster") is None)
    # The page of the cluster in a browser, and what it is exported with.
    if wanted and collection_path.name == "test_edge.py":
        missing += ["chromium"] * (programs.needed("chromium", "the edge", "chromium-browser", "google-chrome") is None)
        missing += ["the web runtime"] * (programs.web_runtime("the edge") is None)
    # Every test of it is rare.
    if wanted and collection_path.name == "test_release.py" and "not rare" not in config.option.markexpr:
        built = cluster.ROOT / ".cache" / "bin" / "registry"
        missing += ["registry"] * (programs.needed("registry", "a release into a registry", str(built)) is None)
    return True if missing else None


# A random order would bring down for each test what the one before has built.
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files in `ORDER`, each from top to bottom, whatever was shuffled; and time enough for a slow machine."""
    here = Path(__file__).parent
    ours = [item for item in items if item.path.parent == here]
    if unknown := {item.path.stem for item in ours} - set(ORDER):
        raise pytest.UsageError(f"tests/e2e: no place in ORDER for {', '.join(sorted(unknown))}")
    ours.sort(key=lambda item: (ORDER.index(item.path.stem), _line(item)))
    others = [item for item in items if item.path.parent != here]
    for item in ours:
        item.add_marker(pytest.mark.timeout(SECONDS))
    items[:] = [*others, *ours]


def _line(item: pytest.Item) -> int:
    return item.location[1] or 0


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Generator[None, pytest.TestReport, Any]:
    """What runs in the cluster, and what its pods have said, below a test that failed."""
    report = yield
    ours = report.failed and item.path.parent == Path(__file__).parent and call.when in ("setup", "call")
    # Where one cause fails hundreds, the first few tell it.
    item.session.stash[_TOLD] = told = item.session.stash.get(_TOLD, 0) + ours
    if ours and told <= TELLING:
        for target, variables in (("status", {}), ("logs", {"TAIL": "25"})):
            report.sections.append((f"make {target}", cluster.make(target, check=False, **variables)[-20_000:]))
    return report


@pytest.fixture(scope="session")
def figures(request: pytest.FixtureRequest) -> Iterator[Report]:
    """Where tests enter what they have measured: shown at once, whatever is captured."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def say(line: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n{line}", end="", flush=True)

    report = Report(say)
    yield report
    if path := request.config.getoption("--report"):
        report.write(path)


@pytest.fixture(scope="session", autouse=True)
def up(request: pytest.FixtureRequest, figures: Report) -> Iterator[None]:
    """A cluster on which the demo answers: made by the targets that a user types, or taken as it stands."""
    try:
        _bring_up(figures)
    except BaseException:
        # Without it every other test would fail alike.
        request.session.shouldstop = "the cluster did not come up"
        raise
    yield
    if request.config.getoption("--kind-down"):
        cluster.make("kind-down")


def _bring_up(figures: Report) -> None:
    first = bundles.build(1)
    new = cluster.NAME not in cluster.command("kind", "get", "clusters", check=False).split()
    cluster.make("images")
    begun = time.monotonic()
    cluster.make("kind-up")
    made = time.monotonic()
    # What an earlier run was interrupted in.
    cluster.kubectl("uncordon", *cluster.nodes())
    cluster.make("deploy", BUNDLE=str(first.path), ARGS=bundles.ALONE)
    assert cluster.served() == {first.name: first.digest}
    ended = time.monotonic()
    if new:
        figures.fact(
            f"From `make kind-up` to the first answer, with the image built: {ended - begun:.0f} s, of which the "
            f"cluster {made - begun:.0f} s."
        )
