"""REST V2, the Open Inference Protocol: JSON tensors in, binary tensors out."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

import msgspec

from fivefold.client.http_client import read_tensors
from fivefold.client.retry import CONTRACT_VERSION, ServerReply
from fivefold.parity.question_rows import Question
from fivefold.parity.row_answers import RowAnswer, RowRefused, of_arrays
from fivefold.parity.runtimes.asked_runtime import AskedBundle, in_groups
from fivefold.parity.runtimes.http_rows import Exchange, HttpRecords, refusal_of_reply
from fivefold.parity.runtimes.tensor_rows import TensorRows


class HttpTensors(HttpRecords):
    """`POST /v2/models/NAME/infer` at the server of V1."""

    def __init__(self, asked: AskedBundle) -> None:
        super().__init__(asked)
        self._tensors = TensorRows(self.view.inputs)

    def can_say(self, question: Question) -> bool:
        return bool(question.record) and self._tensors.in_json(question)

    def ask(self, asked: Sequence[Question]) -> list[RowAnswer]:
        exchange = Exchange(self.address())
        try:
            return in_groups(asked, lambda group: self._infer(exchange, group), self._tensors.kind)
        finally:
            exchange.close()

    def _infer(self, exchange: Exchange, group: Sequence[Question]) -> list[RowAnswer] | RowRefused:
        request = {"inputs": self._tensors.json_tensors(group), "parameters": {"binary_data_output": True}}
        path = f"/v2/models/{quote(self.bundle.name, safe='')}/infer"
        headers = {CONTRACT_VERSION: self.view.version}
        status, head, reply = exchange.post(path, msgspec.json.encode(request), headers)
        if status != 200:
            return refusal_of_reply(status, reply)
        arrays, _ = read_tensors(ServerReply(status, head, reply, path))
        return of_arrays(self.view.outputs, arrays, len(group))
