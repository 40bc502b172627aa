"""A page of the documentation as a reader would follow it: its files are written, its commands typed, its Python run.

    `NAME`: and a block            the file NAME is written; other words may stand around it in the line
    sh                             commands; `fivefold serve` is a server of the same bundles in this process
    text, after sh                 what those commands print, … for what differs from run to run
    python with >>>                examples and what they print

`fivefold score` runs without Ray. What a page speaks of beyond that, its test provides.
"""

from __future__ import annotations

import argparse
import doctest
import io
import re
import runpy
import shlex
import subprocess
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from unittest.mock import patch

from fivefold.batch.engine.inline import Inline
from fivefold.batch.run import execute
from fivefold.cli import _parser, main
from fivefold.core.bundle.bundle import Bundle
from tests.support import grpc_calls, live_servers

BLOCK = re.compile(r"(?:`([\w./-]+)`[^`\n]*:\n\n)?^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
STAGE = re.compile(r"^ *\d+\.\d s  .*\n", re.MULTILINE)
IN_PROCESS = partial(execute.score, actors=Inline)
HTTP, GRPC = "127.0.0.1:8000", "127.0.0.1:9000"


def follow(page: Path) -> list[str]:
    """Do what the page says, in the working directory; gives the commands that were typed."""
    with ExitStack() as running:
        return _Reader(page, running).read()


class _Reader:
    def __init__(self, page: Path, running: ExitStack) -> None:
        self._page, self._running = page, running
        self._server = running.enter_context(ExitStack())
        self._addresses: dict[str, str] = {}
        self._names: dict[str, object] = {}
        self._commands: list[str] = []
        self._failed = ""
        """What a command said that came to nothing: the page has to say so at once."""

    def read(self) -> list[str]:
        printed = ""
        for name, language, text in BLOCK.findall(self._page.read_text("utf-8")):
            assert language == "text" or not self._failed, self._failed
            if name:
                Path(name).parent.mkdir(parents=True, exist_ok=True)
                Path(name).write_text(text)
            elif language == "sh":
                printed = "".join(map(self._typed, text.replace("\\\n", " ").splitlines()))
            elif language == "text":
                expected = ".*?".join(map(re.escape, text.strip().split("…")))
                assert re.fullmatch(expected, printed.strip(), re.DOTALL), f"{text}\nis\n{printed}"
                self._failed = ""
            elif text.startswith(">>> "):
                self._examples(text)
        return self._commands

    def _here(self, text: str) -> str:
        for address, running in self._addresses.items():
            text = text.replace(address, running)
        return text

    def _typed(self, line: str) -> str:
        """What a command prints."""
        assert not self._failed, self._failed
        self._commands.append(line)
        program, *words = shlex.split(line, comments=True)
        if program == "python":
            # Not in a process of its own: importing what trains a model takes longer than training it.
            runpy.run_path(words[0], run_name="__main__")
            return ""
        if program != "fivefold":
            done = subprocess.run(["bash", "-c", self._here(line)], capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
            return done.stdout
        if words[0] == "serve":
            self._serve(_parser().parse_args(words))
            return ""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err), patch.object(execute, "score", IN_PROCESS):
            status = main(words)
        # What packing is at is no part of what came of it.
        self._failed = STAGE.sub("", err.getvalue()) if status else ""
        return self._failed or out.getvalue()

    def _serve(self, arguments: argparse.Namespace) -> None:
        self._server.close()
        bundles = [Bundle.open(place) for place in (*arguments.bundles, *arguments.model)]
        http = self._server.enter_context(live_servers.serving(bundles))
        grpc = self._server.enter_context(grpc_calls.world(bundles)).server.address
        self._addresses = {HTTP: http.removeprefix("http://"), GRPC: grpc}

    def _examples(self, text: str) -> None:
        said: list[str] = []
        runner = doctest.DocTestRunner(optionflags=doctest.REPORT_NDIFF | doctest.ELLIPSIS)
        test = doctest.DocTestParser().get_doctest(self._here(text), {}, self._page.name, str(self._page), 0)
        test.globs = self._names
        runner.run(test, out=said.append, clear_globs=False)
        assert runner.failures == 0, "".join(said)
