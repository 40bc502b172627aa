"""What holds for every test: hypothesis without deadlines, and an honest list of what this machine could not run.

A test that needs a program which the machine lacks is left out when tests are collected, never skipped: see
`tests/support/programs.py`. The run ends by naming what was left out and why; under `CI=true` that, or a skip, fails
the run.

`make test` runs them in two processes (pytest-xdist): the tests of one module stay together, and so do all modules that
start real hosts, begun first, because two hosts at once are more than two cores do in time.
"""

import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.support import programs

ROOT = Path(__file__).parents[1]
HOST = "host"

# CI tries the same examples every time, so that a change is judged by what it changes; elsewhere they are new ones.
settings.register_profile("house", deadline=None, print_blob=True, derandomize=os.environ.get("CI") == "true")
settings.load_profile("house")

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


@pytest.fixture(scope="session")
def demo_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo model, trained and packed once; its tests make their own."""
    from fivefold.packing.demo import demo

    return demo(tmp_path_factory.mktemp("demo") / "breast-cancer")


def pytest_configure(config: pytest.Config) -> None:
    """Tell what needs an environment of its own whether its tests will run at all."""
    programs.QUICK = "not full" in config.option.markexpr


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Hosts first, where several processes share the tests: they take longest. Those that share one stand together."""
    if hasattr(config, "workerinput"):
        rooms = {Path(item.location[0]).parent: None for item in items if _group(item.nodeid) == HOST}
        order = {room: number for number, room in enumerate(rooms)}
        items.sort(key=lambda item: order[Path(item.location[0]).parent] if _group(item.nodeid) == HOST else len(order))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give out whole modules, and all that start a host to one process."""
    from xdist.scheduler import LoadScopeScheduling

    class ByModule(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid)

    return ByModule(config, log)


@cache
def _module_group(path: str) -> str:
    return HOST if "mark.host" in (ROOT / path).read_text(encoding="utf-8") else path


def _group(nodeid: str) -> str:
    """Which tests stay together. The process that gives them out has their names alone, hence the look at the text."""
    return _module_group(nodeid.partition("::")[0])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Hear from a process what it has left out; the one that reports collects nothing itself."""
    programs.LEFT_OUT.extend(getattr(node, "workeroutput", {}).get("left_out", []))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what was left out and why."""
    for sentence in dict.fromkeys(programs.LEFT_OUT):
        terminalreporter.write_line(f"left out: {sentence}")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A green run on CI has run everything."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = programs.LEFT_OUT
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if os.environ.get("CI") == "true" and (skipped or programs.LEFT_OUT) and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
