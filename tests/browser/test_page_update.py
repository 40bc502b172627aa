"""One wrong byte while a page or its model is replaced: refused and told; the one before goes on until it is whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.contract.contract import Contract
from fivefold.edge.export import browser as exporting
from fivefold.edge.export.browser_page import asset_files
from fivefold.exports.web_runtime import WebRuntime
from tests.support import exported_pages
from tests.support.exported_pages import settled
from tests.support.static_site import StaticSite, static_site

COMMENT = b"\n// another build\n"
CUSTOM_SECTION = b"\x00\x08\x07another"
"""A section of a WebAssembly module that every engine passes over (WebAssembly Core, 5.5.3)."""
DOC_STRING = b"\x32\x07another"
"""ModelProto.doc_string of onnx.proto: other bytes, the same model."""

pytestmark = pytest.mark.full


@pytest.fixture
def site(tmp_path: Path, page: Page, bundle: Bundle, runtime: WebRuntime) -> Iterator[StaticSite]:
    """A page that is open, behind its server."""
    with static_site(exported_pages.export(bundle, tmp_path / "site", runtime)) as out:
        page.goto(out.url)
        settled(page)
        yield out


def answers(page: Page, version: str) -> None:
    """The page predicts, with this version of the model."""
    page.get_by_role("button", name="Next golden row").click()
    expect(page.locator("#answer")).to_contain_text("as recorded in golden row")
    expect(page.locator("#facts")).to_contain_text(f"{version}, default")


def remade(bundle: Bundle, directory: Path) -> Bundle:
    """Version 2, of which no file is what it was: contract and model in words alone, so that it answers the same."""
    lines = [json.loads(line) for line in bundle.read("golden.jsonl").splitlines()[:-1]]
    contract = json.loads(bundle.read("contract.json"))
    return Bundle.write(
        directory,
        contract=Contract.from_json(contract | {"description": "the same again"}),
        model={"model.onnx": bundle.read("model.onnx") + DOC_STRING},
        runtime="onnx",
        golden=([line["in"] for line in lines], [line["out"] for line in lines]),
        tolerance=bundle.manifest.tolerance,
        binding=bundle.manifest.binding,
        name=bundle.name,
        version="2",
    )


def publish(root: Path, files: dict[str, bytes]) -> None:
    """Put the files of another export over those that are there; without compressed ones beside them."""
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
        for end in (".gz", ".br"):
            (root / f"{name}{end}").unlink(missing_ok=True)


def test_a_wrong_byte_of_a_newer_model(
    page: Page, site: StaticSite, bundle: Bundle, runtime: WebRuntime, tmp_path: Path
) -> None:
    """In each of its files, one after the other."""
    newer = remade(bundle, tmp_path / "second")
    publish(site.root, exporting.site_files(newer, runtime, exporting.BrowserOptions()))
    for name in ("bundle.json", "contract.json", "golden.jsonl", "model.onnx"):
        site.changed = f"{newer.digest}/{name}"
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        expect(page.locator("#refused")).to_contain_text(f"Version 2 was not taken: {name}", timeout=30_000)
        answers(page, "1")
    page.reload()
    settled(page)
    answers(page, "1")
    site.changed = None
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.get_by_role("button", name="Show it").click(timeout=30_000)
    expect(page.locator("#facts")).to_contain_text("2, default", timeout=60_000)
    settled(page)
    answers(page, "2")


def test_a_wrong_byte_of_a_newer_page(
    page: Page,
    site: StaticSite,
    bundle: Bundle,
    runtime: WebRuntime,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a script, the WebAssembly or the markup: nothing of it is kept, and the older page works, offline too."""
    scripts = {name: data + COMMENT if name.endswith(".js") else data for name, data in asset_files().items()}
    monkeypatch.setattr(exporting, "asset_files", lambda: scripts)
    other = WebRuntime(runtime.script + COMMENT, runtime.wasm + CUSTOM_SECTION, tmp_path)
    files = exporting.site_files(bundle, other, exporting.BrowserOptions())
    before = page.evaluate("caches.keys()")
    publish(site.root, files)
    ends = ("page-", "worker-", "ort.wasm", "ort-wasm", "index.html")
    for name in (next(name for name in files if name.removeprefix("assets/").startswith(end)) for end in ends):
        site.changed = name
        page.reload()
        settled(page)
        expect(page.locator("#refused-page")).to_contain_text("was not kept", timeout=30_000)
        answers(page, "1")
        assert page.evaluate("caches.keys()") == before
    site.stop()
    page.reload()
    settled(page)
    answers(page, "1")
    site.changed = None
    site.start()
    page.reload()
    settled(page)
    page.locator("#newer-page").get_by_role("button", name="Show it").click(timeout=30_000)
    named = next(name for name in files if name.startswith("assets/page-") and name.endswith(".js"))
    expect(page.locator(f'script[src="{named}"]')).to_have_count(1, timeout=60_000)
    settled(page)
    answers(page, "1")
    expect(page.locator("#refused-page")).to_have_count(0)
