"""Four readers make columns: `records` (JSON values), `tensors`, `arrow` and `text` (CSV cells).

`lines` reads records that stand one a line or one a message, each for itself; `binary_rows` does so with rows of a
binary format.

Each takes parsed but uninterpreted values and gives a `Reading`: the good rows and the ordered violations with the rows
they hit. Whether one bad row refuses the request or only itself is left to the caller.
"""

from fivefold.core.check.findings import Reading

__all__ = ["Reading"]
