"""Models, versions and the contract as a table."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from fivefold.core.fields.field import Field
from tests.browser.conftest import Open
from tests.support.browser_server import Served


def told(field: Field, output: bool) -> dict[str, str]:
    """What the field's row says, but for what is allowed."""
    given = {"zone": "default 1", "note": 'default ""', "insured": "default false"}.get(field.name, "required")
    return {
        "Name": field.name + (f" also {', '.join(field.aliases)}" if field.aliases else ""),
        "Type": field.dtype + (f"[{', '.join(map(str, field.shape))}]" if field.shape else ""),
        "Unit": field.unit or "",
        **({} if output else {"Given": given}),
        "Meaning": field.description or "",
    }


def test_models_and_versions_are_chosen_by_link(visit: Open) -> None:
    """The address names what is open, so that it can be kept, and the browser's back button goes back."""
    opened = visit()
    models = opened.page.get_by_role("navigation", name="Models")
    parcels = models.get_by_role("listitem").filter(has=opened.page.get_by_text("parcels", exact=True))
    expect(models.get_by_role("link")).to_have_text(["version 1default", "version 1", "version 2default"])
    parcels.get_by_role("link", name="version 2").click()

    expect(opened.page.get_by_role("heading", level=1)).to_have_text("parcels")
    expect(opened.page.get_by_role("heading", level=1)).to_be_focused()
    expect(models.locator("[aria-current]")).to_have_text("version 2default")
    expect(opened.page).to_have_title("parcels · Fivefold")
    expect(opened.field("insured")).to_be_visible()
    expect(opened.answer).to_contain_text("on time")
    assert opened.page.url.endswith("#/parcels/2")

    parcels.get_by_role("link", name="version 1").click()
    expect(opened.contract).not_to_contain_text("insured")
    expect(opened.field("insured")).to_have_count(0)
    opened.page.go_back()
    expect(opened.field("insured")).to_be_visible()
    opened.settled()


def test_the_reference_leads_to_where_a_model_is_tried(visit: Open, server: Served) -> None:
    """The first thing in it is how to predict with the first model; the last of the links tries a version."""
    opened = visit()
    opened.page.goto(f"{server.url}docs")
    first = opened.page.locator("details").first
    expect(first).to_contain_text("/v1/models/breast-cancer:predict")
    expect(first).to_have_attribute("open", "")
    opened.page.get_by_text("The same by version").last.click()
    opened.page.get_by_text("/v1/models/parcels/versions/1:predict").click()
    opened.page.get_by_role("link", name="try it").and_(opened.page.locator("[href='./#/parcels/1']")).first.click()

    expect(opened.page.get_by_role("heading", level=1)).to_have_text("parcels")
    assert opened.page.url.endswith("#/parcels/1")
    opened.settled()


@pytest.mark.full
@pytest.mark.parametrize(("model", "version", "shown"), [("parcels", "99", "2"), ("nobody", "1", "1")])
def test_what_is_not_served_opens_a_default(visit: Open, model: str, version: str, shown: str) -> None:
    """An old address opens the model's default version, or the first model."""
    opened = visit(model, version)
    name = model if model == "parcels" else "breast-cancer"

    expect(opened.page.get_by_role("heading", level=1)).to_have_text(name)
    expect(opened.page.locator("#facts dd").first).to_have_text(f"{shown}, default")


@pytest.mark.parametrize("at", [0, 1, 2])
def test_the_contract_is_a_table(visit: Open, server: Served, at: int) -> None:
    """Every field of both sides: name, type, unit, whether it must be given, description."""
    bundle = server.bundles[at]
    opened = visit(bundle.name, bundle.version)

    for title, fields in (("Inputs", bundle.contract.inputs), ("Outputs", bundle.contract.outputs)):
        rows = (
            opened.contract.get_by_role("table", name=title)
            .locator("tbody tr")
            .evaluate_all(
                "rows => rows.map(row => [...row.cells].map(cell => [cell.dataset.label ?? 'Name', cell.textContent]))"
            )
        )
        shown = [{label: text for label, text in row if label != "Allowed"} for row in rows]
        assert shown == [told(field, title == "Outputs") for field in fields]


def test_the_table_says_what_is_allowed(visit: Open) -> None:
    """Ranges, choices, patterns, lengths, nulls and labels, in words."""
    opened = visit("parcels")
    column = opened.contract.locator("tbody td[data-label=Allowed]")

    assert column.all_text_contents() == [
        *("0 – 70", "at least 0", "standard | express | overnight", "matches [0-9]{5}", "1 | 2 | 3", ""),
        *("-60 – 60, may be null", "at most 80 characters", "", "at most 64 bytes"),
        *("on time | late | lost", "0 – 1, of on time, late, lost", "0 – 240", "", "", ""),
    ]


def test_markup_in_a_contract_is_text(visit: Open) -> None:
    """What a contract says is shown letter by letter."""
    opened = visit("parcels", "2")

    expect(opened.contract).to_contain_text("for its <b>whole</b> value")
    assert opened.contract.locator("b").count() == 0


def test_the_files_behind_it_can_be_had(visit: Open, server: Served) -> None:
    """The contract, the golden rows and the manifest, as the bundle has them."""
    opened = visit("parcels", "2")
    links = opened.contract.get_by_role("link")

    assert links.all_inner_texts() == ["contract.json", "golden.jsonl", "bundle.json"]
    for link, name in zip(links.all(), links.all_inner_texts(), strict=True):
        answer = opened.page.request.get(link.get_attribute("href") or "")
        assert answer.body() == server.bundles[2].read(name)
