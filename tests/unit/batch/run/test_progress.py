"""What is seen of a run."""

from __future__ import annotations

import io
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from tests.support.batch_runs import run

from fivefold.batch.output.ledger import Ledger
from fivefold.batch.plan import planning as planning
from fivefold.batch.plan.planning import Plan
from fivefold.batch.run.progress import Metrics, Progress, State, bar, clock, state
from fivefold.batch.storage.output_storage import DirectoryStorage


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        """Yes."""
        return True


@pytest.fixture
def finished(tmp_path: Path, noted: Path) -> Plan:
    """The plan of a run that is done, in `out`."""
    (tmp_path / "a.jsonl").write_text('{"a": 1, "note": "x"}\n' * 9 + '{"a": 999, "note": "x"}\n')
    run(noted, tmp_path / "a.jsonl", tmp_path / "out", max_bad_fraction=1)
    plan = Ledger(DirectoryStorage(str(tmp_path / "out"))).plan()
    assert plan is not None
    return plan


def test_a_plan_that_was_kept_is_the_plan(finished: Plan) -> None:
    """Also after another journey through JSON."""
    assert Plan.from_bytes(finished.to_bytes()) == finished
    assert finished.rows == 10
    assert planning.difference(finished, finished.sources, finished.facts) is None


def test_lines_elsewhere_and_a_bar_on_a_terminal(tmp_path: Path, finished: Plan) -> None:
    """The same facts."""
    records = Ledger(DirectoryStorage(str(tmp_path / "out"))).records(finished)
    plain, terminal = io.StringIO(), Terminal()
    for out in (plain, terminal):
        progress = Progress(finished, out)
        progress.event("started", rows=10)
        progress.show(records, last=True)

    first, last = map(json.loads, plain.getvalue().splitlines())
    assert first == {"event": "started", "run_id": finished.run_id[:16], "rows": 10}
    assert (last["fragments"], last["of"], last["rows"], last["rows_total"], last["quarantined"]) == (1, 1, 10, 10, 1)
    assert "started: rows 10" in terminal.getvalue()
    assert "100%  10 of 10 rows" in terminal.getvalue()


def test_until_workers_are_there_nothing_is_said_of_speed(finished: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal shows what is waited for, and nothing that is empty."""
    monkeypatch.setattr("fivefold.batch.run.progress.BAR_SECONDS", 0.0)
    out = Terminal()
    progress = Progress(finished, out)
    progress.event("started", rows=10_000, ignored_columns=["id", "note"], passed_over=0)
    progress.show({})
    assert "started: rows 10,000, ignored columns id, note\n" in out.getvalue()
    assert out.getvalue().endswith("starting workers, 0 s")
    progress.working()
    progress.show({})
    assert "0 of 10 rows" in out.getvalue()


def test_the_time_that_is_left() -> None:
    """From the rows of this start alone."""
    assert "1 min 30 s left" in bar(State(1, 4, 1000, 4000, 0, 33.3, 90.1))
    assert "left" not in bar(State(1, 4, 1000, None, 5, 33.3, None))
    assert [clock(seconds) for seconds in (4.4, 61, 7260)] == ["4 s", "1 min 01 s", "2 h 01 min"]


def test_speed_is_of_this_start(tmp_path: Path, finished: Plan) -> None:
    """What an earlier one has done is done."""
    records = Ledger(DirectoryStorage(str(tmp_path / "out"))).records(finished)

    assert state(finished, records, 0, 2.0).rows_per_second == 0
    assert state(finished, records, 10, 2.0).rows_per_second == 5


def test_metrics_go_to_a_file_or_a_gateway(tmp_path: Path, finished: Plan) -> None:
    """Under the names of all patterns; a gateway that is not there fails nothing."""
    records = Ledger(DirectoryStorage(str(tmp_path / "out"))).records(finished)
    pushed: list[tuple[str, str, str]] = []

    class Gateway(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            length = int(self.headers["content-length"])
            pushed.append((self.path, self.headers["content-type"], self.rfile.read(length).decode()))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Gateway)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        for target in (str(tmp_path / "batch.prom"), f"http://127.0.0.1:{server.server_port}"):
            Metrics(finished, target).show(state(finished, records, 10, 1.0), last=True)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    gone = Metrics(finished, f"http://127.0.0.1:{server.server_port}")
    gone.show(state(finished, records, 10, 1.0), last=True)

    text = (tmp_path / "batch.prom").read_text()
    assert 'fivefold_rows_total{model="noted",outcome="scored",pattern="batch",version="1"} 9.0' in text
    assert 'outcome="refused",pattern="batch",version="1"} 1.0' in text
    assert [path for path, _, _ in pushed] == [f"/metrics/job/batch-{finished.run_id[:16]}"]
    assert pushed[0][2] == text
    assert gone.failed


def test_metrics_that_do_not_arrive_are_reported(tmp_path: Path, finished: Plan) -> None:
    """Once for as long as the reason is the same; the run goes on."""
    records = Ledger(DirectoryStorage(str(tmp_path / "out"))).records(finished)
    with socket.socket() as bound:
        # Bound and not listening: nobody is there, and nobody else can be.
        bound.bind(("127.0.0.1", 0))
        out = io.StringIO()
        progress = Progress(finished, out, f"http://127.0.0.1:{bound.getsockname()[1]}")
        for _ in range(3):
            progress.show(records, last=True)

    events = [json.loads(line) for line in out.getvalue().splitlines()]
    (failed,) = [event for event in events if event["event"] == "metrics_failed"]
    assert "refused" in failed["reason"]
    assert "127.0.0.1" in failed["reason"]
    assert [event["event"] for event in events].count("progress") == 3
