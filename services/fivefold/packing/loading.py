"""Model files as their authors saved them, told apart by what is in them and not by their suffix alone.

`read` gives the one model of a file or a folder, and how a file is loaded again; what kind of model it is, is left to
`fivefold.packing.recognise`. Loading a pickle runs the code in it.
"""

from __future__ import annotations

import contextlib
import importlib
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fivefold.core.errors import BundleInvalid, first_line
from fivefold.packing.booster_files import load_lightgbm, load_xgboost
from fivefold.packing.libraries import require

PICKLES = (".pkl", ".pickle", ".joblib", ".sav", ".dill")
XGBOOST = (".ubj", ".json", ".xgb")
LIGHTGBM = (".txt", ".lgb")
CATBOOST = (".cbm", ".cb")
TORCH = (".pt2", ".pt", ".pth")
SKOPS = (".skops",)
COMPRESSED = (".gz", ".bz2", ".xz", ".lzma", ".z", ".zlib", ".lz4")
SUFFIXES = (".onnx", *PICKLES, *XGBOOST, *LIGHTGBM, *CATBOOST, *SKOPS, *TORCH)

METHODS = ("predict", "predict_proba", "decision_function", "score_samples", "transform", "kneighbors")
"""What makes an object a model: it has at least one of these."""

_PICKLED = "pickle"
_MAGIC = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x5d\x00\x00", b"\x04\x22\x4d\x18")
_ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
_DEEP = 3
_MISSING = re.compile(r"Can't get attribute '(?P<name>[^']+)' on <module '(?P<module>[^']+)'")


@dataclass(frozen=True)
class Loaded:
    """One model out of a file.

    `way` says how the file is loaded: `pickle`, `skops`, `xgboost`, `lightgbm` or `catboost`; `key` leads from what was
    loaded to the model (`["model"]`, `.best`), `code` is a folder of modules that belong to the file, and `trusted` are
    the types that skops was allowed to make.
    """

    model: Any
    path: Path
    way: str
    key: str = ""
    code: Path | None = None
    trusted: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelFile:
    """A file, what it is, and the folder of modules that it needs."""

    path: Path
    way: str
    code: Path | None = None
    trusted: Sequence[str] = field(default=())


def find(path: Path) -> ModelFile:
    """The model file at a path, which may be an MLflow model's folder. Raises `BundleInvalid`."""
    if path.is_dir():
        return _mlflow(path)
    way = _by_content(path) or _by_suffix(path)
    if way is None:
        known = ", ".join(SUFFIXES)
        raise BundleInvalid(f"cannot tell what {path.name} is", help=f"known files: {known}; or module:Class")
    return ModelFile(path, way)


def _by_suffix(path: Path) -> str | None:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    while len(suffixes) > 1 and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    last = suffixes[-1] if suffixes else ""
    table = ((PICKLES, _PICKLED), (XGBOOST, "xgboost"), (LIGHTGBM, "lightgbm"), (CATBOOST, "catboost"))
    for group, way in (*table, (SKOPS, "skops"), (TORCH, "torch"), ((".onnx",), "onnx")):
        if last in group:
            return way
    return None


def _by_content(path: Path) -> str | None:
    """What the first bytes say, where they say it without doubt; the suffix decides among the rest."""
    with path.open("rb") as file:
        head = file.read(4096)
    if head.startswith((*_MAGIC, *_ZLIB)):
        return _PICKLED
    if head[:1] == b"\x80" and len(head) > 1 and 2 <= head[1] <= 9 and path.suffix.lower() not in TORCH:
        return _PICKLED
    if head.startswith(b"CBM1"):
        return "catboost"
    if head.startswith(b"PK\x03\x04"):
        return "skops" if path.suffix.lower() in SKOPS else None
    if head.startswith((b"tree\n", b"tree\r\n")) and b"version=" in head[:64]:
        return "lightgbm"
    if head.startswith(b"{L\x00\x00\x00\x00\x00\x00\x00\x07learner"):
        return "xgboost"
    if head.lstrip()[:1] == b"{":
        if b'"learner"' in head:
            return "xgboost"
        if b'"oblivious_trees"' in head or b'"model_info"' in head or b'"features_info"' in head:
            return "catboost"
    return None


def read(place: ModelFile, key: str | None = None, trust: Sequence[str] = ()) -> Loaded:
    """The one model in a file. `key` names it where there are several; `trust` are types that skops may make.

    Raises `BundleInvalid`. The file runs its code; what it warns of is left to the caller.
    """
    path = place.path
    loaders = {
        _PICKLED: lambda: unpickle(path),
        "skops": lambda: _skops(path, trust),
        "xgboost": lambda: _boosted(path, "xgboost"),
        "lightgbm": lambda: _boosted(path, "lightgbm"),
        "catboost": lambda: _catboost(path),
    }
    with modules_of(place.code):
        held = loaders[place.way]()
        found = Loaded(held, path, place.way, code=place.code, trusted=tuple(trust) if place.way == "skops" else ())
        return found if place.way not in (_PICKLED, "skops") else _one(found, held, key)


@contextlib.contextmanager
def modules_of(folder: Path | None) -> Iterator[None]:
    """While it holds, the modules of a folder are found first."""
    if folder is None:
        yield
        return
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def unpickle(path: Path) -> Any:
    """Load a pickle or joblib file, compressed or not. This runs the code inside it. Raises `BundleInvalid`."""
    joblib = require("joblib")
    try:
        return joblib.load(path)
    except Exception as err:  # unpickling runs the author's code: anything may come out of it
        raise _unpicklable(path.name, err) from err


def _unpicklable(name: str, err: Exception) -> BundleInvalid:
    """Why a pickle cannot be loaded here, and what to do."""
    text = first_line(err)
    train = "pack where the model was trained, or install what it was trained with"
    if isinstance(err, ModuleNotFoundError):
        module = str(err.name)
        if module.startswith("numpy._core"):
            message = f"{name} was saved under numpy 2, and numpy {require('numpy').__version__} is installed"
            return BundleInvalid(message, help="pip install 'numpy>=2', or save the model again under this version")
        top = module.partition(".")[0]
        if top != module and top in sys.modules:
            version = getattr(sys.modules[top], "__version__", "")
            message = f"{name} was saved with another version of {top}: {top} {version} has no module {module!r}"
            return BundleInvalid(message.replace("  ", " "), help=train)
        return BundleInvalid(f"{name} needs the module {module!r}, which is not installed", help=train)
    match = _MISSING.search(str(err))
    # This process's own script, which the file took for the training script, is named after its module here.
    script = getattr(sys.modules["__main__"], "__spec__", None)
    if match and match["module"] in ("__main__", "__mp_main__", getattr(script, "name", "")):
        return BundleInvalid(
            f"{name} needs {match['name']!r}, which stood in the training script itself",
            help=f"move {match['name']} into a module of its own, import it from there where you train, save the model "
            "again; or save it with cloudpickle.dump, which takes the code along",
        )
    if match:
        message = f"{name} needs {match['name']!r}, which the module {match['module']!r} of this place does not have"
        return BundleInvalid(message, help=train)
    if "unsupported pickle protocol" in str(err):
        return BundleInvalid(f"{name} was saved by a newer Python: {text}", help="pack with the Python that saved it")
    if isinstance(err, EOFError) or "truncated" in str(err) or "exhausted" in str(err):
        return BundleInvalid(f"{name} is cut off: {text or 'it ends too early'}", help="copy or save the file again")
    return BundleInvalid(
        f"{name} cannot be loaded: {type(err).__name__}: {text}",
        help="a file of other versions, or of no model: pack where it was trained, with what it was trained with",
    )


def _skops(path: Path, trust: Sequence[str]) -> Any:
    """A skops file, which makes only types that are known or were named."""
    try:
        skops = importlib.import_module("skops.io")
    except ImportError as err:
        raise BundleInvalid("this needs skops, which is not installed", help="pip install skops") from err
    try:
        unknown = [name for name in skops.get_untrusted_types(file=path) if name not in trust]
        if unknown:
            options = " ".join(f"--trust {name}" for name in unknown)
            raise BundleInvalid(
                f"{path.name} makes objects of types that skops does not know: {', '.join(unknown)}",
                help=f"if you know them, say so: {options}",
            )
        return skops.load(path, trusted=list(trust))
    except BundleInvalid:
        raise
    except Exception as err:  # zip, JSON and import errors of whatever the file is
        raise BundleInvalid(f"{path.name} cannot be loaded: {type(err).__name__}: {first_line(err)}") from err


def _boosted(path: Path, library: str) -> Any:
    return load_xgboost(path) if library == "xgboost" else load_lightgbm(path)


def _catboost(path: Path) -> Any:
    try:
        catboost = importlib.import_module("catboost")
    except ImportError as err:
        raise BundleInvalid("this needs catboost, which is not installed", help="pip install catboost") from err
    kind = "json" if path.read_bytes()[:1] == b"{" else "cbm"
    try:
        model = catboost.CatBoost()
        model.load_model(str(path), format=kind)
        if not len(model.classes_):
            return model
        model = catboost.CatBoostClassifier()
        model.load_model(str(path), format=kind)
        return model
    except Exception as err:  # CatBoost's own error
        raise BundleInvalid(f"{path.name} is not a model of CatBoost", help="save it with model.save_model") from err


def is_model(value: Any) -> bool:
    """Whether an object can be asked: no class, no table, no array."""
    if isinstance(value, type) or type(value).__module__.partition(".")[0] in ("pandas", "numpy", "polars", "pyarrow"):
        return False
    roots = {cls.__module__.partition(".")[0] for cls in type(value).__mro__}
    return bool({"torch", "onnx"} & roots) or any(callable(getattr(value, name, None)) for name in METHODS)


def _one(found: Loaded, held: Any, key: str | None) -> Loaded:
    """The one model in what was loaded."""
    chosen, model = inside(held, found.path.name, key)
    return replace(found, model=model, key=chosen)


def inside(held: Any, name: str, key: str | None = None) -> tuple[str, Any]:
    """The one model in an object, and the expression that leads to it: itself, or inside of containers and holders.

    Warns of what else is there and is not used. Raises `BundleInvalid` where there are several and `key` names none of
    them; what holds no model is given back.
    """
    if key is None and is_model(held):
        return "", held
    there = dict(_models(held))
    named = {_spoken(path): path for path in there}
    if key is not None:
        if key not in named:
            known = f"there: {', '.join(named)}" if named else "there is none in it"
            raise BundleInvalid(f"{name} has no model under --key {key}", help=known)
        return _chosen(named[key], there, held, name)
    if len(there) == 1:
        return _chosen(next(iter(there)), there, held, name)
    if there:
        listed = ", ".join(f"{spoken} ({type(there[path]).__name__})" for spoken, path in named.items())
        raise BundleInvalid(
            f"{name} holds several models: {listed}",
            help="join steps that belong together into one Pipeline and save that, or name the one to pack: "
            f"--key {next(iter(named))}",
        )
    if callable(getattr(held, "fit_predict", None)) or callable(getattr(held, "fit", None)):
        if hasattr(held, "best_params_") and not hasattr(held, "best_estimator_"):
            message = f"the {type(held).__name__} has found its best parameters and kept no model"
            raise BundleInvalid(f"{name}: {message}", help="fit it with refit=True, or pack a model fitted with them")
        message = f"a {type(held).__name__} answers no new rows: it has none of {', '.join(METHODS)}"
        raise BundleInvalid(f"{name}: {message}", help="fit a model that has predict on its labels")
    return "", held


def _chosen(path: str, there: Mapping[str, Any], held: Any, name: str) -> tuple[str, Any]:
    beside = [_spoken(other) for other in _members(held) if not f"{path}.".startswith((f"{other}.", f"{other}["))]
    if beside:
        listed = ", ".join(beside[:8]) + (", …" if len(beside) > 8 else "")
        warnings.warn(f"{name} holds more than the model, which is not used: {listed}", stacklevel=2)
    return path, there[path]


def _models(held: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    for step, value in _members(held).items():
        if is_model(value):
            yield path + step, value
        elif depth < _DEEP:
            yield from _models(value, path + step, depth + 1)


def _members(held: Any) -> dict[str, Any]:
    """What lies directly inside, under the expression that leads there."""
    if isinstance(held, dict):
        return {f"[{key!r}]": value for key, value in held.items() if isinstance(key, str | int)}
    if isinstance(held, list | tuple) and len(held) <= 64:
        return {f"[{index}]": value for index, value in enumerate(held)}
    root = type(held).__module__.partition(".")[0]
    foreign = root in ("numpy", "pandas", "scipy", "sklearn") or (root in sys.stdlib_module_names and root != "types")
    if foreign or isinstance(held, type) or not hasattr(held, "__dict__"):
        return {}
    return {f".{name}": value for name, value in vars(held).items() if name.isidentifier()}


def _spoken(path: str) -> str:
    """`["a"].b[0]` as people write it: `a.b.0`."""
    return ".".join(part.strip("'\"") for part in re.findall(r"\[([^\]]+)\]|\.(\w+)", path) for part in part if part)


_FLAVORS = ("sklearn", "xgboost", "lightgbm", "catboost", "onnx", "pytorch")


def _mlflow(folder: Path) -> ModelFile:
    """The model file in an MLflow model's folder, by its MLmodel file; MLflow itself is not needed."""
    listing = folder / "MLmodel"
    if not listing.is_file():
        raise BundleInvalid(
            f"{folder} is a folder and no MLflow model (it has no file MLmodel)",
            help=f"give a model file ({', '.join(SUFFIXES)}) or module:Class",
        )
    try:
        flavors = require("yaml").safe_load(listing.read_text("utf-8"))["flavors"]
        assert isinstance(flavors, dict)
    except BundleInvalid:
        raise
    except Exception as err:  # YAML's own errors, or another form
        raise BundleInvalid(f"{listing} cannot be read: {first_line(err)}") from err
    flavor = next((name for name in _FLAVORS if isinstance(flavors.get(name), dict)), None)
    if flavor is None:
        names = ", ".join(map(str, flavors)) or "none"
        raise BundleInvalid(
            f"{folder.name} is an MLflow model of flavor {names}, which has no file that packing can load",
            help=f"flavors that it can: {', '.join(_FLAVORS)}; for any other write module:Class that loads the folder",
        )
    facts = flavors[flavor]
    given = facts.get("pickled_model") or facts.get("data") or facts.get("model_data")
    path = (folder / str(given)).resolve()
    if not given or folder.resolve() not in path.parents or not path.exists():
        raise BundleInvalid(f"{listing} names the file {given!r}, which is not in the folder", help="copy it whole")
    if flavor == "pytorch":
        path = path / "model.pth" if path.is_dir() else path
    if path.is_dir():
        inside = [entry for entry in sorted(path.iterdir()) if entry.is_file()]
        if len(inside) != 1:
            raise BundleInvalid(f"{path} holds {len(inside)} files, not one model")
        path = inside[0]
    found = find(path)
    way = "skops" if facts.get("serialization_format") == "skops" else found.way
    code = facts.get("code")
    return ModelFile(path, way, (folder / str(code)).resolve() if code else None)
