"""The figures of a run: a line as each is found, and at the end one Markdown table that a document can hold."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from pathlib import Path

from tests.e2e.load import UNARY, Course

HEAD = "| event | over | asked | right | failed | longest gap, everybody | longest gap, one caller |"


class Report:
    """Rows and facts in the order in which they were found."""

    def __init__(self, say: Callable[[str], None] = print) -> None:
        """`say` gets a line as soon as a figure is there."""
        self._say = say
        self.rows: list[str] = []
        self.facts: list[str] = []

    def course(self, event: str, course: Course) -> None:
        """An event under load: what was asked by unary calls, then streams and large bodies, which may be lost."""
        for over, part in (
            ("unary HTTP", course.of("http")),
            ("unary gRPC", course.of("grpc")),
            ("open stream", course.of("stream")),
            ("large body", course.of("large")),
        ):
            if part.asks:
                right = len(part.asks) - part.failed
                gaps = f"{part.gap:.2f} s | {part.caller_gap:.2f} s"
                self.rows.append(f"| {event} | {over} | {len(part.asks)} | {right} | {part.failed} | {gaps} |")
        seconds = course.ended - course.begun
        self._say(f"{event}, {seconds:.0f} s: {course.of(*UNARY)}")
        for wire in ("stream", "large"):
            if course.of(wire).asks:
                self._say(f"  {wire}: {course.of(wire)}")

    def fact(self, sentence: str) -> None:
        """A figure that is no load."""
        self.facts.append(sentence)
        self._say(sentence)

    def markdown(self) -> str:
        """Everything, for a document."""
        rule = "|--|--|--:|--:|--:|--:|--:|"
        facts = [f"- {fact}" for fact in (f"Machine: {machine()}.", *self.facts)]
        return "\n".join([HEAD, rule, *self.rows, "", *facts, ""])

    def write(self, path: Path) -> None:
        """Write it to a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.markdown(), "utf-8")


def machine() -> str:
    """What this machine is: cores that may be used, memory, processor."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return f"{os.cpu_count()} cores of {(names or [platform.machine()])[0]}, {memory:.0f} GiB of memory"
