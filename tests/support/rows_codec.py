"""A codec without bytes: parsed records in, the answer as it is out."""

from __future__ import annotations

from typing import Any

from fivefold.core.view import View
from fivefold.serving.messages import Answer, Call, InferRequest


class Rows:
    """Reads lists of records."""

    def decode(self, given: list[Any], view: View, call: Call) -> InferRequest:
        return InferRequest(view.records.read(given, watch=call), view.outputs)

    def encode(self, answer: Answer, request: InferRequest) -> Answer:
        assert [field.name for field in request.outputs] == list(answer.columns)
        return answer
