"""V1 over HTTP: records in, records out, with the metadata beside them; or columns in, columns out.

The columns are TensorFlow Serving's: `inputs` and `outputs`, an object with an array for each field, or the array alone
where there is one. Reading either under the contract is core's; everything about the connection is left to `inference`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from fivefold.serving.dataplane import Answer, Call, Model
from fivefold.serving.http.inference import Decode, Encode, Headers
from fivefold.serving.http.problems import JSON, Reply, identity
from fivefold.serving.settings import OnlineSettings

if TYPE_CHECKING:
    from fivefold.core.check.findings import Reading
    from fivefold.core.columns import Columns


class V1:
    """`{"instances": [...]}` to `{"predictions": [...], "metadata": {...}}`, and `inputs` to `outputs`."""

    consumes: tuple[str, ...] = ("application/json",)
    produces: tuple[str, ...] = ("application/json",)

    def __init__(self, settings: OnlineSettings) -> None:
        self._max_rows = settings.max_rows
        self._max_depth = settings.max_json_depth

    def prepare(self, _headers: Headers, body: Callable[[], bytes], call: Call) -> tuple[Decode, Encode]:
        """See `exchange.Wire`."""
        by_column = False

        def columnar() -> None:
            nonlocal by_column
            by_column = True

        def decode(model: Model) -> Reading:
            return model.view.records.read_json(
                body(), max_rows=self._max_rows, max_depth=self._max_depth, columnar=columnar, watch=call
            )

        def encode(answer: Answer) -> Reply:
            columns = answer.columns
            said: dict[str, Any] = (
                {"outputs": _outputs(columns)} if by_column else {"predictions": columns.to_records()}
            )
            said["metadata"] = answer.metadata
            return Reply(200, [JSON, *identity(call)], msgspec.json.encode(said))

        return decode, encode


def _outputs(columns: Columns) -> Any:
    """An array for each output; as TensorFlow Serving has it, the array alone where there is one output."""
    lists = columns.to_lists()
    return lists if len(lists) > 1 else next(iter(lists.values()))
