"""V1 over HTTP: records in, records out, with the metadata beside them.

Reading records under the contract is core's; everything about the connection is left to `exchange`.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from fivefold.online.http.exchange import Decode, Encode, Headers
from fivefold.online.http.problems import JSON, Reply, identity
from fivefold.online.serving import Answer, Call
from fivefold.online.settings import OnlineSettings


class V1:
    """`{"instances": [...]}` to `{"predictions": [...], "metadata": {...}}`."""

    consumes: tuple[str, ...] = ("application/json",)
    produces: tuple[str, ...] = ("application/json",)

    def __init__(self, settings: OnlineSettings) -> None:
        self._max_rows = settings.max_rows
        self._max_depth = settings.max_json_depth

    def prepare(self, _headers: Headers, body: Callable[[], bytes], call: Call) -> tuple[Decode, Encode]:
        """See `exchange.Wire`."""
        max_rows, max_depth = self._max_rows, self._max_depth

        def encode(answer: Answer) -> Reply:
            text = msgspec.json.encode({"predictions": answer.columns.to_records(), "metadata": answer.metadata})
            return Reply(200, [JSON, *identity(call)], text)

        return lambda model: model.records.read_json(body(), max_rows=max_rows, max_depth=max_depth, watch=call), encode
