"""What a pickled model needs beside itself: installed distributions with their versions, and modules of its author's.

Found by reading the pickle once more and noting every module that it names. Holding the versions against what is
installed where the model is served is left to `fivefold.core.runtime.packages`.
"""

from __future__ import annotations

import ast
import contextlib
import io
import os
import pickle
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from fivefold.core.errors import BundleInvalid, first_line
from fivefold.packing.libraries import require

_SKIP = ("__pycache__", ".git", ".venv", ".ipynb_checkpoints")
_ALWAYS = {"sklearn": ("sklearn", "joblib", "numpy", "scipy"), "xgboost": ("numpy", "scipy"), "lightgbm": ("numpy",)}


class _Names(pickle.Unpickler):
    """Unpickles and notes the modules of what the pickle names."""

    def __init__(self, raw: bytes) -> None:
        super().__init__(io.BytesIO(raw))
        self.modules: set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        """The named object, as ever."""
        found = super().find_class(module, name)
        # A class may be named by another module than the one that defines it: both have to be there.
        self.modules.update((module, getattr(found, "__module__", None) or module))
        return found


def modules(model: Any) -> frozenset[str]:
    """The modules that a pickle of the model names. Raises `BundleInvalid` where it cannot be pickled."""
    try:
        names = _Names(require("cloudpickle").dumps(model))
        names.load()
    except Exception as err:  # pickling runs the author's __reduce__
        raise BundleInvalid(
            f"the {type(model).__name__} cannot be saved and loaded again: {first_line(err)}",
            help="take open files, locks and the like out of it before saving it",
        ) from err
    return frozenset(names.modules)


def versions(names: Iterable[str]) -> dict[str, str]:
    """The installed distributions of the modules and their versions, sorted by name."""
    tops = {name.partition(".")[0] for name in names}
    for root, more in _ALWAYS.items():
        if root in tops:
            tops.update(more)
    known = metadata.packages_distributions()
    found = {}
    for top in tops - set(sys.stdlib_module_names):
        for distribution in known.get(top, ())[:1]:
            found[distribution] = metadata.version(distribution)
    return dict(sorted(found.items()))


def own(names: Iterable[str]) -> dict[str, Path]:
    """The author's own modules among them, by top-level name: the module's file or the package's folder.

    Raises `BundleInvalid` for a module without a file, such as the running script.
    """
    known = metadata.packages_distributions()
    out: dict[str, Path] = {}
    waiting = sorted({name.partition(".")[0] for name in names})
    while waiting:
        top = waiting.pop()
        if top in out or top in sys.stdlib_module_names or top in known or top == "fivefold":
            continue
        place = _place(top)
        out[top] = place
        waiting += sorted(_neighbours(place) - set(out))
    return out


def _place(top: str) -> Path:
    module = sys.modules.get(top)
    file = getattr(module, "__file__", None)
    if top == "__main__" or (file is None and not getattr(module, "__path__", None)):
        raise BundleInvalid(
            f"the model needs the module {top!r}, which has no file to take along",
            help="move what it needs into a module of its own beside the script, and import it from there",
        )
    if file is None:  # a package without __init__.py
        return Path(next(iter(module.__path__)))  # type: ignore[union-attr]  # a namespace package has a path
    path = Path(file)
    if path.suffix != ".py":
        raise BundleInvalid(
            f"the model needs the module {top!r}, which is compiled ({path.name}) and belongs to no installed package",
            help="install it as a package",
        )
    return path.parent if path.name == "__init__.py" else path


def _neighbours(place: Path) -> set[str]:
    """The modules beside a module or package that it imports by their full names."""
    root = place.parent
    found = set()
    for path in [place] if place.is_file() else sorted(place.rglob("*.py")):
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):
            continue  # it was imported, or is none of the model's
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            for name in names:
                top = name.partition(".")[0]
                if (root / f"{top}.py").is_file() or (root / top / "__init__.py").is_file():
                    found.add(top)
    return found


@contextlib.contextmanager
def apart(places: Mapping[str, Path]) -> Iterator[None]:
    """While it holds, what lies where the model was trained is out of reach as it is on a server: the author's modules
    and their neighbours, the folder that this process stands in. What a bundle's own copies do not bring is missed."""
    here, path = Path.cwd(), list(sys.path)
    roots = {place.parent.resolve() for place in places.values()} | {here.resolve()}
    roots = {root for root in roots if not (root / "fivefold").is_dir()}
    tops = {name for name in set(sys.modules) if "." not in name and name != "__main__" and _root(name) in roots}
    tops.update(places)
    held = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in tops}
    sys.path[:] = [entry for entry in path if entry and Path(entry).resolve() not in roots]
    os.chdir(tempfile.gettempdir())
    try:
        yield
    finally:
        os.chdir(here)
        sys.path[:] = path
        sys.modules.update(held)


def _root(top: str) -> Path | None:
    """The folder that a loaded module or package lies in."""
    file = getattr(sys.modules[top], "__file__", None)
    if not file:
        return None
    path = Path(file).resolve()
    return path.parent.parent if path.name == "__init__.py" else path.parent


def files(places: Mapping[str, Path]) -> dict[str, bytes]:
    """The files of the author's modules, by their path below the folder that holds them."""
    out = {}
    for place in places.values():
        if place.is_file():
            out[place.name] = place.read_bytes()
            continue
        for path in sorted(place.rglob("*")):
            parts = path.relative_to(place).parts
            if path.is_file() and not any(part in _SKIP or part.startswith(".") for part in parts):
                out["/".join((place.name, *parts))] = path.read_bytes()
    return out
