"""The text of the class that wraps a model's file in a bundle: a few lines of Python, the same for the same model.

It imports what the file needs and nothing of Fivefold's packing, since servers have no converters. What the model is
asked with is decided in `fivefold.packing.training`, what its answers are in `fivefold.packing.wrapping`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fivefold.packing.training import InputForm

MODULE = "wrapper"
CLASS = "Model"

_LOADS = {
    "pickle": ("import joblib", "joblib.load(path)"),
    "memory": ("import pickle", "pickle.loads(path.read_bytes())"),
    "skops": ("import skops.io", "skops.io.load(path, trusted=TRUSTED)"),
    "xgboost": ("import xgboost", "xgboost.Booster(model_file=str(path))"),
    "lightgbm": ("import lightgbm", "lightgbm.Booster(model_file=str(path))"),
}


@dataclass(frozen=True)
class Ask:
    """Where a field's answer is found: a method of the model, the item of its answer where that is a list or a tuple,
    the column of the item."""

    method: str
    item: int | None = None
    column: int | None = None


@dataclass(frozen=True)
class Opening:
    """How the file is opened: its name beside the wrapper, the way, the class that loads it (XGBoost's estimators,
    CatBoost), the path from what was loaded to the model, the author's own modules, the types skops may make."""

    file: str
    way: str
    loader: str = ""
    key: str = ""
    own: tuple[str, ...] = ()
    trusted: tuple[str, ...] = ()
    booster: str = ""


def text(opening: Opening, form: InputForm, asks: Mapping[str, Ask]) -> str:
    bounded = any(ask.method == "predict_proba" for ask in asks.values())
    parts = [
        f'"""The model in {opening.file}, asked with {form.describe()}.\n\n'
        'Written by `fivefold pack --as python`.\n"""\n',
        _imports(opening),
        f'FILE = "{opening.file}"\n',
        _constants(opening, form, asks),
        _model(opening, form),
        _plain(bounded=bounded),
        _MODULES if opening.own else "",
        _BOOSTER[opening.booster] if opening.booster else "",
    ]
    return "\n".join(part for part in parts if part)


def _imports(opening: Opening) -> str:
    own = ["import importlib", "import sys", "import threading"] if opening.own else []
    loads = f"import {opening.loader.partition('.')[0]}" if opening.loader else _LOADS[opening.way][0]
    standard = [*own, *(["import pickle"] if loads == "import pickle" else [])]
    library = {"import numpy as np", *([] if loads == "import pickle" else [loads])}
    if opening.booster:
        library.add(f"import {opening.booster.partition(' ')[0]}")
    if not opening.booster.startswith("xgboost") and opening.way in ("pickle", "memory"):
        library.discard("import lightgbm")  # its booster needs no more than itself
    return "\n".join([*sorted(standard), "from pathlib import Path", "", *sorted(library)]) + "\n"


def _constants(opening: Opening, form: InputForm, asks: Mapping[str, Ask]) -> str:
    lines = ["ANSWERS = {"]
    lines += [f'    "{name}": ("{ask.method}", {ask.item}, {ask.column}),' for name, ask in asks.items()]
    lines += ["}", '"""Output field: the method that gives it, the item of the answer, the column of the item."""']
    if form.kind == "array":
        lines += ["FIELDS = (", *(f'    "{field.name}",' for field in form.fields), ")"]
    if opening.own:
        lines += [f"OWN = {_tuple(opening.own)}", '"""Modules that came with the model."""']
    if opening.way == "skops":
        lines.append(f"TRUSTED = {list(opening.trusted)!r}")
    return "\n".join(lines) + "\n\n"


def _tuple(names: Sequence[str]) -> str:
    return "(" + "".join(f'"{name}", ' for name in names).rstrip() + ")"


def _model(opening: Opening, form: InputForm) -> str:
    if opening.loader:
        form_of_file = ', format="json"' if opening.way == "catboost" and opening.file.endswith(".json") else ""
        load = [f"self.model = {opening.loader}()", f"self.model.load_model(str(path){form_of_file})"]
    else:
        load = [f"self.model = {_LOADS[opening.way][1]}{opening.key}"]
    if opening.booster:
        load.append("self.model = Booster(self.model)")
    if opening.own:
        load = ["with Modules():", *(f"    {line}" for line in load)]
    body = "\n".join(f"        {line}" for line in load)
    return f'''class {CLASS}:
    """Contract columns in, contract columns out."""

    def __init__(self):
        path = Path(__file__).with_name(FILE)
{body}

    def predict(self, columns):
        """The model's answers to the rows of the columns."""
        methods = dict.fromkeys(method for method, _, _ in ANSWERS.values())
        answers = {{method: getattr(self.model, method)(self.rows(columns)) for method in methods}}
        return {{field: plain(answers[ask[0]], *ask) for field, ask in ANSWERS.items()}}

    def rows(self, columns):
        """{form.describe()[0].upper()}{form.describe()[1:]}."""
{_rows(form)}

'''


def _rows(form: InputForm) -> str:
    null = "None" if form.none else "np.nan"
    if form.kind == "frame":
        return "        return columns.frame()"
    sayable = form.dtype.startswith("float") or form.dtype == "object"
    if form.kind == "field":
        name = form.fields[0].name
        lines = [f'rows = columns["{name}"].astype("{form.dtype}")']
        if form.fields[0].nullable and sayable:
            lines.append(f'rows[columns.nulls["{name}"]] = {null}')
    else:
        lines = [
            f'rows = np.empty((len(columns[FIELDS[0]]), len(FIELDS)), "{form.dtype}")',
            "for index, name in enumerate(FIELDS):",
            "    rows[:, index] = columns[name]",
        ]
        if any(field.nullable for field in form.fields) and sayable:
            lines.append(f"    rows[columns.nulls[name], index] = {null}")
    return "\n".join(f"        {line}" for line in (*lines, "return rows"))


def _plain(*, bounded: bool) -> str:
    lines = [
        "def plain(answer, method, item, column):",
        '    """One item of a model\'s answer as an array, rows first."""',
        "    if item is not None:",
        "        answer = answer[item]",
        '    if hasattr(answer, "toarray"):',
        "        answer = answer.toarray()",
        "    array = np.asarray(answer)",
        "    if array.dtype == object and array.size and not isinstance(array.flat[0], (str, bytes)):",
        "        array = np.array(array.tolist())",
        "    if column is not None:",
        "        array = array.reshape(len(array), -1)[:, column]",
        "    return array",
    ]
    if bounded:
        lines[-1:] = [
            '    if method == "predict_proba" and array.dtype.kind == "f":',
            "        # Sums of probabilities may end a hair beyond their bounds.",
            "        array = np.where((array > 1) & (array < 1 + 1e-9), 1.0, array)",
            "        array = np.where((array < 0) & (array > -1e-9), 0.0, array)",
            "    return array",
        ]
    return "\n".join(lines) + "\n"


_MODULES = '''
class Modules:
    """While it holds, the modules that came with the model are found under their own names."""

    def __enter__(self):
        # One for all bundles of this process: each of them may bring modules of the same names.
        self.lock = vars(sys).setdefault("_fivefold_model_modules", threading.RLock())
        self.lock.acquire()
        self.others = self.taken()
        sys.path.insert(0, str(Path(__file__).parent))
        importlib.invalidate_caches()

    def __exit__(self, *_):
        sys.path.remove(str(Path(__file__).parent))
        self.taken()
        sys.modules.update(self.others)
        self.lock.release()

    def taken(self):
        """Take every module of these names out of the process's list."""
        names = [name for name in sys.modules if name.partition(".")[0] in OWN]
        return {name: sys.modules.pop(name) for name in names}
'''

_PROBABILITIES = '''
    def predict_proba(self, rows):
        """[rows, classes]; of two classes the booster gives the second one's."""
        values = np.asarray(self.ask(rows))
        return np.stack([1 - values, values], axis=1) if values.ndim == 1 else values

    def predict(self, rows):
        """The number of the likeliest class."""
        return self.predict_proba(rows).argmax(axis=1)
'''

_CLASS = '''
class Booster:
    """A booster with the methods of an estimator, which takes rows as they come."""

    def __init__(self, booster):
        self.booster = booster
'''

_XGBOOST = '''
    def ask(self, rows):
        """The booster's own answer, of all its trees."""
        matrix = xgboost.DMatrix(rows, feature_names=self.booster.feature_names, enable_categorical=True)
        return self.booster.predict(matrix)
'''

_LIGHTGBM = '''
    def ask(self, rows):
        """The booster's own answer."""
        return self.booster.predict(rows)
'''

_PREDICT = '''
    def predict(self, rows):
        """The booster's own answer."""
        return self.ask(rows)
'''

_BOOSTER = {
    "xgboost classes": _CLASS + _XGBOOST + _PROBABILITIES,
    "xgboost": _CLASS + _XGBOOST + _PREDICT,
    "lightgbm classes": _CLASS + _LIGHTGBM + _PROBABILITIES,
    "lightgbm": _CLASS + _LIGHTGBM + _PREDICT,
}
