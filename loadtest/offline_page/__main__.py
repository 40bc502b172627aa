"""An exported page in Chromium: bytes of the first visit, and seconds from an offline reload to the first prediction.

    python -m loadtest.offline_page BUNDLE [--rounds 9] [--runtime DIR]

The bundle is exported, opened once, the server stopped, and the page reloaded. Needs playwright and Chromium. The
median and the slowest are printed, with the machine's load, which is in them.

Exit status: 0 both goals met (4 MB, 1.5 s), 1 one was missed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from playwright.sync_api import Page, sync_playwright
from tests.support.static_site import static_site

from fivefold.core.bundle.bundle import Bundle
from fivefold.edge.export.browser import BrowserOptions, write
from fivefold.exports.web_runtime import web_runtime

MEGABYTES: Final = 4.0
SECONDS: Final = 1.5
_PATIENCE = 120_000


def _answered(page: Page) -> None:
    page.wait_for_selector("#answer:not([aria-busy]) > *", timeout=_PATIENCE)


def main() -> int:
    """Measure and print; 0 where both goals are met."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.offline_page")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--runtime", type=Path)
    arguments = parser.parse_args()
    chromium = os.environ.get("FIVEFOLD_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "site"
        write(Bundle.open(arguments.bundle), root, web_runtime(arguments.runtime), BrowserOptions())
        with static_site(root) as site, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--disable-gpu"])
            page = browser.new_page()
            page.goto(site.url)
            _answered(page)
            sent = site.sent_bytes / 1e6
            site.stop()
            seconds = []
            for _ in range(arguments.rounds):
                begun = time.perf_counter()
                page.reload()
                _answered(page)
                seconds.append(time.perf_counter() - begun)
            browser.close()
    median = statistics.median(seconds)
    print(f"first visit: {sent:.2f} MB over the wire")
    print(f"offline reload to first prediction: median {median:.2f} s, slowest {max(seconds):.2f} s")
    print(f"load average of the last minute: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    return int(sent > MEGABYTES or median > SECONDS)


if __name__ == "__main__":
    sys.exit(main())
