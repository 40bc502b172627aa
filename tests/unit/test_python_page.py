"""docs/python.md and docs/tutorial.md: their examples run as they stand, and the table of errors is the code's."""

from __future__ import annotations

import doctest
import re
import shlex
from pathlib import Path

import pytest
from tests.support.live_servers import running, serving

import fivefold
from fivefold.cli import _parser
from fivefold.core.errors import FAMILIES, FivefoldError

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
TUTORIAL = PAGE.with_name("tutorial.md")
SERVER = "http://127.0.0.1:8000"


def blocks(page: Path = PAGE) -> list[str]:
    """The page's examples."""
    return re.findall(r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def run(text: str, names: dict[str, object]) -> None:
    """Run one example after what ran before it, and compare what it prints."""
    runner = doctest.DocTestRunner(optionflags=doctest.REPORT_NDIFF)
    said: list[str] = []
    test = doctest.DocTestParser().get_doctest(text, {}, PAGE.name, str(PAGE), 0)
    test.globs = names
    runner.run(test, out=said.append, clear_globs=False)
    assert runner.failures == 0, "".join(said)


def test_the_examples_run_as_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In their order; what asks a server asks the page's own application."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    alone = [block for block in blocks() if SERVER not in block]
    asking = [block for block in blocks() if SERVER in block]

    for block in alone:
        run(block, names)
    with running(names["app"]) as url:
        for block in asking:
            run(block.replace(SERVER, url), names)

    assert len(asking) == 4


def test_the_tutorial_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a data frame to the answers of a server of its last bundle, which the command serves."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    first, last = (blocks(TUTORIAL)[:-2], blocks(TUTORIAL)[-2:])
    for block in first:
        run(block, names)
    (command,) = re.findall(r"^fivefold (serve .*)$", TUTORIAL.read_text("utf-8"), re.MULTILINE)
    (served,) = _parser().parse_args(shlex.split(command)).model
    with serving([fivefold.Bundle.open(served)]) as url:
        for block in last:
            assert SERVER in block
            run(block.replace(SERVER, url), names)


def test_every_name_of_the_public_api_is_shown() -> None:
    """In an example, or in the table of errors; a report is what packing gives."""
    shown = set(re.findall(r"fivefold\.(\w+)", "".join(blocks()))) | set(table()) | {"PackReport"}

    assert shown >= set(fivefold.__all__)


def test_the_table_of_errors_is_the_codes() -> None:
    """Every class with its codes, in their order; and each is a public name."""
    assert table() == {family.__name__: family.codes for family in FAMILIES}
    assert {family.__name__ for family in (FivefoldError, *FAMILIES)} <= set(fivefold.__all__)


def table() -> dict[str, tuple[str, ...]]:
    """The page's errors and their codes."""
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    return {name: tuple(re.findall(r"`(\w+)`", codes)) for name, codes in rows}
