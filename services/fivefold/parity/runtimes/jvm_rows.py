"""The JVM: one process of the jar that `services/jvm` builds, on ONNX Runtime for Java."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import fivefold
from fivefold.core.errors import RunFailed
from fivefold.parity.question_rows import Question
from fivefold.parity.row_answers import RowAnswer, RowRefused, RowUnreadable, of_predictions
from fivefold.parity.runtimes.asked_runtime import NotHere, Runtime

TARGET: Final = ".cache/jvm/fivefold.jar"
"""Where `make` leaves the jar, below the root of the repository."""

SECONDS: Final = 600.0
"""How long all rows may take."""

_NOT_RUNNABLE = 4
_ANSWER = b'{"answer":'


def jar() -> Path:
    """The jar of the repository that this package is run from; it may not be there."""
    return Path(fivefold.__file__).parents[2] / TARGET


class JvmRows(Runtime):
    """One process of `java`."""

    def available(self) -> NotHere | None:
        if shutil.which("java") is None:
            return NotHere("there is no java on this machine", "install a Java of 11 or newer")
        if not jar().is_file():
            return NotHere("the jar of services/jvm is not built", f"make {TARGET}, in the repository of Fivefold")
        opened = self._run([])
        if opened.returncode == _NOT_RUNNABLE:
            return NotHere(_last_error(opened.stderr), "docs/edge/mobile.md says what runs on a JVM")
        return None

    def can_say(self, question: Question) -> bool:
        # ONNX Runtime for Java would change such a text, so the scorer refuses it (`model_failed`).
        words: list[object] = [json.loads(question.text)]
        while words:
            word = words.pop()
            if isinstance(word, str) and any(not 0 < ord(character) <= 0xFFFF for character in word):
                return False
            words += word if isinstance(word, list) else word.values() if isinstance(word, dict) else ()
        return "\n" not in question.text

    def ask(self, asked: Sequence[Question]) -> list[RowAnswer]:
        done = self._run([question.text for question in asked])
        if done.returncode:
            raise RunFailed("worker_lost", f"java ended with status {done.returncode}: {_last_error(done.stderr)}")
        lines = done.stdout.splitlines()
        if len(lines) != len(asked):
            raise RunFailed("worker_lost", f"java answered {len(lines):,} of {len(asked):,} rows")
        return [self._answer(line) for line in lines]

    def _answer(self, line: bytes) -> RowAnswer:
        if not line.startswith(_ANSWER):
            return RowRefused.of_body(json.loads(line)["error"])
        read = of_predictions(self.view.outputs, line[len(_ANSWER) : -1])
        return read[0] if len(read) == 1 else RowUnreadable(f"{len(read)} predictions for one row")

    def _run(self, rows: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
        command = [shutil.which("java") or "java", "-jar", str(jar()), "score", str(self.directory)]
        command += ["--digest", self.bundle.digest, "--contract", self.view.version]
        given = "".join(f"{row}\n" for row in rows).encode()
        try:
            return subprocess.run(command, input=given, capture_output=True, timeout=SECONDS)  # noqa: S603  # ours
        except subprocess.TimeoutExpired:
            raise RunFailed("worker_lost", f"java did not answer in {SECONDS:g} s") from None


def _last_error(said: bytes) -> str:
    lines = [line for line in said.decode("utf-8", "replace").splitlines() if line.startswith("error: ")] or [""]
    return lines[-1].removeprefix("error: ")[:300]
