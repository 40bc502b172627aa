"""Exported pages of the demo model, its next version, and one that answers otherwise than it was recorded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from fivefold.core.bundle.bundle import Bundle
from fivefold.edge.export.browser import BrowserOptions, write
from fivefold.exports.web_runtime import WebRuntime

Records = list[dict[str, Any]]


def another(
    bundle: Bundle, directory: Path, version: str, answers: Callable[[Records], Records] = lambda rows: rows
) -> Bundle:
    """The same model as another version with a golden row less, and with other answers where a test wants them."""
    lines = [json.loads(line) for line in bundle.read("golden.jsonl").splitlines()[:-1]]
    manifest = bundle.manifest
    return Bundle.write(
        directory,
        contract=bundle.contract,
        model={"model.onnx": bundle.read("model.onnx")},
        runtime="onnx",
        golden=([line["in"] for line in lines], answers([line["out"] for line in lines])),
        tolerance=manifest.tolerance,
        binding=manifest.binding,
        name=manifest.name,
        version=version,
    )


def flipped(rows: Records) -> Records:
    """Golden answers that the model does not give: the probabilities the other way round."""
    return [{**row, "probability": row["probability"][::-1]} for row in rows]


def export(bundle: Bundle, directory: Path, runtime: WebRuntime, **options: Any) -> Path:
    """Export a page; the directory is where an older one may stand."""
    write(bundle, directory, runtime, BrowserOptions(**options))
    return directory


def settled(page: Page) -> None:
    """Wait for the first answer."""
    expect(page.locator("#answer:not([aria-busy]) > *").first).to_be_visible(timeout=60_000)


def look(page: Page) -> None:
    """Have the page look for a newer model now, as it does whenever somebody comes back to it."""
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
