"""How a source is recognised, and which class knows it.

    scikit-learn, XGBoost, LightGBM objects and pickles    sklearn_source
    boosters of LightGBM, and their files                  lightgbm_source
    ONNX files and models                                  onnx_source
    torch modules and exported programs                    torch_source
    module:Class                                           python_source
    any of them as it is (`--as python`)                   wrapping

Loading a pickle, a torch module or a Python class runs code of whoever wrote it: pack only what you trust.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fivefold.core.errors import BundleInvalid
from fivefold.packing.booster_files import estimator_of
from fivefold.packing.lightgbm_source import LightgbmSource
from fivefold.packing.loading import SUFFIXES, Loaded, find, inside, is_model, read
from fivefold.packing.onnx_source import OnnxSource
from fivefold.packing.python_source import ENTRY, PythonSource
from fivefold.packing.sklearn_source import SklearnSource
from fivefold.packing.source_model import SourceModel, Unconverted
from fivefold.packing.torch_source import TorchSource
from fivefold.packing.wrapping import WrappedSource


@dataclass(frozen=True)
class Warned:
    """A source and what its loader warned of."""

    source: SourceModel | PythonSource | WrappedSource
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class SourceOptions:
    """How a source is read: `wrap` keeps the model as it is (`--as python`), `key` names the model where a file holds
    several, `trust` are the types that a skops file may make."""

    wrap: bool = False
    key: str | None = None
    trust: tuple[str, ...] = ()


def recognise(source: Any, reading: SourceOptions | None = None) -> Warned:
    """The source model behind a path, `module:Class`, a class, or a model object. Raises `BundleInvalid`."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = _recognise(source, reading or SourceOptions())
    texts = dict.fromkeys(
        str(item.message).splitlines()[0] for item in caught if issubclass(item.category, UserWarning)
    )
    return Warned(model, tuple(texts))


def portable(source: Any) -> Any:
    """The source as it can be handed to another process: classes and ONNX models become what packing reads of them."""
    if isinstance(source, type) and callable(getattr(source, "predict", None)):
        return PythonSource.of_class(source)
    if type(source).__module__.partition(".")[0] == "onnx" and hasattr(source, "SerializeToString"):
        return source.SerializeToString()
    return source


def _recognise(source: Any, reading: SourceOptions) -> SourceModel | PythonSource | WrappedSource:
    if isinstance(source, PythonSource):
        return source
    if isinstance(source, bytes):
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
    if {cls.__module__.partition(".")[0] for cls in type(model).__mro__} & {"torch", "onnx"}:
        _only_models(reading, f"a {type(model).__name__}")
    return WrappedSource(None, model)


def _file(path: Path, reading: SourceOptions) -> SourceModel | PythonSource | WrappedSource:
    place = find(path)
    if place.way == "onnx":
        _only_models(reading, "an ONNX file")
        return OnnxSource.load(place.path)
    if place.way == "torch":
        _only_models(reading, "a torch file")
        return TorchSource.load(place.path)
    if not reading.wrap:
        return _object(read(place, reading.key, reading.trust).model)
    # A booster's own file is loaded as what it was saved from, which a conversion has no need of.
    booster = place.way in ("xgboost", "lightgbm")
    return WrappedSource(Loaded(None, place.path, place.way) if booster else read(place, reading.key, reading.trust))


def _only_models(reading: SourceOptions, what: str) -> None:
    if reading.wrap:
        raise BundleInvalid(
            f"{what} is not wrapped in Python: it is packed as it is",
            help="leave --as python out; or write module:Class that runs it in predict(columns)",
        )


def _object(model: Any) -> SourceModel:
    roots = {cls.__module__.partition(".")[0] for cls in type(model).__mro__}
    if "torch" in roots:
        return TorchSource(model)
    if "onnx" in roots:
        return OnnxSource(model.SerializeToString(), "the model")
    if roots & {"xgboost", "lightgbm"} and type(model).__name__ == "Booster":
        if "xgboost" not in roots:
            return LightgbmSource(model)
        model = estimator_of(model)
    if roots & {"sklearn", "xgboost", "lightgbm"} or hasattr(model, "get_params"):
        return SklearnSource(model)
    sentence = f"a {type(model).__module__}.{type(model).__qualname__} is not a model that packing can convert"
    fix = "give a fitted scikit-learn, XGBoost, LightGBM or torch model, an ONNX file, or module:Class"
    raise (Unconverted if is_model(model) else BundleInvalid)(sentence, help=fix)
