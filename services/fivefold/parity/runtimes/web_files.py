"""WebAssembly: the browser's own scorer over ONNX Runtime Web, as the browser's export ships both.

Here the files are laid out that Node and a browser load; running them is left to `wasm_node` and `chromium_page`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fivefold.edge.export
from fivefold.core.errors import BundleInvalid, FivefoldError
from fivefold.edge.export.browser_support import refuse_unsupported
from fivefold.exports.web_runtime import DIGESTS, PACKAGE, SCRIPT, VERSION, WASM, cache_directory, web_runtime
from fivefold.parity.question_rows import Question
from fivefold.parity.row_answers import RowAnswer, RowRefused, RowUnreadable, of_predictions
from fivefold.parity.runtimes.asked_runtime import NotHere, Runtime

PROGRAMS = Path(__file__).parent / "web"
SITE = Path(fivefold.edge.export.__file__).parent / "site"

SECONDS = 600.0
"""How long all rows may take."""


class WebRuntimeRows(Runtime):
    """What Node and browsers share."""

    def available(self) -> NotHere | None:
        # Asking alone fetches nothing over a network.
        cache = cache_directory()
        try:
            refuse_unsupported(self.bundle)
            if not all((cache / name).is_file() for name in DIGESTS):
                help = "fivefold export --model BUNDLE --to browser DIR fetches it"
                return NotHere(f"{PACKAGE}@{VERSION} is not in this user's cache", help)
            self._runtime = web_runtime(cache)
        except BundleInvalid as error:
            return NotHere(str(error), error.help or "")
        except FivefoldError as error:
            return NotHere(error.message, error.help or "")
        return None

    def can_say(self, question: Question) -> bool:
        # ONNX Runtime Web would cut the text there, so the browser's scorer refuses it (`model_failed`).
        return "\\u0000" not in question.text and "\0" not in question.text

    def lay_out(self, asked: Sequence[Question]) -> None:
        """Write what is loaded to the run's directory."""
        for name in ("ask.js", "node.mjs", "page.html"):
            shutil.copyfile(PROGRAMS / name, self.scratch / name)
        shutil.copyfile(SITE / "scoring.js", self.scratch / "scoring.js")
        (self.scratch / SCRIPT).write_bytes(self._runtime.script)
        (self.scratch / WASM).write_bytes(self._runtime.wasm)
        shutil.copytree(self.directory, self.scratch / "bundle")
        request = {
            "script": SCRIPT,
            "wasm": WASM,
            "digest": self.bundle.digest,
            "names": self.bundle.names(),
            "version": self.view.version,
            "rows": [question.text for question in asked],
        }
        (self.scratch / "request.json").write_text(json.dumps(request))

    def answers(self, told: Sequence[dict[str, Any]]) -> list[RowAnswer]:
        """What the program says of each row."""
        out: list[RowAnswer] = []
        for each in told:
            if "refused" in each:
                out.append(RowRefused(tuple((found["code"], found["path"]) for found in each["refused"])))
                continue
            read = of_predictions(self.view.outputs, each["answer"].encode())
            out.append(read[0] if len(read) == 1 else RowUnreadable(f"{len(read)} predictions for one row"))
        return out
