"""WebAssembly in Node: the browser's scorer without a browser."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence

from fivefold.core.errors import RunFailed
from fivefold.parity.question_rows import Question
from fivefold.parity.row_answers import RowAnswer
from fivefold.parity.runtimes.asked_runtime import NotHere
from fivefold.parity.runtimes.web_files import SECONDS, WebRuntimeRows


class WasmNode(WebRuntimeRows):
    """One process of `node`."""

    def available(self) -> NotHere | None:
        if shutil.which("node") is None:
            return NotHere("there is no node on this machine", "install Node.js 18 or newer")
        return super().available()

    def ask(self, asked: Sequence[Question]) -> list[RowAnswer]:
        self.lay_out(asked)
        node = shutil.which("node") or "node"
        command = [node, str(self.scratch / "node.mjs")]
        try:
            done = subprocess.run(command, capture_output=True, timeout=SECONDS)  # noqa: S603  # a program of ours
        except subprocess.TimeoutExpired:
            raise RunFailed("worker_lost", f"node did not answer in {SECONDS:g} s") from None
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines() or [""]
            raise RunFailed("worker_lost", f"node ended with status {done.returncode}: {said[-1][:300]}")
        told = json.loads(done.stdout)
        if isinstance(told, dict):
            raise RunFailed("worker_lost", f"in node: {told['failed'][:300]}")
        return self.answers(told)
