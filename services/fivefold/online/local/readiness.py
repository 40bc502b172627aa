"""Whether a run answers: its own `/readyz`, asked over the network as anybody would."""

from __future__ import annotations

import http.client
import urllib.request

from fivefold.core.settings import address


class Readiness:
    """`/readyz` of the server at HOST:PORT."""

    def __init__(self, http: str) -> None:
        host, port = address(http)
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # not bound here
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}/readyz"
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def __call__(self, timeout: float) -> bool:
        """Whether it says ready within so many seconds."""
        try:
            with self._opener.open(self.url, timeout=timeout) as answer:
                return bool(answer.status == 200)
        except (OSError, http.client.HTTPException):
            return False
