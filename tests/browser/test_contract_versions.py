"""A model that answers several versions of its contract: one is chosen, and all that the page does is of that one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from fivefold.core.bundle.bundle import Bundle
from tests.browser.conftest import Open
from tests.browser.test_code import COPIED, LANGUAGES, copied
from tests.support.browser_server import Served, served
from tests.support.opened import Opened
from tests.support.versioned_bundle import triage_bundle


@pytest.fixture(scope="module")
def triage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The model of 2.0.0, which answers 1.0.0 by default, and 3.0.0."""
    bundle: Bundle = triage_bundle(tmp_path_factory.mktemp("triage") / "triage")
    with served([bundle]) as out:
        yield out


def choice(opened: Opened) -> Locator:
    """The list of versions."""
    return opened.page.get_by_label("Contract version")


def names(opened: Opened) -> list[str]:
    """The fields of the form."""
    return opened.fields.locator("#fields label").all_inner_texts()


def sent(opened: Opened) -> tuple[str | None, Any]:
    """The version that the last request named, and its record."""
    request = [each for each in opened.requests if each.method == "POST"][-1]
    return request.headers.get("x-contract-version"), json.loads(request.post_data or "")["instances"][0]


def test_the_default_version_is_shown_first(visit: Open, triage: Served) -> None:
    """What callers get who name none, and it is marked as that; it has no golden row, and ends some day."""
    opened = visit("triage", url=triage.url)

    expect(choice(opened)).to_have_value("1.0.0")
    assert choice(opened).locator("option").all_inner_texts() == ["1.0.0, default", "2.0.0", "3.0.0"]
    assert names(opened) == ["mass"]
    assert sent(opened) == ("1.0.0", {"mass": 0})
    expect(opened.page.locator("#row")).to_have_text("An example")
    expect(opened.page.locator("#facts")).to_contain_text("of 2.0.0 alone")
    expect(opened.page.locator("#remark")).to_have_text(
        "Version 1.0.0 of the contract is deprecated since 1 July 2026 and may be gone from 31 January 2027."
    )
    expect(opened.contract.get_by_role("table", name="Outputs").locator("tbody th")).to_have_text(["level"])


def test_another_version_has_its_own_form_and_answer(visit: Open, triage: Served) -> None:
    """Golden rows are of the model's own; the address names the choice, and going back takes it back."""
    opened = visit("triage", url=triage.url)
    choice(opened).select_option("2.0.0")

    expect(opened.field("dose")).to_be_visible()
    expect(choice(opened)).to_be_focused()
    expect(choice(opened)).to_have_value("2.0.0")
    expect(opened.page.locator("#row")).to_have_text("Golden row 1 of 3")
    expect(opened.answer).to_contain_text("as recorded in golden row 1")
    expect(opened.page.locator("#remark")).to_be_hidden()
    assert opened.page.url.endswith("#/triage/1/2.0.0")
    assert sent(opened) == ("2.0.0", {"weight": 0, "dose": 0})
    choice(opened).select_option("3.0.0")
    expect(opened.page.locator("#remark")).to_have_text(
        "The model does not take note: this version may send it, and it is left out."
    )
    opened.page.go_back()
    expect(choice(opened)).to_have_value("2.0.0")
    choice(opened).select_option("1.0.0")
    expect(opened.field("mass")).to_be_visible()
    assert opened.page.url.endswith("#/triage/1")
    opened.settled()


@pytest.mark.parametrize(("asked", "shown"), [("3.0.0", "3.0.0"), ("9.9.9", "1.0.0")])
def test_the_address_opens_a_version(visit: Open, triage: Served, asked: str, shown: str) -> None:
    """One that is not answered opens the default."""
    opened = visit("triage", f"1/{asked}", url=triage.url)

    expect(choice(opened)).to_have_value(shown)
    assert sent(opened)[0] == shown


def test_a_refusal_stands_at_the_versions_own_field(visit: Open, triage: Served) -> None:
    """-0.5 is no mass, although 2.0.0 takes it as a weight."""
    opened = visit("triage", url=triage.url)
    opened.field("mass").fill("-0.5")
    opened.predict.click()

    expect(opened.wrong("mass")).to_contain_text("at least 0")


@pytest.mark.full
@pytest.mark.parametrize("language", COPIED)
@pytest.mark.parametrize(("version", "answer"), [("1.0.0", {"level": "high"}), ("2.0.0", {"level": "low", "value": 0})])
def test_code_names_the_version(
    visit: Open, triage: Served, language: str, version: str, answer: dict[str, Any]
) -> None:
    """What is copied runs, and has that version's fields and answer: 1.0.0 leaves the dose to its default."""
    permissions = ["clipboard-read", "clipboard-write"]
    opened = visit("triage", f"1/{version}", url=triage.url, permissions=permissions)
    text = copied(opened, language)

    assert f'contract="{version}"' in text if language == "Python" else "x-contract-version" in text
    assert version in text
    if language in LANGUAGES:
        assert LANGUAGES[language](text) == answer


def test_a_model_with_one_version_has_no_choice(visit: Open) -> None:
    """Nor a word of versions in what it sends and shows."""
    opened = visit("parcels")

    expect(choice(opened)).to_have_count(0)
    expect(opened.page.locator("#facts")).to_contain_text("parcels@1.0.0")
    assert sent(opened)[0] is None
    expect(opened.code).not_to_contain_text("contract")
    expect(opened.page.locator("#remark")).to_be_hidden()
