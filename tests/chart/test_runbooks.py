"""What to do about each alert: the alerts of every scenario, and the page that they lead to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from fivefold.cli import _parser
from tests.chart.rendering import ROOT, SCENARIOS, Release

PAGE = "docs/runbooks.md"
TEXT = (ROOT / PAGE).read_text("utf-8")
PARTS = ("Means", "Callers notice", "Look at", "Do", "Ignore when")


def alerts(scenario: str) -> Iterator[dict[str, Any]]:
    """A scenario's alerts."""
    for item in Release(scenario).of("PrometheusRule"):
        for group in item["spec"]["groups"]:
            yield from (rule for rule in group["rules"] if "alert" in rule)


def sections() -> dict[str, str]:
    """What the page says under the name of each alert."""
    found = re.split(r"^### (\w+)$", TEXT, flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


def test_every_alert_has_its_section_and_every_section_its_alert() -> None:
    """Of all scenarios together; a section says what it is for and when it is for nothing."""
    names = {rule["alert"] for scenario in SCENARIOS for rule in alerts(scenario)}

    assert set(sections()) == names
    for name, text in sections().items():
        assert re.findall(r"^- \*\*([^*]+):\*\*", text, re.MULTILINE) == list(PARTS), name


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_an_alert_leads_to_its_section(scenario: str) -> None:
    """To this page, or to where the values say that it is; and it says what it is about and how urgent it is."""
    page = "https://wiki.example/fivefold/runbooks" if scenario == "monitoring" else PAGE

    for rule in alerts(scenario):
        notes = rule["annotations"]
        assert notes["runbook_url"] == f"{page}#{rule['alert'].lower()}"
        assert notes["summary"]
        assert notes["description"]
        assert rule["labels"]["severity"] in {"critical", "warning"}


@pytest.mark.parametrize("words", sorted(set(re.findall(r"`fivefold ([a-z][a-z -]*[a-z])", TEXT))))
def test_the_commands_of_the_page_exist(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each with its help."""
    with pytest.raises(SystemExit) as end:
        _parser().parse_args([*words.removesuffix(" --help").split(" --")[0].split(), "--help"])

    assert end.value.code == 0
    assert "usage: fivefold" in capsys.readouterr().out
