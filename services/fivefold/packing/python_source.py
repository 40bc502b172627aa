"""Python classes as sources: the files of `module:Class` are found and copied, not imported.

The class runs only inside the bundle, where `fivefold.core.runtime.python_runner` imports it below a package name of
its own; its answers there are compared with those of a second instance, so that a class whose answers change from start
to start is refused.
"""

from __future__ import annotations

import ast
import re
import sys
import warnings
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, ClassVar

from fivefold.core.bundle.manifest import MODEL_DIRECTORY
from fivefold.core.errors import BundleInvalid, ContractInvalid
from fivefold.core.fields.field import Field

ENTRY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*\Z", re.ASCII)
_SHOWN = 8
"""Files that were not taken which a warning names."""

_SKIP = ("__pycache__", ".git", ".venv", ".ipynb_checkpoints")


class PythonSource:
    """The files behind `module:Class`: one module, or the whole top-level package that holds it."""

    kind: ClassVar[str] = "python"

    def __init__(self, entry: str, directory: Path) -> None:
        self.entry = entry
        self.facts = {"python": ".".join(map(str, sys.version_info[:3]))}
        module, _, name = entry.partition(":")
        top, *rest = module.split(".")
        spec = PathFinder.find_spec(top, [str(directory), *sys.path])
        if spec is None or spec.origin is None:
            raise BundleInvalid(
                f"there is no module {top!r} in {directory} or on Python's path",
                help="run pack in the folder that holds it",
            )
        place = Path(spec.origin)
        if spec.submodule_search_locations is None:
            if rest:
                raise BundleInvalid(f"{top!r} is a module and not a package, so there is no {module!r}")
            self.files = {f"{MODEL_DIRECTORY}{place.name}": place.read_bytes(), **_named_beside(place)}
            own, root = place, place.parent
        else:
            package = place.parent
            self.files = {
                f"{MODEL_DIRECTORY}{top}/{path.relative_to(package).as_posix()}": path.read_bytes()
                for path in sorted(package.rglob("*"))
                if path.is_file()
                and not any(part in _SKIP or part.startswith(".") for part in path.relative_to(package).parts)
            }
            own, root = package.joinpath(*rest), package.parent
            own = own / "__init__.py" if own.is_dir() else own.with_suffix(".py")
        if not own.is_file():
            raise BundleInvalid(f"there is no module {module!r}: {own.name} is missing in {own.parent}")
        if not any(isinstance(node, ast.ClassDef) and node.name == name for node in _parse(own).body) and not _imports(
            own, name
        ):
            raise BundleInvalid(f"{own.name} has no class {name!r}")
        self._no_absolute_neighbours(root)

    @classmethod
    def of_class(cls, model: type) -> PythonSource:
        """The source of a class that is imported already. Raises `BundleInvalid` for one without a file of its own."""
        module = sys.modules.get(model.__module__)
        place = getattr(module, "__file__", None)
        if place is None or model.__module__ == "__main__" or "." in model.__qualname__:
            raise BundleInvalid(
                f"the class {model.__qualname__!r} does not stand at the top of an importable module",
                help="move it into a module of its own and pack it as module:Class",
            )
        parents = model.__module__.count(".") + (Path(place).name == "__init__.py")
        return cls(f"{model.__module__}:{model.__name__}", Path(place).parents[parents])

    def _no_absolute_neighbours(self, root: Path) -> None:
        """A bundle's modules live below a package of their own: neighbours are imported relatively or not found."""
        for path, data in self.files.items():
            if not path.endswith(".py"):
                continue
            for node in ast.walk(ast.parse(data)):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                    names = [node.module]
                for name in names:
                    top = name.partition(".")[0]
                    inside = (root / f"{top}.py").is_file() or (root / top / "__init__.py").is_file()
                    if inside and "site-packages" not in root.parts and top not in sys.stdlib_module_names:
                        raise BundleInvalid(
                            f"line {getattr(node, 'lineno', 0)} imports {name!r} from the same folder by its full name",
                            path=path,
                            help="make both a package and import relatively: from . import " + name.rpartition(".")[2],
                        )

    def features(self) -> tuple[str, ...] | None:
        """A class says nothing about its inputs."""
        return None

    def outputs(self, _inputs: Any, _sample: Any, _seen: Any) -> tuple[Field, ...]:
        """A class says nothing about its outputs."""
        raise ContractInvalid(
            f"{self.entry} does not say what it answers, so no contract can be drafted",
            help="draft the inputs with `fivefold contract draft`, write the outputs by hand, pack with --contract",
        )


def _named_beside(module: Path) -> dict[str, bytes]:
    """The data files beside a module that it names, which come along; a warning names what is left behind."""
    named = {node.value for node in ast.walk(_parse(module)) if isinstance(node, ast.Constant)}
    beside = [path for path in sorted(module.parent.iterdir()) if path.is_file() and not path.name.startswith(".")]
    taken = [path for path in beside if path.name in named and path.suffix != ".py"]
    left = [path.name for path in beside if path not in taken and path != module]
    if left and "site-packages" not in module.parts:
        shown = ", ".join(left[:_SHOWN]) + (f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else "")
        also = f", with {', '.join(path.name for path in taken)}, which it names" if taken else ""
        warnings.warn(f"{module.name} is taken{also}; not taken from beside it: {shown}", stacklevel=2)
    return {f"{MODEL_DIRECTORY}{path.name}": path.read_bytes() for path in taken}


def _parse(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes())
    except (SyntaxError, ValueError) as err:
        raise BundleInvalid(f"{path.name} is not Python: {err}") from err


def _imports(path: Path, name: str) -> bool:
    """Whether the module brings the name in from elsewhere."""
    nodes = [node for node in _parse(path).body if isinstance(node, ast.ImportFrom | ast.Import | ast.Assign)]
    bound = [alias.asname or alias.name for node in nodes if not isinstance(node, ast.Assign) for alias in node.names]
    targets = [
        target.id
        for node in nodes
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    ]
    return name in bound or name in targets
