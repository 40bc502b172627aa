"""WebAssembly in Chromium: the browser's scorer in a page, without a window; the page posts its answers back."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Sequence
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from fivefold.core.errors import RunFailed
from fivefold.parity.question_rows import Question
from fivefold.parity.row_answers import RowAnswer
from fivefold.parity.runtimes.asked_runtime import NotHere
from fivefold.parity.runtimes.web_files import SECONDS, WebRuntimeRows

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_LOOK_SECONDS = 0.25
MOST = 1 << 30


class ChromiumPage(WebRuntimeRows):
    """One headless browser with a profile of its own."""

    def available(self) -> NotHere | None:
        if _program() is None:
            return NotHere("there is no Chromium on this machine", "install chromium, or name it by CHROMIUM")
        return super().available()

    def ask(self, asked: Sequence[Question]) -> list[RowAnswer]:
        self.lay_out(asked)
        server = _PageServer(self.scratch)
        serving = threading.Thread(target=server.serve_forever, name="fivefold-parity-page", daemon=True)
        serving.start()
        try:
            told = self._told(server)
        finally:
            server.shutdown()
            serving.join()
            server.server_close()
        return self.answers(told)

    def _told(self, server: _PageServer) -> Any:
        command = [
            _program() or "chromium",
            "--headless=new",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            f"--user-data-dir={self.scratch / 'profile'}",
            # Its sandbox refuses to start as root, as in most containers; the one page is ours.
            *(["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),
            f"http://127.0.0.1:{server.server_port}/page.html",
        ]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603  # ditto
        try:
            waited = 0.0
            while not server.told.wait(_LOOK_SECONDS):
                waited += _LOOK_SECONDS
                if process.poll() is not None:
                    raise RunFailed(
                        "worker_lost", f"Chromium ended with status {process.returncode} before it answered"
                    )
                if waited >= SECONDS:
                    raise RunFailed("worker_lost", f"Chromium did not answer in {SECONDS:g} s")
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if server.failure:
            raise RunFailed("worker_lost", f"in the page: {server.failure[:300]}")
        return server.answers


class _PageServer(ThreadingHTTPServer):
    """Gives a directory's files on the loopback, and takes what the page posts."""

    daemon_threads = True

    def __init__(self, directory: Path) -> None:
        self.told = threading.Event()
        self.answers: Any = None
        self.failure = ""
        super().__init__(("127.0.0.1", 0), functools.partial(_PageFiles, directory=str(directory)))


class _PageFiles(SimpleHTTPRequestHandler):
    server: _PageServer
    extensions_map = SimpleHTTPRequestHandler.extensions_map | {".mjs": "text/javascript", ".js": "text/javascript"}

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""

    def do_POST(self) -> None:
        size = int(self.headers.get("content-length") or 0)
        if size > MOST or self.path not in ("/answers", "/failed"):
            self.send_error(400)
            return
        value = json.loads(self.rfile.read(size))
        self.send_response(204)
        self.end_headers()
        if self.path == "/failed":
            self.server.failure = str(value)
        else:
            self.server.answers = value
        self.server.told.set()


def _program() -> str | None:
    named = os.environ.get("CHROMIUM")
    return named or next(filter(None, map(shutil.which, NAMES)), None)
