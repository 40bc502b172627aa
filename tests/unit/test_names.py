"""One name for one thing: no two classes, no two files, and no file and folder of the package share a name; nor do two
classes of the load tests, where a peer is a program of its own.

Whoever reads a name in an error, a log or an import then knows where it stands. What may share a name all the same is
listed with its reason and its places; another place is a new double.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "services" / "fivefold"

COMMANDS = "commands"
"""A command's module is named as the command that people type, which often is named as what it works on."""

Doubles = dict[str, set[str]]

FILES: dict[str, tuple[str, set[str]]] = {
    "bundle": ("the folder is the bundle's parts, the module the whole", {"core/bundle", "core/bundle/bundle.py"}),
    "contract": (
        "the folder is the contract's parts, the module the whole",
        {"core/contract", "core/contract/contract.py"},
    ),
    "settings": (
        "one frozen class for each workload, found under the same name in every room",
        {
            "batch/plan/settings.py",
            "core/settings.py",
            "delivery/settings.py",
            "guard/settings.py",
            "online/settings.py",
            "stream/settings.py",
        },
    ),
    "evolution": (
        "what fits what, which is pure, and what follows from it for callers",
        {"core/evolution", "evolution"},
    ),
    "local": ("what runs on one machine: what all share, and what serving adds", {"local", "online/local"}),
}

CLASSES: dict[str, tuple[str, set[str]]] = {}


def files() -> Doubles:
    """The names of modules and packages that stand for several, with their places."""
    found: Doubles = defaultdict(set)
    for path in PACKAGE.rglob("*.py"):
        place = path.relative_to(PACKAGE)
        if place.name == "__init__.py" and place.parent.name:
            found[place.parent.name].add(str(place.parent))
        elif not place.name.startswith("__") and place.parent.name != COMMANDS:
            found[place.stem].add(str(place))
    return {name: places for name, places in found.items() if len(places) > 1}


def classes() -> Doubles:
    """The names of classes that are defined in several modules, with their places."""
    tests = ROOT / "loadtest"
    measuring = (path for path in tests.rglob("*.py") if tests / "peers" not in path.parents)
    return _doubled_classes(PACKAGE, PACKAGE.rglob("*.py")) | _doubled_classes(tests, measuring)


def _doubled_classes(root: Path, modules: Iterable[Path]) -> Doubles:
    found: Doubles = defaultdict(set)
    for path in modules:
        for node in ast.parse(path.read_bytes()).body:
            if isinstance(node, ast.ClassDef):
                found[node.name].add(str(path.relative_to(root)))
    return {name: places for name, places in found.items() if len(places) > 1}


KINDS = pytest.mark.parametrize(
    ("doubles", "exceptions"), [(files, FILES), (classes, CLASSES)], ids=["files", "classes"]
)


@KINDS
def test_no_name_stands_for_two_things(doubles, exceptions) -> None:
    """A name that is taken already is no name for something else."""
    new = {name: sorted(places - exceptions.get(name, ("", set()))[1]) for name, places in doubles().items()}

    assert not {name: places for name, places in new.items() if places}


@KINDS
def test_no_exception_outlives_its_double(doubles, exceptions) -> None:
    """What has been renamed leaves the table."""
    there = doubles()

    assert not {name: places for name, (_, places) in exceptions.items() if places != there.get(name)}
