"""A receiver of its own: protocol version 1 as its page says it, with nothing of the product in it.

    python -m loadtest.edge.event_receiver FILE [--port N]

Everything new goes as a line into FILE, which is its only state and is on the disk before the reply; so it may be
killed too. A line: `lane first seq thread number at`, or `lane first seq gap count reason`. It prints its port, then
how many lines it has stored and how far a lane has come, as that grows.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit


class Ledger:
    """What was received."""

    def __init__(self, path: Path) -> None:
        self.mutex = threading.Lock()
        self.marks: dict[str, int] = {}
        self.lines = 0
        whole = path.read_bytes() if path.exists() else b""
        # What a kill has cut off was never acknowledged.
        whole = whole[: whole.rfind(b"\n") + 1]
        for line in whole.splitlines():
            lane, _, seq, *_ = line.split()
            self.marks[lane.decode()] = int(seq)
            self.lines += 1
        self.file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        os.ftruncate(self.file, len(whole))
        os.lseek(self.file, 0, os.SEEK_END)

    def apply(self, lane: str, lines: list[dict[str, Any]]) -> tuple[int, bool]:
        """The watermark, and whether the batch joined on to it."""
        with self.mutex:
            mark = self.marks.get(lane, 0)
            out: list[str] = []
            for line in lines:
                seq, first = line["seq"], line.get("from_seq", line["seq"])
                if seq <= mark:
                    continue
                if first > mark + 1:
                    if out:
                        raise ValueError("a hole inside of a batch")
                    return mark, False
                if line["kind"] == "gap":
                    rest = min(line["count"], seq - mark)
                    out.append(f"{lane} {mark + 1} {seq} gap {rest} {line['reason']}\n")
                else:
                    out.append(f"{lane} {seq} {seq} {line['t']} {line['n']} {line['at']}\n")
                mark = seq
            if out:
                os.write(self.file, "".join(out).encode())
                os.fdatasync(self.file)
                self.marks[lane] = mark
                self.lines += len(out)
                os.write(1, b"%d %s %d\n" % (self.lines, lane.encode(), mark))
            return mark, True


def handler(ledger: Ledger) -> type[BaseHTTPRequestHandler]:
    class ReceiverHandler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def log_message(self, *_: object) -> None:
            pass

        def answer(self, status: int, content: dict[str, Any]) -> None:
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            outbox = parse_qs(urlsplit(self.path).query)["outbox"][0]
            with ledger.mutex:
                self.answer(200, {"outbox": outbox, "lanes": dict(ledger.marks)})

        def do_POST(self) -> None:
            # Headers that were cut off look as if they had ended there.
            size = int(self.headers.get("content-length", -1))
            data = self.rfile.read(max(size, 0))
            if len(data) != size:
                self.close_connection = True
                return
            lines = [json.loads(line) for line in gzip.decompress(data).splitlines()]
            lane = self.path.split("/")[5]
            mark, joined = ledger.apply(lane, lines)
            if joined:
                self.answer(200, {"acked_through": mark, "rejected": []})
            else:
                self.answer(409, {"code": "sequence_gap", "acked_through": mark})

    return ReceiverHandler


class QuietServer(ThreadingHTTPServer):
    """Connections that break off are what the network here is for."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def main() -> int:
    """Receive until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args()
    ledger = Ledger(given.file)
    server = QuietServer(("127.0.0.1", given.port), handler(ledger))
    os.write(1, b"port %d\n" % server.server_address[1])
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
