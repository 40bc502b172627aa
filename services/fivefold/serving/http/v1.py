"""V1 over HTTP: records in, records out, with the metadata beside them; or columns in, columns out.

The columns are TensorFlow Serving's: `inputs` and `outputs`, an object with an array for each field, or the array alone
where there is one. Reading either under the contract is core's; everything about the connection is left to `inference`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from fivefold.core.readers.columnar import spelled_by_column
from fivefold.serving.http.http_errors import JSON, HttpReply
from fivefold.serving.limits import ServingLimits
from fivefold.serving.messages import Answer, Call, InferRequest

if TYPE_CHECKING:
    from fivefold.core.view import View
    from fivefold.serving.http.asgi import Headers
    from fivefold.serving.http.request_body import Body


class V1:
    """`{"instances": [...]}` to `{"predictions": [...], "metadata": {...}}`, and `inputs` to `outputs`."""

    consumes: tuple[str, ...] = ("application/json",)
    produces: tuple[str, ...] = ("application/json",)

    def __init__(self, settings: ServingLimits) -> None:
        self._max_rows = settings.max_rows
        self._max_depth = settings.max_json_depth

    def raw_bytes(self, headers: Headers, size: int) -> int:  # noqa: ARG002  # one of `HttpCodec`'s
        """See `HttpCodec`: this is text."""
        return 0

    def decode(self, body: Body, view: View, call: Call) -> InferRequest:
        """See `Codec`."""
        by_column = False

        def columnar() -> None:
            nonlocal by_column
            by_column = True

        reading = view.records.read_json(
            body.whole(), max_rows=self._max_rows, max_depth=self._max_depth, columnar=columnar, watch=call
        )
        return InferRequest(reading, view.outputs, by_column=by_column)

    def encode(self, answer: Answer, request: InferRequest) -> HttpReply:
        """See `Codec`."""
        columns = answer.columns
        body: dict[str, Any] = (
            {"outputs": spelled_by_column(columns)} if request.by_column else {"predictions": columns.to_records()}
        )
        body["metadata"] = answer.metadata
        return HttpReply(200, [JSON], msgspec.json.encode(body))
