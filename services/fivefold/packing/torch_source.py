"""torch modules and exported programs as sources, written to ONNX by torch's own exporter with a free batch dimension.

torch is imported only here: a module that is not torch's never pays for it. A pickled module (.pt, .pth) runs its
author's code when it is loaded.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fivefold.core.bundle.binding import Binding
from fivefold.core.columns import Array, Columns
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import BundleInvalid, ContractInvalid
from fivefold.core.fields.field import DTYPES, Field
from fivefold.packing import graph
from fivefold.packing.frames import Seen
from fivefold.packing.graph import Port
from fivefold.packing.libraries import require, versions
from fivefold.packing.measure import Mask
from fivefold.packing.source_model import Conversion, ConversionPlan

EXAMPLE_ROWS = 3
"""Rows of the example that is traced; one row would be taken for a constant."""


class TorchSource:
    """A `torch.nn.Module`, or a `torch.export.ExportedProgram` with a dynamic batch dimension."""

    kind: ClassVar[str] = "torch"

    def __init__(self, model: Any) -> None:
        torch = require("torch")
        self._program = model if isinstance(model, torch.export.ExportedProgram) else None
        self._module = model.module() if self._program is not None else model
        if not isinstance(self._module, torch.nn.Module):
            raise BundleInvalid(
                f"expected a torch module, got a {type(model).__name__}",
                help="a file of weights alone does not say what to compute: save the module, or a torch.export program",
            )
        if self._program is None:
            self._module.eval()
        self.facts = versions("torch", "onnxscript")
        self._feeds: Mapping[str, tuple[Field, ...]] = {}
        self._names: tuple[str, ...] = ()

    @classmethod
    def load(cls, path: Path) -> TorchSource:
        """Read a program (.pt2) or a pickled module (.pt, .pth). Raises `BundleInvalid`."""
        torch = require("torch")
        try:
            if path.suffix.lower() == ".pt2":
                return cls(torch.export.load(path))
            return cls(torch.load(path, map_location="cpu", weights_only=False))
        except BundleInvalid:
            raise
        except Exception as err:  # loading runs the author's code: anything may come out of it
            reason = str(err).splitlines()[0][:300] if str(err) else ""
            raise BundleInvalid(f"{path.name} cannot be loaded: {type(err).__name__}: {reason}") from err

    def features(self) -> tuple[str, ...] | None:
        """A module does not name its columns."""
        return None

    def outputs(self, inputs: Sequence[Field], sample: Columns, _seen: Mapping[str, Seen]) -> tuple[Field, ...]:
        """Every tensor with a row for each of the sample's, as the module answers it; names are the keys of a dict."""
        self._feeds = self._match(Contract("draft", "0", tuple(inputs), ()), {})
        fields = []
        for name, answer in self._answer(sample).items():
            dtype = str(answer.dtype)
            if answer.ndim and answer.shape[0] == sample.rows and dtype in DTYPES:
                shape = tuple(int(size) for size in answer.shape[1:] if size != 1)
                fields.append(Field(re.sub(r"[^A-Za-z0-9_]+", "_", str(name)), dtype, shape))
        if not fields:
            raise ContractInvalid(
                "the module answers no tensor with one row for each of the input's",
                path="outputs",
                help="let forward return a tensor, or a tuple or a dict of tensors, whose first axis is the batch",
            )
        return tuple(fields)

    def plans(
        self, contract: Contract, order: Mapping[str, Sequence[str]], _seen: Mapping[str, Seen], _sample: Columns
    ) -> Sequence[ConversionPlan]:
        """One, with the module's own dtypes."""
        self._feeds = self._match(contract, order)
        self._names = tuple(field.name for field in contract.outputs)
        return (ConversionPlan("as it is"),)

    def convert(self, _plan: ConversionPlan) -> Conversion:
        """By torch's exporter."""
        torch = require("torch")
        require("onnxscript")
        feeds, names = self._feeds, list(self._names)
        example = {name: self._tensor(fields, EXAMPLE_ROWS) for name, fields in feeds.items()}
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                flat = _flatten(self._module(*example.values()))
            except Exception as err:  # the author's module may raise anything
                raise BundleInvalid(f"the module fails on an example made from the contract: {_line(err)}") from err
            keys = names if len(flat) == len(names) else list(flat)
            batch = torch.export.Dim("rows")
            program: Any = self._program
            quiet = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
            logging.getLogger("torch.onnx").setLevel(logging.ERROR)
            try:
                with quiet[0], quiet[1]:
                    exported = torch.onnx.export(
                        program if program is not None else self._module,
                        () if program is not None else tuple(example.values()),
                        dynamo=True,
                        input_names=list(feeds),
                        output_names=keys,
                        dynamic_shapes=None if program is not None else tuple({0: batch} for _ in feeds),
                        opset_version=graph.OPSETS[""],
                        verbose=False,
                    )
            except Exception as err:  # the exporter raises whatever it meets
                raise BundleInvalid(
                    f"torch cannot export the module: {_line(err)}",
                    help="torch.onnx.export(..., dynamo=True, report=True) says more",
                ) from err
        model = exported.model_proto
        _without_traces(model)
        return Conversion(model, "", {name: tuple(field.name for field in fields) for name, fields in feeds.items()})

    def _match(self, contract: Contract, order: Mapping[str, Sequence[str]]) -> dict[str, tuple[Field, ...]]:
        fields = {field.name: field for field in contract.inputs}
        if self._program is not None:
            names = list(self._program.graph_signature.user_inputs)
        else:
            parameters = inspect.signature(self._module.forward).parameters.values()
            plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
            names = [item.name for item in parameters if item.kind in plain and item.default is inspect.Parameter.empty]
        if order:
            return {name: tuple(fields[each] for each in order.get(name, (name,)) if each in fields) for name in names}
        if len(names) == 1:
            return {names[0]: contract.inputs}
        if set(names) == set(fields):
            return {name: (fields[name],) for name in names}
        if len(names) == len(fields):
            return {name: (field,) for name, field in zip(names, contract.inputs, strict=True)}
        raise ContractInvalid(
            f"forward takes {', '.join(names)}, and the contract has {len(fields)} inputs",
            path="inputs",
            help=f"say which fields each takes: --bind {names[0] if names else 'x'}=FIELD,…",
        )

    def _tensor(self, fields: Sequence[Field], rows: int, columns: Columns | None = None) -> Any:
        """The module's own tensor for the fields: [rows, *shape] of one, [rows, fields] of several scalars."""
        torch = require("torch")
        parts = [_values(columns, f) if columns is not None else np.full((rows, *f.shape), _example(f)) for f in fields]
        if any(part.dtype == object for part in parts):
            raise ContractInvalid("a torch module takes numbers, not text", path=f"inputs.{fields[0].name}")
        array = parts[0] if len(parts) == 1 else np.stack([part.reshape(rows) for part in parts], axis=1)
        if array.ndim == 1:
            array = array.reshape(rows, 1)
        if len(parts) == 1 and fields[0].kind == "int":
            return torch.from_numpy(array.astype(np.int64))
        if len(parts) == 1 and fields[0].kind == "bool":
            return torch.from_numpy(array.astype(np.bool_))
        floats = [item.dtype for item in self._module.parameters() if item.is_floating_point()]
        return torch.from_numpy(array.astype(np.float64)).to(floats[0] if floats else torch.float32)

    def answers(self, columns: Columns, _binding: Binding, outputs: Sequence[Port]) -> Mapping[str, Array]:
        """The module itself, without gradients, on the CPU."""
        flat = list(self._answer(columns).values())
        return {port.name: flat[index] for index, port in enumerate(outputs)}

    def _answer(self, columns: Columns) -> dict[str, Array]:
        given = [self._tensor(fields, columns.rows, columns) for fields in self._feeds.values()]
        with require("torch").no_grad():
            try:
                return {name: answer.numpy() for name, answer in _flatten(self._module(*given)).items()}
            except Exception as err:  # the author's module may raise anything
                raise BundleInvalid(
                    f"the module fails on a row that the contract allows: {_line(err)}",
                    help="tighten the contract (enum, minimum, maximum, nullable), or give rows with --golden DATA",
                ) from err

    def felt(self, _columns: Columns) -> Array | None:
        """Nothing: a network is smooth, and computes in the types that it was made in."""
        return None

    def undecided(self, _columns: Columns, _tolerance: float) -> Mask | None:
        """A module's own labels, where it gives any, are compared as they are."""
        return None


def _values(columns: Columns, field: Field) -> Array:
    """A field's numbers; NaN for null where the module takes it as a float."""
    values = columns[field.name]
    if field.nullable and field.kind in ("int", "bool") and columns.nulls(field.name).any():
        values = values.astype(np.float64)
        values[columns.nulls(field.name)] = np.nan
    return values


def _example(field: Field) -> Any:
    """A legal number: the middle of the range, so that an index stays inside its table."""
    if field.enum is not None:
        return np.dtype(field.dtype).type(field.enum[0])
    low = field.minimum if field.minimum is not None else 0
    return np.dtype(field.dtype).type(low if field.maximum is None else (low + field.maximum) / 2)


def _flatten(answer: Any) -> dict[str, Any]:
    if isinstance(answer, Mapping):
        return dict(answer)
    if isinstance(answer, list | tuple):
        return {f"output_{index}": item for index, item in enumerate(answer)}
    return {"output": answer}


def _without_traces(model: Any) -> None:
    """Drop what the exporter notes about the author's source files: paths of one machine, and no part of the model."""
    del model.metadata_props[:]
    for part in (model.graph, *model.functions):
        for node in part.node:
            del node.metadata_props[:]
            node.doc_string = ""
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info, *model.graph.initializer):
        if hasattr(value, "metadata_props"):
            del value.metadata_props[:]
    del model.graph.metadata_props[:]
    model.doc_string = model.graph.doc_string = ""


def _line(err: BaseException) -> str:
    text = str(err).strip()
    return f"{type(err).__name__}: {text.splitlines()[0][:300] if text else ''}"
