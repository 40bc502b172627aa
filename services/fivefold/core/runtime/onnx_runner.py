"""Runs an ONNX model with ONNX Runtime.

Opening holds the bundle's binding against the model's real inputs and outputs, so that what can be said before the
first request is said then; calls are left with prebuilt feeds. On which device is `devices`' matter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import onnxruntime

from fivefold.core.bundle.binding import Binding, InputBinding, OutputBinding, refused
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.bundle.manifest import MODEL
from fivefold.core.columns import Array, Columns, narrow
from fivefold.core.errors import BundleInvalid, ContractError, ModelFailed
from fivefold.core.fields.field import Field
from fivefold.core.fields.suggestion import nearest
from fivefold.core.runtime.devices import CPU, open_session
from fivefold.core.runtime.runner import core, fold

ELEMENTS: Final = {
    "tensor(bool)": "bool",
    "tensor(int8)": "int8",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(uint8)": "uint8",
    "tensor(uint16)": "uint16",
    "tensor(uint32)": "uint32",
    "tensor(uint64)": "uint64",
    "tensor(float16)": "float16",
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(string)": "string",
}
"""ONNX Runtime's names of tensor types and the contract's dtype of each."""

Feed = Callable[[Columns], Array]


class OnnxRunner:
    """ONNX Runtime: `threads` threads inside an operator, none that spin, operators one after another."""

    foreseeable = True
    serial = False

    def __init__(self, bundle: Bundle, *, threads: int, providers: tuple[str, ...] = (CPU,)) -> None:
        """`providers` as `DeviceSettings.of` gives them."""
        binding = bundle.manifest.binding
        assert binding is not None  # the manifest refuses an ONNX bundle without one
        self._session, self.device = _session(bundle, threads, providers)
        fields = {field.name: field for field in bundle.contract.inputs}
        self._feeds = [(item.model_input, feed) for item, feed in _feeds(binding, self._session, fields)]
        wanted = {field.name: field for field in bundle.contract.outputs}
        _check_outputs(binding, self._session, wanted)
        self._names = list(dict.fromkeys(item.model_output for item in binding.outputs))
        self._picks = [
            (item, wanted[item.field].shape, self._names.index(item.model_output)) for item in binding.outputs
        ]

    def run(self, columns: Columns) -> Mapping[str, Array]:
        """The answers for at least one row; the interpreter's lock is free while the model runs."""
        session = self._session
        if session is None:
            raise RuntimeError("the scorer is closed")
        return self.fields(session.run(self._names, self.tensors(columns)), columns.rows)

    @property
    def outputs(self) -> list[str]:
        """The names of the model's outputs that the binding picks from."""
        return list(self._names)

    def tensors(self, columns: Columns) -> dict[str, Array]:
        """What the model takes, by its inputs' names."""
        return {name: feed(columns) for name, feed in self._feeds}

    def fields(self, answers: Sequence[Array], rows: int) -> dict[str, Array]:
        """The contract's outputs in the model's `outputs`, in their order, for so many rows."""
        return {item.field: _pick(answers[index], item, rows, shape) for item, shape, index in self._picks}

    def close(self) -> None:
        """Drop the session: it ends with its last reference, which a call in another thread may still hold."""
        self._session = None


def _session(bundle: Bundle, threads: int, providers: tuple[str, ...]) -> tuple[Any, str]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    # A model in memory looks for external weights in the working directory; a bundle has nothing outside itself.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", "/nonexistent")
    try:
        return open_session(bundle.read(MODEL), bundle.name, options, providers)
    except BundleInvalid:
        raise
    except Exception as err:  # the runtime raises a dozen unrelated classes
        reason = str(err).splitlines()[0][:300]
        raise BundleInvalid(f"ONNX Runtime {onnxruntime.__version__} refuses the model: {reason}", path=MODEL) from err


def _feeds(binding: Binding, session: Any, fields: Mapping[str, Field]) -> list[tuple[InputBinding, Feed]]:
    inputs = {item.name: item for item in session.get_inputs()}
    out = []
    for index, item in enumerate(binding.inputs):
        where = f"binding.inputs[{index}]"
        found = inputs.pop(item.model_input, None)
        if found is None:
            known = [each.name for each in session.get_inputs()]
            raise refused(
                f"{where}.model_input",
                f"the model has no input {item.model_input!r}, it has {', '.join(map(repr, known[:8]))}",
                nearest(item.model_input, known),
            )
        dtype = ELEMENTS.get(found.type)
        if dtype != item.dtype:
            raise refused(
                f"{where}.dtype", f"the model's input is {dtype or found.type}, the binding says {item.dtype}"
            )
        shape = _row_shape(found.shape, f"{where}.model_input", f"the input {item.model_input!r}")
        out.append((item, _feed(item, [fields[name] for name in item.fields], shape, where)))
    if inputs:
        raise refused("binding.inputs", f"the model's input {next(iter(inputs))!r} is not bound")
    return out


def _row_shape(shape: Sequence[Any] | None, where: str, what: str) -> list[int | None]:
    """A row's shape as the model declares it: None for a dimension that it leaves open."""
    if not shape:
        raise refused(where, f"{what} has no dimension for rows")
    sizes = [size if isinstance(size, int) and size > 0 else None for size in shape]
    if sizes[0] is not None:
        raise refused(where, f"{what} takes {sizes[0]} rows only", "export the model with a dynamic first dimension")
    return sizes[1:]


def _feed(item: InputBinding, fields: Sequence[Field], row: list[int | None], where: str) -> Feed:
    target: np.dtype[Any] = np.dtype(object if item.dtype == "string" else item.dtype)
    guarded = any(_may_overflow(field, target) for field in fields)
    if item.stack:
        if len(row) != 1 or row[0] not in (None, len(fields)):
            raise refused(
                f"{where}.fields", f"the model's input takes {_describe(row)} a row, the binding stacks {len(fields)}"
            )
        names = item.fields
        words = item.dtype == "string" and item.null is not None and any(field.nullable for field in fields)
        if words:
            return lambda columns: _with_text(columns.block(names, target), item, fields, columns)
        if not guarded:
            return lambda columns: columns.block(names, target)
        return lambda columns: _finite(columns.block(names, target), fields, columns)
    field = fields[0]
    wanted = list(field.shape)
    fits = len(row) == len(wanted) and all(size in (None, own) for size, own in zip(row, wanted, strict=True))
    if not fits:
        # [rows, 1] for a scalar, or [rows, 1, 28, 28] for an image: other sizes of 1 are only spelling.
        filled = [1 if size is None else size for size in row]
        if core(filled) != core(wanted):
            raise refused(
                f"{where}.fields", f"the model's input takes {_describe(row)} a row, {field.name!r} is {wanted}"
            )
        wanted = filled
    name, tail = field.name, tuple(wanted)
    # What the model gets for null where that is not what stands in the array.
    void: Any = (
        item.null if item.dtype == "string" else np.nan if target.kind == "f" and field.kind != "float" else None
    )
    replaced = field.nullable and void is not None

    def feed(columns: Columns) -> Array:
        array = np.ascontiguousarray(narrow(columns[name], target))
        if replaced and (nulls := columns.nulls(name)).any():
            array = array.copy()
            array[nulls] = void
        if guarded:
            array = _finite(array.reshape(columns.rows, -1), fields, columns)
        return array.reshape(columns.rows, *tail)

    return feed


def _with_text(block: Array, item: InputBinding, fields: Sequence[Field], columns: Columns) -> Array:
    """A block of text with the binding's word for null; the block is the caller's own."""
    for index, field in enumerate(fields):
        if field.nullable:
            block[columns.nulls(field.name), index] = item.null
    return block


def _describe(row: Sequence[int | None]) -> str:
    return str([size or "any" for size in row]).replace("'", "")


def _may_overflow(field: Field, target: np.dtype[Any]) -> bool:
    """Whether a legal finite value of the field can become infinite in the model's own float type."""
    if target.kind != "f" or not field.numeric:
        return False
    info: Any = np.finfo(field.dtype) if field.kind == "float" else np.iinfo(field.dtype)
    low = float(info.min) if field.minimum is None else float(field.minimum)
    high = float(info.max) if field.maximum is None else float(field.maximum)
    return max(-low, high) > float(np.finfo(target).max)


def _finite(block: Array, fields: Sequence[Field], columns: Columns) -> Array:
    """Refuse a value that only the model's type cannot hold: passed on as infinity it would be answered wrongly."""
    if not np.isinf(block).any():
        return block
    for index, field in enumerate(fields):
        source = columns[field.name].reshape(columns.rows, -1)
        cast = block[:, index : index + 1] if len(fields) > 1 else block
        for row, element in np.argwhere(np.isinf(cast) & np.isfinite(source))[:1]:
            where = "".join(f"[{at}]" for at in np.unravel_index(element, field.shape)) if field.shape else ""
            raise ContractError(
                "out_of_range",
                f"expected a number that fits the model's own {block.dtype}, got {source[row, element]}",
                path=f"inputs.{field.name}[{row}]{where}",
            )
    return block


def _check_outputs(binding: Binding, session: Any, fields: Mapping[str, Field]) -> None:
    outputs = {item.name: item for item in session.get_outputs()}
    for index, item in enumerate(binding.outputs):
        where = f"binding.outputs[{index}].model_output"
        found = outputs.get(item.model_output)
        if found is None:
            known = ", ".join(map(repr, list(outputs)[:8]))
            raise refused(
                where,
                f"the model has no output {item.model_output!r}, it has {known}",
                nearest(item.model_output, outputs),
            )
        dtype = ELEMENTS.get(found.type)
        if dtype is None:
            help = "convert the classifier with zipmap=False" if found.type.startswith("seq") else None
            raise refused(where, f"the model's output {item.model_output!r} is {found.type}, not a tensor", help)
        field = fields[item.field]
        kind = Field("model", dtype).kind
        if kind != field.kind and not (field.numeric and kind in ("int", "float")):
            raise refused(where, f"the model's output is {dtype}, the contract's {item.field!r} is {field.dtype}")
        if item.column is not None:
            row = found.shape[1:]
            if len(row) != 1 or (isinstance(row[0], int) and item.column >= row[0] > 0):
                raise refused(
                    f"binding.outputs[{index}].column", f"the model's output {item.model_output!r} is {found.shape}"
                )


def _pick(array: Array, item: OutputBinding, rows: int, shape: tuple[int, ...]) -> Array:
    if item.column is None:
        return fold(array, rows, shape)
    if array.ndim != 2 or item.column >= array.shape[1]:
        raise ModelFailed(
            "model_failed",
            f"expected a column {item.column} from the model, got shape {list(array.shape)}",
            path=f"outputs.{item.field}",
        )
    return array[:, item.column]
