"""The server's page that runs the model too: both answers side by side, and what keeps a model out of the page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from fivefold.core.bundle.bundle import Bundle
from fivefold.guard import keys
from tests.browser.conftest import RUNTIME
from tests.support.browser_server import Served, served
from tests.support.opened import Opened

PHONE = {"width": 360, "height": 800}


@pytest.fixture(scope="module")
def running(server: Served) -> Iterator[Served]:
    """The models of `server` again, behind a page that may run them."""
    with served(server.bundles, serve_bundles=False, page_runtime=str(RUNTIME)) as out:
        yield out


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A dark page on a phone, in a profile of its own."""
    context = browser.new_context(viewport=PHONE, color_scheme="dark")
    yield context.new_page()
    context.close()


def agreement(page: Page, text: str) -> None:
    """Wait for the verdict on both answers."""
    expect(page.locator("#agreement")).to_have_text(text, timeout=60_000)


def changed_answer(factor: float, label: str | None = None) -> Any:
    """A route that gives the server's own answer with other numbers, as a server of another model would."""

    def answer(route: Route) -> None:
        response = route.fetch()
        body = response.json()
        (prediction,) = body["predictions"]
        prediction["probability"] = [each * factor for each in prediction["probability"]]
        prediction["label"] = label or prediction["label"]
        route.fulfill(response=response, body=json.dumps(body))

    return answer


def test_the_page_answers_beside_the_server(page: Page, running: Served) -> None:
    """Equal to the bit, refused alike, within a phone's width; a Python model says why it stays on the server."""
    opened = Opened(page)
    page.goto(running.url)
    agreement(page, "equal")
    opened.field("mean_radius").fill("61.5")
    opened.predict.click()
    agreement(page, "refused alike")
    page.get_by_role("button", name="Reset").click()
    agreement(page, "equal")
    table = page.locator("#here table")
    values = table.locator("tbody:not(:first-child) td").all_inner_texts()

    assert values[0] == values[1]
    assert values[2] == "equal"
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    assert all("/page/runtime/" in each.url for each in opened.requests if each.url.endswith((".wasm", ".mjs")))
    page.get_by_role("link", name="version 1").last.click()
    expect(page.locator("#here-body")).to_contain_text("This is a python model. It answers on the server alone")
    expect(page.locator("#agreement")).to_be_hidden()
    assert opened.complaints == []


@pytest.mark.full
def test_a_difference_is_named(page: Page, running: Served) -> None:
    """A small one by its size, one beyond the tolerance and another label by their outputs."""
    for route, text in (
        (changed_answer(1 + 1e-7), "largest difference 1.0e-7"),
        (changed_answer(0.9), "differs in probability · benign, probability · malignant"),
        (changed_answer(1.0, "malignant"), "differs in label"),
    ):
        page.route("**/*:predict", route)
        page.goto("about:blank")
        page.goto(running.url)
        agreement(page, text)
        page.unroute("**/*:predict")
        if text.startswith("differs"):
            expect(page.locator("#here .far")).not_to_have_count(0)


@pytest.mark.full
@pytest.mark.parametrize("end", ["/bundle/model.onnx", "/bundle/contract.json", ".wasm"])
def test_a_changed_byte_is_refused_in_the_page(page: Page, running: Served, end: str) -> None:
    """The file is named, the server's answer stands, and the whole file is taken by the next try."""

    def change(route: Route) -> None:
        body = route.fetch().body()
        route.fulfill(body=body[:-1] + bytes([body[-1] ^ 1]), content_type="application/octet-stream")

    page.context.route(f"**/*{end}", change)
    page.goto(running.url)
    here = page.locator("#here-body")
    expect(here).to_contain_text("The model does not run in this page", timeout=60_000)
    expect(here).to_contain_text("expected sha256")
    expect(here).to_contain_text(end.rpartition("/")[2])
    assert here.evaluate("one => [...one.children].every((each) => each.scrollWidth <= each.clientWidth + 1)")
    expect(page.locator("#answer")).to_contain_text("as recorded in golden row 1")
    page.context.unroute(f"**/*{end}")
    here.get_by_role("button", name="Try again").click()
    agreement(page, "equal")


@pytest.mark.full
def test_the_models_files_need_the_models_key(page: Page, running: Served, tmp_path: Path) -> None:
    """A key that may ask and not read bundles gets no byte of the model, one that may runs it."""
    path = tmp_path / "keys.json"
    asks, reads = keys.make("asks", ["infer"]), keys.make("reads", ["infer", "bundles"])
    for _, entry in (asks, reads):
        keys.add(path, entry)
    with served(running.bundles, keys=str(path), serve_bundles=False, page_runtime=str(RUNTIME)) as out:
        for (key, _), may in ((asks, False), (reads, True)):
            opened = Opened(page)
            page.goto("about:blank")
            page.goto(out.url)
            page.get_by_role("textbox", name="API key").fill(key)
            page.get_by_role("button", name="Use this key").click()
            if may:
                agreement(page, "equal")
            else:
                expect(page.locator("#here-body")).to_contain_text("to keys with the scope bundles alone")
                expect(page.locator("#answer")).not_to_be_empty()
            files = [each for each in opened.requests if "/bundle/" in each.url]
            answers = {answer.status for each in files if (answer := each.response()) is not None}
            assert answers == ({200} if may else {403})
            assert not [each for each in opened.requests if "/runtime/" in each.url and "authorization" in each.headers]
            opened.leave()
            page.get_by_role("button", name="Sign out").click()


@pytest.mark.full
def test_a_server_without_the_runtime_says_so(page: Page, server: Served, tmp_path: Path) -> None:
    """The rest of the page is as ever."""
    with served(server.bundles, page_runtime=str(tmp_path)) as out:
        page.goto(out.url)
        expect(page.locator("#here-body")).to_contain_text("the server does not have onnxruntime-web 1.30.0")
        expect(page.locator("#answer")).to_contain_text("as recorded in golden row 1")


@pytest.mark.full
def test_a_large_bundle_is_loaded_when_somebody_asks(page: Page, running: Served) -> None:
    """What counts as large is made small for this; nothing but the manifest and the golden rows are fetched before."""

    def smaller(route: Route) -> None:
        response = route.fetch()
        route.fulfill(response=response, body=response.text().replace("AT_ONCE = 32e6", "AT_ONCE = 1e3"))

    opened = Opened(page)
    page.route("**/page-model.js", smaller)
    page.goto(running.url)
    button = page.get_by_role("button", name="Load it into this page")
    expect(button).to_be_visible()
    expect(page.locator("#answer")).to_contain_text("as recorded in golden row 1")
    assert not [each for each in opened.requests if each.url.endswith(("model.onnx", ".wasm"))]
    button.click()
    agreement(page, "equal")


@pytest.mark.full
def test_a_bundle_for_other_places_stays_on_the_server(page: Page, running: Served, tmp_path: Path) -> None:
    """Its manifest says where it runs, and the page says it after that."""
    demo = running.bundles[0]
    lines = [json.loads(line) for line in demo.read("golden.jsonl").splitlines()]
    kept = Bundle.write(
        tmp_path / "kept",
        contract=demo.contract,
        model={"model.onnx": demo.read("model.onnx")},
        runtime="onnx",
        golden=([line["in"] for line in lines], [line["out"] for line in lines]),
        tolerance=demo.manifest.tolerance,
        binding=demo.manifest.binding,
        targets=("server", "gateway"),
    )
    with served([kept], page_runtime=str(RUNTIME)) as out:
        page.goto(out.url)
        expect(page.locator("#here-body")).to_have_text("The bundle is for server, gateway alone.")
        expect(page.locator("#answer")).to_contain_text("as recorded in golden row 1")
