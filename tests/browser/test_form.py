"""The form: filled with a golden row, sent as it stands, and told at the field what is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

from fivefold.core.bundle.bundle import Bundle
from tests.browser.conftest import Open
from tests.support import browser_bundles
from tests.support.browser_server import Served
from tests.support.opened import Opened


def test_a_golden_row_gives_the_golden_prediction(visit: Open, server: Served) -> None:
    """The label as a word, each probability as a number and a bar, and the page says that it agrees with the record."""
    opened = visit()
    for row in (0, 1, 113):
        if row:
            opened.page.get_by_role("button", name="Next golden row" if row == 1 else "Previous golden row").click()
        if row == 113:
            opened.page.get_by_role("button", name="Previous golden row").click()
        shows(opened, server.bundles[0], row)


def shows(opened: Opened, bundle: Bundle, row: int) -> None:
    """That row in the form, and its recorded prediction in the answer."""
    given, answers = (columns.slice(row, row + 1).to_records()[0] for columns in bundle.golden())
    probability = dict(zip(("benign", "malignant"), answers["probability"], strict=True))
    bars = opened.answer.get_by_role("listitem")

    for name, value in given.items():
        assert float(opened.field(name).input_value()) == value
    expect(opened.answer.get_by_text(f"as recorded in golden row {row + 1}")).to_be_visible()
    expect(opened.answer.locator(".lead .figure")).to_have_text(answers["label"])
    expect(bars.and_(opened.page.locator(".marked"))).to_contain_text(answers["label"])
    for bar, (label, share) in zip(bars.all(), probability.items(), strict=True):
        shown = float(bar.locator(".much").get_attribute("title") or "")
        width = float(bar.locator("i").evaluate("node => node.getBoundingClientRect().width"))
        whole = float(bar.locator(".track").evaluate("node => node.getBoundingClientRect().width"))
        expect(bar).to_contain_text(label)
        assert shown == pytest.approx(share, abs=1e-5)
        assert width / whole == pytest.approx(share, abs=0.01)


def test_every_kind_of_field_is_sent_exactly(visit: Open) -> None:
    """Integers beyond 2^53, text with quotes and lines, a null, an array, bytes, and what is left out."""
    opened = visit("parcels")
    opened.page.get_by_role("button", name="Next golden row").click()
    opened.settled()

    assert opened.sent() == [{"instances": [given]} for given, _ in browser_bundles.GOLDEN]
    expect(opened.answer.get_by_text("as recorded in golden row 2")).to_be_visible()
    expect(opened.field("zone")).to_be_disabled()
    expect(opened.field("note")).to_be_disabled()


def test_what_a_person_types_is_what_is_sent(visit: Open, tmp_path: Path) -> None:
    """Numbers as people write them, a choice, a tick, a null, a default, a matrix, and a file."""
    opened = visit("parcels", "2")
    stamp = tmp_path / "stamp.bin"
    stamp.write_bytes(b"\x00\xff\x10")
    opened.field("weight").fill(" +07.5 ")
    opened.field("tracking").fill("9223372036854775807")
    opened.field("service").select_option("overnight")
    opened.field("How zone is given").select_option("default 1")
    opened.field("fragile").uncheck()
    opened.field("How temperature is given").select_option("value")
    opened.field("temperature").fill("-.5")
    opened.field("note").fill("<b>&amp;</b>")
    opened.field("corners").fill("[1, 2, 3,\n 4, 5, 6]")
    opened.field("A file for stamp").set_input_files(stamp)
    expect(opened.field("stamp")).to_have_value("AP8Q")
    opened.ask()

    assert opened.sent()[-1] == {
        "instances": [
            {
                "weight": 7.5,
                "tracking": 2**63 - 1,
                "service": "overnight",
                "postcode": "01234",
                "fragile": False,
                "temperature": -0.5,
                "note": "<b>&amp;</b>",
                "corners": [1, 2, 3, 4, 5, 6],
                "stamp": "AP8Q",
            }
        ]
    }
    expect(opened.answer).to_contain_text("9223372036854775807")
    expect(opened.answer).to_contain_text("[[1,2,3],[4,5,6]]")


@pytest.mark.full
def test_a_value_out_of_range_is_told_at_its_field(visit: Open) -> None:
    """The field is marked, says what the server said, and has the focus; another value clears it."""
    opened = visit()
    radius = opened.field("mean_radius")
    radius.fill("61.5")
    opened.ask()

    expect(radius).to_be_focused()
    expect(radius).to_have_attribute("aria-invalid", "true")
    expect(opened.wrong("mean_radius")).to_contain_text("expected a number of at most 60 image unit, got 61.5")
    expect(opened.answer).to_contain_text("1 field needs another value")
    expect(opened.answer).to_contain_text("out_of_range")
    assert opened.page.locator("[aria-invalid]").count() == 1

    radius.fill("13.9")
    expect(radius).not_to_have_attribute("aria-invalid", "true")
    expect(opened.wrong("mean_radius")).to_be_hidden()
    opened.ask()
    expect(opened.answer.locator(".lead .figure")).to_have_text("benign")


def test_each_wrong_field_has_its_own_error(visit: Open) -> None:
    """In the form's order, the first one focused; the list beside the form leads to the others."""
    opened = visit("parcels")
    opened.field("weight").fill("heavy")
    opened.field("postcode").fill("12a")
    opened.field("corners").fill("[[1, 2, 3], [4, null, 6]]")
    opened.ask()

    expect(opened.field("weight")).to_be_focused()
    expect(opened.wrong("weight")).to_contain_text('got the string "heavy"')
    expect(opened.wrong("postcode")).to_contain_text('got "12a"')
    expect(opened.wrong("corners")).to_contain_text("[1][1]: ")
    expect(opened.answer.get_by_role("listitem")).to_have_text(
        [re.compile("^weight .*wrong_type"), re.compile("^postcode .*pattern_mismatch"), re.compile("^corners .*null")]
    )
    opened.answer.get_by_role("button", name="postcode").click()
    expect(opened.field("postcode")).to_be_focused()


def test_what_is_no_json_is_not_sent(visit: Open) -> None:
    """An array that does not parse is told at once."""
    opened = visit("parcels")
    opened.field("corners").fill("[[1, 2")
    opened.predict.click()

    expect(opened.field("corners")).to_be_focused()
    expect(opened.wrong("corners")).to_contain_text("expected JSON")
    assert len(opened.sent()) == 1


def test_an_empty_field_is_missing(visit: Open) -> None:
    """Nothing typed is nothing sent, and the server asks for it."""
    opened = visit("parcels")
    opened.field("tracking").fill("")
    opened.ask()

    assert "tracking" not in opened.sent()[-1]["instances"][0]
    expect(opened.field("tracking")).to_have_attribute("aria-invalid", "true")
    expect(opened.answer).to_contain_text("missing_field")


def test_the_filter_finds_fields_and_never_hides_an_error(visit: Open) -> None:
    """Words are sought in names and descriptions; a refused field comes back into sight."""
    opened = visit()
    opened.field("mean_area").fill("-1")
    opened.page.get_by_label("Filter the fields").fill("smooth worst")
    expect(opened.fields.locator(".field:visible")).to_have_count(1)
    expect(opened.page.get_by_text("1 of 30", exact=True)).to_be_visible()
    opened.ask()

    expect(opened.field("mean_area")).to_be_focused()
    expect(opened.fields.locator(".field:visible")).to_have_count(30)


def test_an_edited_row_says_so_and_can_be_reset(visit: Open) -> None:
    """The answer that stands there is named as the older one until the edited row is sent."""
    opened = visit()
    reset = opened.page.get_by_role("button", name="Reset")
    older = opened.page.get_by_text("to the request before your edits")
    expect(reset).to_be_hidden()
    opened.field("worst_radius").fill("30")
    expect(opened.page.locator("#row")).to_have_text("Golden row 1 of 114, edited")
    expect(older).to_be_visible()
    opened.ask()
    expect(older).to_be_hidden()
    expect(opened.answer.get_by_text("golden row")).to_have_count(0)
    reset.click()

    expect(opened.field("worst_radius")).to_have_value("15.14")
    expect(opened.answer.get_by_text("as recorded in golden row 1")).to_be_visible()
    expect(reset).to_be_hidden()


@pytest.mark.full
def test_twenty_requests_are_timed(visit: Open) -> None:
    """Each is a bar of the chart, beside the one that opened the page."""
    opened = visit()
    opened.page.get_by_role("button", name="Send 20").click()

    expect(opened.page.get_by_text("21 requests, sent to answered")).to_be_visible()
    expect(opened.page.locator("#latency rect")).to_have_count(21)


def test_the_median_of_an_even_number_lies_halfway(visit: Open) -> None:
    """Between the two in the middle; of an odd number it is the one in the middle."""
    opened = visit()
    medians = opened.page.evaluate(
        """async () => {
          const { Latency } = await import("./page/latency.js");
          const root = document.createElement("div");
          const latency = new Latency(root);
          return [10, 40, 20, 30].map((ms) => {
            latency.add(ms, true);
            return root.querySelectorAll("dd")[1].textContent;
          });
        }"""
    )

    assert medians == [f"{ms}\u00a0ms" for ms in ("10.0", "25.0", "20.0", "25.0")]


def test_what_a_value_may_be_stands_apart_from_what_it_means(visit: Open) -> None:
    """Two paragraphs, and both are read out with the field."""
    opened = visit("parcels")
    temperature = opened.field("temperature")
    named = (temperature.get_attribute("aria-describedby") or "").split()
    said = [opened.page.locator(f"#{each}").text_content() for each in named]

    assert said[:2] == ["-60 – 60 degree Celsius, may be null", "lowest on the way, where it was measured"]
    expect(opened.page.locator(f"#{named[0]}")).to_be_visible()


def test_an_older_answer_never_replaces_a_newer_one(visit: Open) -> None:
    """Whichever comes last over the network, what stands there belongs to the last request."""
    opened = visit()
    held: list[Route] = []
    opened.page.route("**/*:predict", lambda route: held.append(route) if not held else route.continue_())
    with opened.page.expect_request("**/*:predict"):
        opened.predict.click()
    opened.field("worst_radius").fill("1e9")
    opened.ask()
    with opened.page.expect_response("**/*:predict") as late:
        held[0].continue_()
    late.value.finished()
    expect(opened.page.locator("#latency rect")).to_have_count(3)

    expect(opened.answer).to_contain_text("1 field needs another value")
