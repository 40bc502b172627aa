"""What a run's command says, as Ray's job API has it, for the Job's pod to say: so it is kept as long as the Job.

The cluster of a run is gone minutes after its end, and its log with it. A log that cannot be read ends no run.
"""

from __future__ import annotations

import http.client
import json
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

SECONDS = 10.0

MOST = 16 * 1024 * 1024
"""Bytes of an answer. Ray gives a log as a whole; of a longer one nothing more is said."""


class CommandLog:
    """The lines of one run's command, each once; `token` is Ray's, empty where it asks for none."""

    def __init__(self, token: str = "") -> None:
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        self._of = ""
        self._told = 0
        self._trouble = ""

    def news(self, status: Mapping[str, Any]) -> Iterator[str]:
        """The whole lines since the last look, by a RayJob's status; the rest as well once its command has ended."""
        address, job = status.get("dashboardURL"), status.get("jobId")
        state = status.get("jobStatus")
        if not address or not job or state in (None, "", "PENDING"):
            return
        if (attempt := f"{address} {job}") != self._of:
            self._of, self._told = attempt, 0
        try:
            text = self._read(f"http://{address}/api/jobs/{urllib.parse.quote(job, safe='')}/logs")
        except (OSError, http.client.HTTPException, ValueError) as error:
            # A head that starts or has gone; asked again at the next look, and told once.
            if (trouble := f"{type(error).__name__}: {error}") != self._trouble:
                self._trouble = trouble
                yield f"what the command says cannot be read now: {trouble}"
            return
        end = len(text) if state in ("SUCCEEDED", "FAILED", "STOPPED") else text.rfind("\n") + 1
        if end < self._told:
            # Another head, which begins its file anew.
            self._told = 0
        new, self._told = text[self._told : end], max(end, self._told)
        yield from (line for line in new.splitlines() if line.strip())

    def _read(self, url: str) -> str:
        request = urllib.request.Request(url, headers=self._headers)  # noqa: S310  # the run's own head
        # No proxy: the head is in the cluster.
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=SECONDS) as answer:
            body = answer.read(MOST + 1)
        if len(body) > MOST:
            raise ValueError(f"the log has more than {MOST} bytes")
        found = json.loads(body)
        logs = found.get("logs") if isinstance(found, dict) else None
        return logs if isinstance(logs, str) else ""
