"""Runs a Python class that came with its bundle.

The code runs with this process's rights: bundles of unknown origin are opened with public keys only. What the class
needs to import from outside the bundle is left to the environment that it is served in.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import shutil
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.bundle.frame import FrameColumn, default_layout, frame
from fivefold.core.bundle.manifest import MODEL_DIRECTORY
from fivefold.core.columns import Array, Columns, Nulls
from fivefold.core.errors import BundleInvalid, FivefoldError, first_line
from fivefold.core.fields.field import Field
from fivefold.core.runtime.devices import OWN_CODE
from fivefold.core.runtime.model_code import PACKAGE, fence, from_outside
from fivefold.core.runtime.packages import check_packages
from fivefold.core.runtime.runner import fold

if TYPE_CHECKING:
    import pandas as pd

_COUNT = itertools.count()


class ModelInputs(dict[str, Array]):
    """The columns that a model is asked with: field name to array of shape [rows, *field.shape], the model's own.

    Where a row is null, a float holds NaN and every other dtype the field's `null_value`; `nulls` tells which those
    are, also where that value is legal itself. `frame()` gives the same rows as the data frame that the model was
    trained on, with null as that frame had it.
    """

    def __init__(self, columns: Columns, layout: Sequence[FrameColumn]) -> None:
        super().__init__((name, np.array(columns[name])) for name in columns)
        self._columns = columns
        self._layout = layout

    @cached_property
    def nulls(self) -> dict[str, Nulls]:
        """Of every field where it is null: bool, the shape of its array."""
        return {name: np.array(self._columns.nulls(name)) for name in self._columns}

    def frame(self) -> pd.DataFrame:
        """The rows under the manifest's `frame`: its columns, their names, dtypes and missing values.

        Without one, the fields under their own names: an integer or boolean that may be null in pandas' nullable dtype
        (`Int64`, `boolean`), text and arrays as objects, null in text as None. Needs pandas.
        """
        return frame(self._columns, self._layout)


class PythonRunner:
    """A class `module:Class` from the bundle's model/, made without arguments, with `predict(columns) -> columns`.

    `predict` gets `ModelInputs`, a dict of field name to array (its own copies) that also knows the nulls and the rows
    as a data frame, and gives a mapping of output field to array or list; one call at a time. The packages that the
    manifest names have to be installed. The verified files lie in a private directory as long as the runner lives, so
    the class finds what it was packed with beside `__file__`. The module is imported below a package name of its own:
    two bundles never share a module, and a module of the bundle imports its neighbours relatively. The code runs with
    this process's rights: open bundles of unknown origin with public keys only.
    """

    foreseeable = False
    serial = True
    device = OWN_CODE

    def __init__(self, bundle: Bundle) -> None:
        entry = bundle.manifest.entry
        assert entry is not None  # the manifest refuses a Python bundle without one
        check_packages(bundle.manifest.packages)
        self._fields = bundle.contract.outputs
        layout = bundle.manifest.frame
        self._layout = default_layout(bundle.contract.inputs) if layout is None else layout
        fence()
        self._package = f"{PACKAGE}{bundle.digest[:12]}_{next(_COUNT)}"
        directory = tempfile.mkdtemp(prefix="fivefold-model-")
        self._end = weakref.finalize(self, _forget, self._package, directory)
        self._lock = threading.Lock()
        try:
            _materialise(bundle, Path(directory))
            with _recursion_limit():
                self._model = _make(self._package, Path(directory), entry)
        except BaseException:
            self._end()
            raise

    def run(self, columns: Columns) -> Mapping[str, Array]:
        """The answers for at least one row, one call at a time."""
        given = ModelInputs(columns, self._layout)
        with self._lock:
            if self._model is None:
                raise RuntimeError("the scorer is closed")
            try:
                with _recursion_limit():
                    # What it gave is read before the next call, which may write to the same memory.
                    return self._read(self._model.predict(given), columns.rows)
            except FivefoldError as err:
                # One that the model met elsewhere: its code and path say nothing about this request.
                raise RuntimeError(f"the model raised {type(err).__name__}") from err

    def _read(self, answers: Any, rows: int) -> dict[str, Array]:
        if not isinstance(answers, Mapping):
            raise TypeError(f"predict gave {type(answers).__name__}, not a mapping of output field to array")
        return {
            field.name: fold(_array(answers[field.name], field), rows, field.shape)
            for field in self._fields
            if field.name in answers
        }

    def close(self) -> None:
        """Forget the module and remove its files, after the call that runs."""
        with self._lock:
            self._model = None
            self._end()


@contextlib.contextmanager
def _recursion_limit() -> Iterator[None]:
    """Undo a lower limit that model code leaves behind: it holds for everybody in the process."""
    limit = sys.getrecursionlimit()
    try:
        yield
    finally:
        if sys.getrecursionlimit() < limit:
            sys.setrecursionlimit(limit)


def _array(values: Any, field: Field) -> Array:
    """A plain array of the scorer's own: no subclass, no memory of the model's, no text that is more than text."""
    if np.ma.is_masked(values):
        raise TypeError(f"predict gave masked values in {field.name!r}; what lies below a mask is no answer")
    text = field.kind in ("string", "bytes")
    # numpy's own guess for text, a fixed-width dtype, would drop trailing zero bytes.
    array = np.array(values, object) if text and not isinstance(values, np.ndarray) else np.array(values)
    if array.dtype == object and not _TEXT.issuperset(map(type, array.ravel().tolist())):
        flat = array.reshape(-1)
        flat[:] = [_plain(value) for value in flat.tolist()]
    return array


_TEXT = frozenset((str, bytes))


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return str.__str__(value)
    return bytes(memoryview(value)) if isinstance(value, bytes) else value


def _materialise(bundle: Bundle, directory: Path) -> None:
    for name in bundle.names():
        if name.startswith(MODEL_DIRECTORY):
            place = directory / name.removeprefix(MODEL_DIRECTORY)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(bundle.read(name))


def _make(package: str, directory: Path, entry: str) -> Any:
    module_name, _, class_name = entry.partition(":")
    inside = f"{module_name.replace('.', '/')}.py"
    path = MODEL_DIRECTORY + (inside if (directory / inside).exists() else f"{inside[:-3]}/__init__.py")
    root = ModuleType(package)
    root.__path__ = [str(directory)]
    sys.modules[package] = root
    importlib.invalidate_caches()
    try:
        module = importlib.import_module(f"{package}.{module_name}")
        model = getattr(module, class_name)()
    except BaseException as err:
        if from_outside(err):
            raise
        reason = f"{type(err).__name__}: {err}"
        missing = err.name.partition(".")[0] if isinstance(err, ModuleNotFoundError) and err.name else ""
        help = None
        if missing and any((directory / place).exists() for place in (missing, f"{missing}.py")):
            help = f"a module of the bundle imports its neighbours relatively: from . import {missing}"
        raise BundleInvalid(f"{entry} cannot be made: {reason}", path=path, help=help) from err
    try:
        callable_there = callable(getattr(model, "predict", None))
    except BaseException as err:
        if from_outside(err):
            raise
        raise BundleInvalid(f"{entry} has no method predict: {first_line(err)}", path=path) from err
    if not callable_there:
        raise BundleInvalid(f"{entry} has no method predict", path=path)
    return model


def _forget(package: str, directory: str) -> None:
    inside = f"{package}."
    for name in [name for name in sys.modules if name == package or name.startswith(inside)]:
        del sys.modules[name]
    shutil.rmtree(directory, ignore_errors=True)
