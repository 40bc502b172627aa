"""REST V1: rows as records, over a real connection of the standard library's client."""

from __future__ import annotations

import http.client
from collections.abc import Mapping, Sequence
from urllib.parse import quote

import msgspec

from fivefold.client.retry import CONTRACT_VERSION
from fivefold.parity.question_rows import Question
from fivefold.parity.row_answers import RowAnswer, RowRefused, of_predictions
from fivefold.parity.runtimes import served_bundle
from fivefold.parity.runtimes.asked_runtime import AskedBundle, Runtime, in_groups

SECONDS = 60.0
"""How long one answer may take."""


class Exchange:
    """One kept connection; `post` gives status, headers by lower-case name, and the body."""

    def __init__(self, address: str) -> None:
        self._connection = http.client.HTTPConnection(address, timeout=SECONDS)

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
        """Raises `OSError` and `http.client.HTTPException` where nothing comes back."""
        self._connection.request("POST", path, body, {"content-type": "application/json", **headers})
        reply = self._connection.getresponse()
        return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


class HttpRecords(Runtime):
    """`POST /v1/models/NAME:predict`, the answers read out of the text as it came."""

    def __init__(self, asked: AskedBundle) -> None:
        super().__init__(asked)
        self._server: served_bundle.ServedBundle | None = None

    def address(self) -> str:
        """HOST:PORT to ask, after starting what answers there."""
        self._server = served_bundle.ServedBundle(self.bundle, served_bundle.http)
        return self._server.address

    def ask(self, asked: Sequence[Question]) -> list[RowAnswer]:
        exchange = Exchange(self.address())
        try:
            return in_groups(asked, lambda group: self._predict(exchange, group))
        finally:
            exchange.close()

    def _predict(self, exchange: Exchange, group: Sequence[Question]) -> list[RowAnswer] | RowRefused:
        body = f'{{"instances":[{",".join(question.text for question in group)}]}}'.encode()
        path = f"/v1/models/{quote(self.bundle.name, safe='')}:predict"
        status, _, reply = exchange.post(path, body, {CONTRACT_VERSION: self.view.version})
        if status != 200:
            return refusal_of_reply(status, reply)
        return of_predictions(self.view.outputs, reply)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()


def refusal_of_reply(status: int, reply: bytes) -> RowRefused:
    """What an HTTP error says."""
    try:
        body = msgspec.json.decode(reply, type=dict)
    except (msgspec.MsgspecError, UnicodeError):
        body = {"code": f"HTTP {status} without a body of ours"}
    return RowRefused.of_body(body)
