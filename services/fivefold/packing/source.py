"""What packing needs to know of a model in its author's hands, and how a source is recognised.

    ONNX file            onnx_       scikit-learn, XGBoost, LightGBM objects and pickles    sklearn_
    XGBoost, LightGBM    boost       torch modules and exported programs                    torch_
    files of their own               module:Class                                           python_

Loading a pickle, a torch module or a Python class runs code of whoever wrote it: pack only what you trust.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from fivefold.core.binding import Binding
from fivefold.core.columns import Array, Columns
from fivefold.core.contract import Contract, Field
from fivefold.core.errors import BundleInvalid
from fivefold.packing.frames import Seen
from fivefold.packing.graph import Port
from fivefold.packing.measure import Mask
from fivefold.packing.needs import need
from fivefold.packing.python_ import ENTRY, PythonSource

PICKLES = (".pkl", ".pickle", ".joblib", ".sav")
XGBOOST = (".ubj", ".json")
LIGHTGBM = (".txt", ".lgb")
TORCH = (".pt2", ".pt", ".pth")
SUFFIXES = (".onnx", *PICKLES, *XGBOOST, *LIGHTGBM, *TORCH)


@dataclass(frozen=True)
class Plan:
    """One way to convert a model, before it is gone: `name` is what people read of it, `options` are the source's."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Conversion:
    """A model in ONNX. `floats` is the float type that it computes in; `feeds` says which fields a model input takes
    where the converter knows, and the rest is inferred; `notes` are sentences for the report. `nulls` is the text that
    a string input gets for null, where that is not the field's `null_value`."""

    model: Any
    floats: str = ""
    feeds: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    nulls: Mapping[str, str] = field(default_factory=dict)


class SourceModel(Protocol):
    """A model as its author has it: what it is, its conversions to ONNX, and its own answers to compare them with.

    Python classes have neither and are a case of their own.
    """

    kind: ClassVar[str]

    @property
    def facts(self) -> Mapping[str, str]:
        """Libraries and their versions, for the bundle's `created_from`."""

    def features(self) -> tuple[str, ...] | None:
        """The names of the columns that the model was fitted on, in order, where it knows them."""

    def outputs(self, inputs: Sequence[Field], sample: Columns, seen: Mapping[str, Seen], /) -> tuple[Field, ...]:
        """The output fields that a drafted contract starts with, as the model's answers to `sample` show them: a few
        legal rows of the drafted `inputs`. `seen` is what the data holds (`fivefold.packing.frames`)."""

    def plans(
        self, contract: Contract, order: Mapping[str, Sequence[str]], seen: Mapping[str, Seen], sample: Columns, /
    ) -> Sequence[Plan]:
        """The conversions to try, the preferred one first; `order` is what the user bound, `seen` what the data holds,
        `sample` rows that the model will be measured with. Nothing is converted yet, but the contract's fields are
        matched with the model's features: `ContractInvalid` where they do not fit."""

    def convert(self, plan: Plan, /) -> Conversion:
        """Convert by one of `plans`, which comes first. Raises whatever the converter raises; `BundleInvalid` where the
        sentence is ours."""

    def answers(self, columns: Columns, binding: Binding, outputs: Sequence[Port], /) -> Mapping[str, Array]:
        """The original's answers under the names of the converted model's outputs, first axis = rows."""

    def undecided(self, columns: Columns, tolerance: float, /) -> Mask | None:
        """The rows on which the original's label hangs on rounding."""


@dataclass(frozen=True)
class Warned:
    """A source and what its loader warned of."""

    original: SourceModel | PythonSource
    warnings: tuple[str, ...]


def recognise(source: Any) -> Warned:
    """The original behind a path, `module:Class`, a class, or a model object. Raises `BundleInvalid`."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        original = _recognise(source)
    texts = dict.fromkeys(
        str(item.message).splitlines()[0] for item in caught if issubclass(item.category, UserWarning)
    )
    return Warned(original, tuple(texts))


def portable(source: Any) -> Any:
    """The source as it can be handed to another process: classes and ONNX models become what packing reads of them."""
    if isinstance(source, type) and callable(getattr(source, "predict", None)):
        return PythonSource.of_class(source)
    if type(source).__module__.partition(".")[0] == "onnx" and hasattr(source, "SerializeToString"):
        return source.SerializeToString()
    return source


def _recognise(source: Any) -> SourceModel | PythonSource:
    if isinstance(source, PythonSource):
        return source
    if isinstance(source, bytes):
        from fivefold.packing.onnx_ import OnnxSource

        return OnnxSource(source, "the model")
    if isinstance(source, str | Path):
        path = Path(source)
        if path.is_file():
            return _file(path)
        if isinstance(source, str) and ENTRY.match(source):
            return PythonSource(source, Path.cwd())
        if path.is_dir():
            raise BundleInvalid(
                f"{path} is a folder", help=f"give a model file ({', '.join(SUFFIXES)}) or module:Class"
            )
        raise BundleInvalid(
            f"there is no file {path}", help=f"give a model file ({', '.join(SUFFIXES)}) or module:Class"
        )
    return _object(source)


def _file(path: Path) -> SourceModel | PythonSource:
    suffix = path.suffix.lower()
    if suffix == ".onnx":
        from fivefold.packing.onnx_ import OnnxSource

        return OnnxSource.load(path)
    if suffix in PICKLES:
        return _object(unpickle(path))
    if suffix in (*XGBOOST, *LIGHTGBM):
        from fivefold.packing import boost

        return _object(boost.load_xgboost(path) if suffix in XGBOOST else boost.load_lightgbm(path))
    if suffix in TORCH:
        from fivefold.packing.torch_ import TorchSource

        return TorchSource.load(path)
    raise BundleInvalid(f"cannot tell what {path.name} is", help=f"known files: {', '.join(SUFFIXES)}; or module:Class")


def unpickle(path: Path) -> Any:
    """Load a pickle or joblib file. This runs the code inside it. Raises `BundleInvalid`."""
    joblib = need("joblib")
    try:
        return joblib.load(path)
    except ModuleNotFoundError as err:
        raise BundleInvalid(
            f"{path.name} needs the module {err.name!r}, which is not installed",
            help="pack where the model was trained, or install what it was trained with",
        ) from err
    except Exception as err:  # unpickling runs the author's code: anything may come out of it
        raise BundleInvalid(
            f"{path.name} cannot be loaded: {type(err).__name__}: {str(err).splitlines()[0] if str(err) else ''}",
            help="a class of a training script cannot be unpickled elsewhere: move it into a module",
        ) from err


def _object(model: Any) -> SourceModel | PythonSource:
    roots = {cls.__module__.partition(".")[0] for cls in type(model).__mro__}
    if isinstance(model, type) and callable(getattr(model, "predict", None)):
        return PythonSource.of_class(model)
    if "torch" in roots:
        from fivefold.packing.torch_ import TorchSource

        return TorchSource(model)
    if "onnx" in roots:
        from fivefold.packing.onnx_ import OnnxSource

        return OnnxSource(model.SerializeToString(), "the model")
    if roots & {"xgboost", "lightgbm"} and type(model).__name__ == "Booster":
        from fivefold.packing import boost

        return boost.of_booster(model)
    if roots & {"sklearn", "xgboost", "lightgbm"} or hasattr(model, "get_params"):
        from fivefold.packing.sklearn_ import SklearnSource

        return SklearnSource(model)
    raise BundleInvalid(
        f"a {type(model).__module__}.{type(model).__qualname__} is not a model that packing knows",
        help="give a fitted scikit-learn, XGBoost, LightGBM or torch model, an ONNX file, or module:Class",
    )
