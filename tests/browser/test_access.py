"""For everybody: with the keyboard alone, on a phone, in the dark, readable, and named for who cannot see it."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open
from tests.support.opened import Opened

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}

SCHEMES: tuple[Literal["dark"], Literal["light"]] = ("dark", "light")

FOCUSABLE = "a[href], button, input, select, textarea, summary, [tabindex='0']"

CONTRASTS = """() => {
  const channel = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const luminance = ([r, g, b]) => 0.2126 * channel(r / 255) + 0.7152 * channel(g / 255) + 0.0722 * channel(b / 255);
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const colour = numbers(getComputedStyle(node).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const out = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    const style = getComputedStyle(node);
    if ((!own && !node.value) || !node.checkVisibility({ visibilityProperty: true }) || node.disabled) continue;
    const [a, b] = [luminance(numbers(style.color)), luminance(ground(node))].sort((x, y) => y - x);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < (large ? 3 : 4.5)) out.push(`${node.tagName}.${node.className} ${contrast.toFixed(2)}`);
  }
  return out;
}"""

SMALL_TARGETS = """selector => [...document.querySelectorAll(selector)].filter((node) => {
  const { width, height } = node.getBoundingClientRect();
  // A tick box counts with the row it stands in; the file's chooser is as large as the button around it.
  const least = node.type === "checkbox" ? 24 : 40;
  const inline = node.closest(".faults, .notice, noscript");
  return node.checkVisibility() && !inline && width > 1 && (width < least || height < least);
}).map((node) => `${node.tagName}#${node.id} ${node.textContent.slice(0, 20)}`)"""


def spoil(opened: Opened) -> None:
    """Fields with errors, of several kinds."""
    opened.field("weight").fill("99")
    opened.field("postcode").fill("a long word that is no postcode at all")
    opened.field("corners").fill("[1]")
    opened.ask()


@pytest.mark.full
@pytest.mark.parametrize("model", ["breast-cancer", "parcels"])
def test_a_phone_scrolls_one_way_only(visit: Open, model: str) -> None:
    """Nothing is wider than the screen: not the answer, not the errors, not the table, in no language of the code."""
    opened = visit(model, **PHONE)

    def wide() -> list[int]:
        out = []
        for width in (390, 320):
            opened.page.set_viewport_size({"width": width, "height": 640})
            out.append(opened.page.evaluate("document.documentElement.scrollWidth - innerWidth"))
        return out

    for tab in opened.code.get_by_role("tab").all():
        tab.click()
        assert wide() == [0, 0]
    if model == "parcels":
        spoil(opened)
        assert wide() == [0, 0]


@pytest.mark.full
@pytest.mark.parametrize("model", ["breast-cancer", "parcels"])
def test_a_finger_hits_what_it_means(visit: Open, model: str) -> None:
    """Every control is at least 40 pixels high and wide, and no field makes the phone zoom in."""
    opened = visit(model, **PHONE)
    opened.field("weight" if model == "parcels" else "mean_area").fill("1")
    typed = opened.fields.locator("input:not([type=file]), textarea")

    assert opened.page.evaluate(SMALL_TARGETS, "a[href]:not(.skip), button, input, select, textarea, summary") == []
    assert min(typed.evaluate_all("all => all.map(each => parseFloat(getComputedStyle(each).fontSize))")) >= 16


def test_on_a_phone_the_form_stands_first(visit: Open) -> None:
    """The answer's headline stands beside the button, which never leaves the screen while the form is there."""
    opened = visit(**PHONE)
    answer, form = opened.answer.bounding_box(), opened.fields.bounding_box()
    opened.field("mean_area").scroll_into_view_if_needed()

    assert answer is not None
    assert form is not None
    assert form["y"] < answer["y"]
    expect(opened.predict).to_be_in_viewport()
    expect(opened.page.locator("#brief")).to_be_in_viewport()
    expect(opened.page.locator("#brief")).to_contain_text("benign")


@pytest.mark.full
@pytest.mark.parametrize("size", [{}, PHONE], ids=["desk", "phone"])
def test_every_text_stands_out_from_its_ground(visit: Open, size: dict[str, Any]) -> None:
    """WCAG AA in both colour schemes, with an answer and with errors; the scheme is the reader's."""
    opened = visit("parcels", color_scheme="dark", **size)
    grounds = []
    for scheme in SCHEMES:
        opened.page.emulate_media(color_scheme=scheme)
        grounds.append(opened.answer.evaluate("node => getComputedStyle(node).backgroundColor"))
        assert opened.page.evaluate(CONTRASTS) == []
    spoil(opened)
    for scheme in SCHEMES:
        opened.page.emulate_media(color_scheme=scheme)
        assert opened.page.evaluate(CONTRASTS) == []

    assert grounds == ["rgb(21, 24, 37)", "rgb(255, 255, 255)"]


def test_the_keyboard_is_enough(visit: Open) -> None:
    """From the address bar to an answer: skip to the form, change a field, send, see the error, mend it."""
    opened = visit()
    keyboard = opened.page.keyboard
    opened.page.evaluate("document.activeElement.blur()")
    keyboard.press("Tab")
    expect(opened.page.get_by_role("link", name="Skip to the form")).to_be_focused()
    expect(opened.page.get_by_role("link", name="Skip to the form")).to_be_in_viewport()
    keyboard.press("Enter")
    keyboard.press("Tab")
    expect(opened.page.get_by_label("Filter the fields")).to_be_focused()
    keyboard.press("Tab")
    expect(opened.field("mean_radius")).to_be_focused()
    keyboard.press("Control+a")
    keyboard.type("61.5")
    keyboard.press("Enter")
    expect(opened.answer).to_contain_text("1 field needs another value")
    expect(opened.field("mean_radius")).to_be_focused()
    keyboard.press("Control+a")
    keyboard.type("13.9")
    keyboard.press("Control+Enter")

    expect(opened.answer.locator(".lead .figure")).to_have_text("benign")


@pytest.mark.full
def test_tab_reaches_everything_in_the_order_it_is_read(visit: Open) -> None:
    """Every control once, in the document's order, each time with a visible mark."""
    opened = visit("parcels")
    opened.page.evaluate("document.activeElement.blur()")
    everything = opened.page.evaluate(
        """selector => {
          const seen = (node) => node.checkVisibility() && node.tabIndex >= 0 && !node.disabled;
          const all = [...document.querySelectorAll(selector)].filter(seen);
          all.forEach((node, index) => (node.dataset.stop = index));
          return all.length;
        }""",
        FOCUSABLE,
    )
    reached = []
    for _ in range(everything):
        opened.page.keyboard.press("Tab")
        reached.append(
            opened.page.evaluate(
                """() => {
                  const node = document.activeElement;
                  const around = node.closest(".file") ?? node;
                  return [Number(node.dataset.stop), getComputedStyle(around).outlineStyle];
                }"""
            )
        )

    assert reached == [[index, "solid"] for index in range(everything)]


def test_the_languages_are_tabs_for_the_arrow_keys(visit: Open) -> None:
    """One stop for the Tab key; the arrows go round."""
    opened = visit()
    tabs = opened.code.get_by_role("tab")
    tabs.first.focus()
    opened.page.keyboard.press("ArrowLeft")

    expect(tabs.last).to_be_focused()
    expect(opened.code.get_by_role("tab", selected=True)).to_have_text("grpcurl")
    expect(opened.code.get_by_role("tabpanel", name="grpcurl")).to_contain_text("ModelInfer")
    opened.page.keyboard.press("ArrowRight")
    expect(opened.code.get_by_role("tabpanel", name="curl", exact=True)).to_contain_text("curl -sS")


def test_everything_has_a_name(visit: Open) -> None:
    """What can be operated says what it is to who does not see it, and each id is there once."""
    opened = visit("parcels")
    nameless = opened.page.evaluate(
        """selector => [...document.querySelectorAll(selector)].filter((node) => node.checkVisibility() && !(
          node.ariaLabel || node.textContent.trim() || node.labels?.length || node.getAttribute("aria-labelledby")
        )).map((node) => node.outerHTML)""",
        FOCUSABLE,
    )
    ids = opened.page.evaluate("[...document.querySelectorAll('[id]')].map((node) => node.id)")

    assert nameless == []
    assert len(ids) == len(set(ids))
    for name in ("Answer", "Latency", "Contract"):
        expect(opened.page.get_by_role("region", name=name)).to_be_visible()
