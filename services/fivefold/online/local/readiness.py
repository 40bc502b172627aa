"""Whether a run answers: its own `/readyz`, asked over the network as anybody would."""

from __future__ import annotations

import http.client
import urllib.request

from fivefold.core.settings import dialable


class Readiness:
    """`/readyz` of the server at HOST:PORT."""

    def __init__(self, http: str) -> None:
        self.url = f"http://{dialable(http)}/readyz"
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def __call__(self, timeout: float) -> bool:
        """Whether it says ready within so many seconds."""
        try:
            with self._opener.open(self.url, timeout=timeout) as answer:
                return bool(answer.status == 200)
        except (OSError, http.client.HTTPException):
            return False
