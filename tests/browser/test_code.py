"""The request as code: what is copied runs, and gets the answer that the page shows."""

from __future__ import annotations

import ast
import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open
from tests.support import programs
from tests.support.browser_server import Served
from tests.support.opened import Opened

SECONDS = 60.0
SERVICES = Path(__file__).parents[2] / "services"
COMMANDS = {name: programs.needed(name, f"the page's {name} command") for name in ("curl", "grpcurl")}


def _output(command: list[str]) -> str:
    """What a program prints that ends well."""
    folders = [str(Path(found).parent) for found in COMMANDS.values() if found]
    environment = os.environ | {
        "PATH": os.pathsep.join([*folders, os.environ["PATH"]]),
        "PYTHONPATH": str(SERVICES),
        "PYTHONIOENCODING": "utf-8",
        "PYTHONWARNINGS": "error",
    }
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _shell(text: str) -> str:
    return _output(["sh", "-c", text])


def _curl(text: str) -> Any:
    return json.loads(_shell(text))["predictions"][0]


def _python(text: str) -> Any:
    return ast.literal_eval(_output([sys.executable, "-c", text]))


def _grpcurl(text: str) -> Any:
    """The named tensors of the answer, as the contract's outputs have them in JSON."""
    out: dict[str, Any] = {}
    for tensor in json.loads(_shell(text))["outputs"]:
        (kind, values), *_ = tensor["contents"].items()
        if kind == "bytes_contents" and tensor["name"] != "stamp":
            values = [base64.b64decode(each).decode() for each in values]
        if kind == "int64_contents":
            values = [int(each) for each in values]
        out[tensor["name"]] = values if len(values) > 1 else values[0]
    return out


COPIED: dict[str, Callable[[str], Any]] = {"curl": _curl, "Python": _python, "urllib": _python, "grpcurl": _grpcurl}
LANGUAGES = {name: run for name, run in COPIED.items() if COMMANDS.get(name, True)}
"""What this machine can run: the output of each copied text, as one prediction."""


def copied(opened: Opened, language: str) -> str:
    """What the clipboard holds after a click on Copy."""
    opened.code.get_by_role("tab", name=language, exact=True).click()
    opened.code.get_by_role("button", name="Copy").click()
    expect(opened.code.get_by_role("button", name="Copied")).to_be_visible()
    return str(opened.page.evaluate("navigator.clipboard.readText()"))


def flat(value: Any) -> Any:
    """The same with nested lists made flat, as a tensor has its elements."""
    if isinstance(value, dict):
        return {name: flat(each) for name, each in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], list):
        return [each for row in value for each in row]
    return value


@pytest.mark.full
@pytest.mark.parametrize("at", [0, 1], ids=["numbers", "every-kind"])
def test_what_is_copied_runs(visit: Open, server: Served, at: int) -> None:
    """Thirty numbers; and text with quotes, a null, a 64-bit integer, an array and bytes; in every language."""
    bundle = server.bundles[at]
    opened = visit(bundle.name, bundle.version, permissions=["clipboard-read", "clipboard-write"])
    expected = bundle.golden()[1].slice(0, 1).to_records()[0]
    texts = {name: copied(opened, name) for name in LANGUAGES}
    with ThreadPoolExecutor() as running:
        answers = dict(zip(texts, running.map(lambda name: flat(LANGUAGES[name](texts[name])), texts), strict=True))

    assert opened.code.get_by_role("tab").all_inner_texts() == [*COPIED]
    for language, answer in answers.items():
        assert set(answer) == set(expected), language
        for name, value in flat(expected).items():
            exact = isinstance(value, str) or name == "tracking"
            assert answer[name] == (value if exact else pytest.approx(value, abs=1e-5)), (language, name)


def test_the_code_is_the_request_in_the_form(visit: Open) -> None:
    """Each keystroke is in it at once, and curl sends to the letter what the page sends."""
    opened = visit("parcels", permissions=["clipboard-read", "clipboard-write"])
    opened.field("note").fill("it's 'quoted'")
    text = copied(opened, "curl")
    opened.ask()
    body = next(each.post_data or "" for each in reversed(opened.requests) if each.method == "POST")

    assert "'" + body.replace("'", "'\\''") + "'" in text
    assert opened.page.url.partition("#")[0] + "v1/models/parcels/versions/1:predict" in text


def test_without_a_clipboard_the_code_is_selected(visit: Open) -> None:
    """A page from a plain address elsewhere has no clipboard; the text is ready for the keyboard's copy."""
    opened = visit()
    opened.page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('no clipboard')); }")
    opened.code.get_by_role("button", name="Copy").click()

    expect(opened.page.locator("#copied")).to_have_text("selected: copy it with the keyboard")
    assert str(opened.page.evaluate("String(getSelection())")).startswith("curl -sS ")
