from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from tests.support.listening import listening

from fivefold.cluster import command_log
from fivefold.cluster.command_log import CommandLog


class Head:
    """A head's dashboard: the log of each job, and who asked."""

    def __init__(self) -> None:
        self.logs: dict[str, str] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.address = ""

    def status(self, state: str = "RUNNING", job: str = "run-x1") -> dict[str, Any]:
        """A RayJob's status."""
        return {"dashboardURL": self.address, "jobId": job, "jobStatus": state}


@pytest.fixture
def head() -> Iterator[Head]:
    head = Head()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            head.asked.append((self.path, self.headers.get("authorization")))
            job = self.path.removeprefix("/api/jobs/").removesuffix("/logs")
            text = head.logs.get(job)
            data = json.dumps({"logs": text}).encode() if text is not None else b"no such job"
            self.send_response(200 if text is not None else 404)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with listening(Handler) as url:
        head.address = url.removeprefix("http://")
        yield head


def test_each_line_is_said_once_and_whole(head: Head) -> None:
    """A line that is not finished waits, unless the command has ended."""
    log = CommandLog("secret")
    head.logs["run-x1"] = "one\ntw"
    assert list(log.news(head.status())) == ["one"]
    head.logs["run-x1"] = "one\ntwo\nthree"
    assert list(log.news(head.status())) == ["two"]
    assert list(log.news(head.status("FAILED"))) == ["three"]
    assert list(log.news(head.status("FAILED"))) == []
    assert head.asked[0] == ("/api/jobs/run-x1/logs", "Bearer secret")


def test_another_try_is_said_from_its_beginning(head: Head) -> None:
    """It has a cluster, and a log, of its own; so has a head that followed a lost one."""
    log = CommandLog()
    head.logs = {"run-x1": "one\ntwo\n", "run-x2": "again\n"}
    list(log.news(head.status()))

    assert list(log.news(head.status(job="run-x2"))) == ["again"]
    head.logs["run-x2"] = "new\n"
    assert list(log.news(head.status(job="run-x2"))) == ["new"]


def test_a_log_that_cannot_be_read_is_told_once(head: Head) -> None:
    """And asked for again: a run is never ended by it."""
    log = CommandLog()
    (told,) = log.news(head.status())
    assert "404" in told
    assert list(log.news(head.status())) == []
    head.logs["run-x1"] = "one\n"

    assert list(log.news(head.status())) == ["one"]


@pytest.mark.parametrize("gone", [{"dashboardURL": ""}, {"jobId": None}, {"jobStatus": ""}, {"jobStatus": "PENDING"}])
def test_nothing_is_asked_before_the_command_runs(head: Head, gone: dict[str, Any]) -> None:
    """There is no log yet."""
    assert list(CommandLog().news(head.status() | gone)) == []
    assert not head.asked


def test_a_log_of_any_length_is_refused(head: Head, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pod has little memory."""
    monkeypatch.setattr(command_log, "MOST", 100)
    head.logs["run-x1"] = "x" * 200

    (told,) = CommandLog().news(head.status())
    assert "more than 100 bytes" in told
