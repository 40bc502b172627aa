"""The Open Inference Protocol's names and raw tensors: what the servers and the client both speak.

Reading tensors under a contract is left to `fivefold.core.readers.tensors`; JSON and protobuf to their adapters.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fivefold.core.errors import ContractError

DATATYPES: Final[dict[str, str]] = {
    "BOOL": "bool",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
    "BYTES": "bytes",
}
"""The protocol's datatype -> fivefold's dtype. BYTES carries strings too; BF16 exists on the wire only (`unpack`)."""

NAMES: Final[dict[str, str]] = {dtype: name for name, dtype in DATATYPES.items()} | {"string": "BYTES"}
"""fivefold's dtype -> the protocol's datatype."""

CONTENTS: Final[dict[str, str]] = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""The list of `InferTensorContents` that belongs to a datatype; the missing two travel raw."""

CONTRACT: Final = "fivefold_contract"
"""The parameter of a model's configuration that holds contract.json, beside `bundle`, the digest of what it stands in.

A client reads records and tables under it, with the server's own rules."""

RAW_ONLY: Final = ("FP16", "BF16")
"""Datatypes that have no spelling in JSON or in typed protobuf contents."""

ITEM_BYTES: Final[dict[str, int]] = {
    name: np.dtype(dtype).itemsize for name, dtype in DATATYPES.items() if name != "BYTES"
} | {"BF16": 2}
"""Bytes of one element in raw form; BYTES elements carry their own length."""


def _little(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype in the raw form's byte order; where that is the machine's, the dtype as everybody writes it."""
    little = dtype.newbyteorder("<")
    return dtype if little == dtype else little


_LITTLE: Final = {name: _little(np.dtype(DATATYPES[name])) for name in ITEM_BYTES if name != "BF16"}


def dtype_of(datatype: object, path: str) -> str:
    """fivefold's dtype of a datatype; raises `ContractError(malformed)` at `path` for one that does not exist.

    BF16 reads as float32, which holds all its values.
    """
    if isinstance(datatype, str):
        if datatype == "BF16":
            return "float32"
        if datatype in DATATYPES:
            return DATATYPES[datatype]
    raise ContractError(
        "malformed",
        f"expected a datatype, got {str(datatype)[:64]!r}",
        path=path,
        help=", ".join((*DATATYPES, "BF16")),
    )


def unpack(datatype: str, raw: bytes | memoryview, count: int, path: str) -> np.ndarray[Any, Any]:
    """`count` elements from their raw little-endian form, flat; BYTES gives an object array of bytes.

    Raises `ContractError(malformed)` at `path` when the bytes are not exactly that many elements. The array may share
    memory with `raw`.
    """
    if datatype == "BYTES":
        return _unpack_bytes(memoryview(raw), count, path)
    size = ITEM_BYTES[datatype]
    if len(raw) != count * size:
        raise ContractError(
            "malformed", f"expected {count * size} bytes for {count} {datatype}, got {len(raw)}", path=path
        )
    if datatype == "BF16":
        # bfloat16 is the upper half of a binary32.
        return (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")
    if datatype == "BOOL":
        values = np.frombuffer(raw, np.uint8)
        if values.size and values.max() > 1:
            raise ContractError("malformed", "expected a BOOL byte of 0 or 1", path=path)
        return values.view(np.bool_)
    return np.frombuffer(raw, _LITTLE[datatype])


def _unpack_bytes(raw: memoryview, count: int, path: str) -> np.ndarray[Any, Any]:
    out: list[bytes] = []
    at, end = 0, len(raw)
    while at < end and len(out) <= count:
        stop = at + 4 + int.from_bytes(raw[at : at + 4], "little")
        if at + 4 > end or stop > end:
            raise ContractError("malformed", f"BYTES element {len(out)} runs past the end of its tensor", path=path)
        out.append(bytes(raw[at + 4 : stop]))
        at = stop
    if len(out) != count or at != end:
        raise ContractError(
            "malformed", f"expected {count} BYTES elements, got {len(out)}{'' if at == end else ' or more'}", path=path
        )
    array = np.empty(count, object)
    array[:] = out
    return array


def pack(array: npt.NDArray[Any]) -> bytes:
    """An output column in raw little-endian form; object arrays (str or bytes) as BYTES elements."""
    if array.dtype == object:
        out = bytearray()
        for item in array.reshape(-1).tolist():
            data = item.encode() if isinstance(item, str) else item
            out += len(data).to_bytes(4, "little")
            out += data
        return bytes(out)
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
