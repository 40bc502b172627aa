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
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from fivefold.core.bundle.binding import Binding
from fivefold.core.columns import Array, Columns
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import BundleInvalid
from fivefold.core.fields.field import Field
from fivefold.packing.frames import Seen
from fivefold.packing.graph import Port
from fivefold.packing.loading import SUFFIXES, Loaded, find, inside, is_model, read
from fivefold.packing.measure import Mask
from fivefold.packing.python_ import ENTRY, PythonSource

if TYPE_CHECKING:
    from fivefold.packing.wrapping import WrappedSource


class Unconverted(BundleInvalid):
    """No conversion came about, or none that gives the model's answers: the model may still be packed as it is."""


class Unrunnable(Unconverted):
    """What the converter wrote cannot be run here: the runtime lacks an operator for the types of this one way."""


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

    original: SourceModel | PythonSource | WrappedSource
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Reading:
    """How a source is read: `wrap` keeps the model as it is (`--as python`), `key` names the model where a file holds
    several, `trust` are the types that a skops file may make."""

    wrap: bool = False
    key: str | None = None
    trust: tuple[str, ...] = ()


def recognise(source: Any, reading: Reading | None = None) -> Warned:
    """The original behind a path, `module:Class`, a class, or a model object. Raises `BundleInvalid`."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        original = _recognise(source, reading or Reading())
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


def _recognise(source: Any, reading: Reading) -> SourceModel | PythonSource | WrappedSource:
    if isinstance(source, PythonSource):
        return source
    if isinstance(source, bytes):
        from fivefold.packing.onnx_ import OnnxSource

        _only_models(reading, "an ONNX model")
        return OnnxSource(source, "the model")
    if isinstance(source, str | Path):
        path = Path(source)
        if path.is_file():
            return _file(path, reading)
        if isinstance(source, str) and ENTRY.match(source):
            return PythonSource(source, Path.cwd())
        if path.is_dir():
            return _file(path, reading)
        raise BundleInvalid(
            f"there is no file {path}", help=f"give a model file ({', '.join(SUFFIXES)}) or module:Class"
        )
    _, model = inside(source, f"the {type(source).__name__}", reading.key)
    if isinstance(model, type) and callable(getattr(model, "predict", None)):
        return PythonSource.of_class(model)
    if not reading.wrap:
        return _object(model)
    from fivefold.packing.wrapping import WrappedSource

    if {cls.__module__.partition(".")[0] for cls in type(model).__mro__} & {"torch", "onnx"}:
        _only_models(reading, f"a {type(model).__name__}")
    return WrappedSource(None, model)


def _file(path: Path, reading: Reading) -> SourceModel | PythonSource | WrappedSource:
    place = find(path)
    if place.way == "onnx":
        from fivefold.packing.onnx_ import OnnxSource

        _only_models(reading, "an ONNX file")
        return OnnxSource.load(place.path)
    if place.way == "torch":
        from fivefold.packing.torch_ import TorchSource

        _only_models(reading, "a torch file")
        return TorchSource.load(place.path)
    if not reading.wrap:
        return _object(read(place, reading.key, reading.trust).model)
    from fivefold.packing.wrapping import WrappedSource

    # A booster's own file is loaded as what it was saved from, which a conversion has no need of.
    booster = place.way in ("xgboost", "lightgbm")
    return WrappedSource(Loaded(None, place.path, place.way) if booster else read(place, reading.key, reading.trust))


def _only_models(reading: Reading, what: str) -> None:
    if reading.wrap:
        raise BundleInvalid(
            f"{what} is not wrapped in Python: it is packed as it is",
            help="leave --as python out; or write module:Class that runs it in predict(columns)",
        )


def _object(model: Any) -> SourceModel:
    roots = {cls.__module__.partition(".")[0] for cls in type(model).__mro__}
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
    sentence = f"a {type(model).__module__}.{type(model).__qualname__} is not a model that packing can convert"
    fix = "give a fitted scikit-learn, XGBoost, LightGBM or torch model, an ONNX file, or module:Class"
    raise (Unconverted if is_model(model) else BundleInvalid)(sentence, help=fix)
