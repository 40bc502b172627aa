"""A model's very file as a Python bundle: what it is asked with, what it answers, and the class that does both.

The model is loaded here once on its own, as the witness; the bundle loads its copy of the file with the generated class
(`fivefold.packing.wrapper`). Reading files is left to `fivefold.packing.loading`, the rows that a model takes to
`fivefold.packing.training`, what has to be installed to `fivefold.packing.distributions`.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fivefold.core.bundle.manifest import MODEL_DIRECTORY
from fivefold.core.columns import Array, Columns
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import BundleInvalid, ContractInvalid, FivefoldError, first_line
from fivefold.core.fields.field import Field
from fivefold.core.runtime.runner import fold
from fivefold.packing import answers as given_by
from fivefold.packing import distributions, measure, wrapper
from fivefold.packing.answers import WrappedAnswer, chief, drafted, ports
from fivefold.packing.bind import Bind, infer
from fivefold.packing.features import match
from fivefold.packing.graph import Port
from fivefold.packing.libraries import require
from fivefold.packing.loading import METHODS, Loaded, is_model, modules_of
from fivefold.packing.training import (
    InputForm,
    Layout,
    form_of_array,
    form_of_field,
    form_of_frame,
)
from fivefold.packing.wrapped_boosters import estimator_of, witness_of
from fivefold.packing.wrapper import Ask, Opening

_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+\-]*\Z")
_KINDS = {"sklearn": "scikit-learn", "xgboost": "xgboost", "lightgbm": "lightgbm", "catboost": "catboost"}
_PICKLED = ("pickle", "skops", "memory")
"""The ways that name classes of anybody's."""
_FEW = 8
_BIND = "X"


class WrappedSource:
    """One fitted model that stays as it is.

    `files`, `form` and `asks` are known after `prepare`. `packages` maps distributions to versions.
    """

    def __init__(self, loaded: Loaded | None, model: Any = None) -> None:
        self._raw = model if loaded is None else loaded.model
        self._opening, self.model, self._data = _opened(loaded, model)
        if not is_model(self.model):
            raise BundleInvalid(
                f"a {type(self.model).__module__}.{type(self.model).__qualname__} answers nothing: it has none of "
                f"{', '.join(METHODS)}",
                help="give a fitted model, or write module:Class with predict(columns)",
            )
        with modules_of(None if loaded is None else loaded.code):
            named = self._modules()
            own = distributions.own(named) if self._opening.way in _PICKLED else {}
        self.own = own
        self._own_files = distributions.files(own)
        self._own = tuple(sorted(own))
        module = wrapper.MODULE
        while module in own or f"{module}.py" == self._opening.file:
            module += "_"
        self.entry = f"{module}:{wrapper.CLASS}"
        self._opening = replace(self._opening, own=self._own)
        self._named = named - {name for name in named if name.partition(".")[0] in own}
        self.kind = _kind(self.model)
        self.facts = distributions.versions(self._named)
        self.notes = _notes(loaded, self._own)
        self._form: InputForm | None = None
        self._asks: dict[str, Ask] = {}
        self._contract: Contract | None = None

    def _modules(self) -> frozenset[str]:
        """The modules that the file names."""
        way = self._opening.way
        if way in _PICKLED:
            extra = {"pickle": {"joblib"}, "skops": {"skops"}, "memory": set[str]()}[way]
            return distributions.modules(self._raw) | extra | {"numpy"}
        loader = self._opening.loader.partition(".")[0] or way
        return frozenset({loader, "numpy"} | ({"sklearn"} if "XGB" in self._opening.loader else set()))

    # Describing and drafting

    def features(self) -> tuple[str, ...] | None:
        """The names of the columns that the model was fitted on, where it knows them."""
        return _feature_names(self.model)

    def outputs(self, rows: Columns, known: Layout) -> tuple[Field, ...]:
        """Output fields as the model answers: it is asked once, on rows that the drafted inputs allow."""
        contract = Contract("draft", "1", rows.fields, ())
        form = self._formed(contract, Bind(), rows, known)
        return drafted(self.model, self._answers(form, rows))

    # Packing

    def prepare(self, contract: Contract, bound: Bind, probe: Columns, known: Layout) -> None:
        """Find the form of the rows and the answers that the contract's outputs are."""
        form = self._formed(contract, bound, probe, known)
        unknown = [name for name in bound.inputs if name != _BIND]
        if unknown:
            raise ContractInvalid(
                f"--bind {unknown[0]}=…: neither {_BIND!r}, the rows of the model, nor an output field of the contract",
                help=f"the order of the model's features: --bind {_BIND}=FIELD,FIELD,…",
            )
        found = self._answers(form, probe.slice(0, _FEW))
        self._asks = _bound(contract, found, bound)
        self._form, self._contract = form, contract

    @property
    def files(self) -> dict[str, bytes]:
        """The bundle's files: the model as it is, the class that asks it, the author's modules."""
        assert self._form is not None  # prepare comes first
        module = self.entry.partition(":")[0]
        source = wrapper.text(self._opening, self._form, self._asks)
        own = {f"{MODEL_DIRECTORY}{path}": data for path, data in self._own_files.items()}
        return {
            **own,
            f"{MODEL_DIRECTORY}{self._opening.file}": self._data,
            f"{MODEL_DIRECTORY}{module}.py": source.encode(),
        }

    @property
    def frame(self) -> Layout | None:
        """The layout of the data frame that the model takes, where it takes one."""
        assert self._form is not None  # prepare comes first
        return self._form.layout if self._form.kind == "frame" else None

    @property
    def packages(self) -> dict[str, str]:
        """Distributions and versions that a server needs for this bundle."""
        more = {"pandas"} if self.frame is not None else set()
        return distributions.versions(self._named | more)

    def describe(self) -> tuple[str, ...]:
        """Sentences for the report."""
        assert self._form is not None  # prepare comes first
        needs = ", ".join(f"{name} {version}" for name, version in self.packages.items())
        return (*self.notes, f"the model is asked with {self._form.describe()}", f"servers need {needs}")

    def answers(self, columns: Columns) -> dict[str, Array]:
        """The model's own answers under the contract's outputs, to rows as training saw them."""
        assert self._form is not None  # prepare comes first
        assert self._contract is not None
        out = {}
        shapes = {field.name: field.shape for field in self._contract.outputs}
        given: dict[str, Any] = {}
        for name, wanted in self._asks.items():
            if wanted.method not in given:
                given[wanted.method] = self._asked(self._form, wanted.method, columns)
            array = given_by.item(given[wanted.method], wanted.item)
            if wanted.column is not None:
                array = array.reshape(len(array), -1)[:, wanted.column]
            out[name] = fold(array, columns.rows, shapes[name])
        return out

    def undecided(self, columns: Columns, tolerance: float) -> measure.Mask | None:
        """The rows on which the model's label hangs on rounding."""
        assert self._form is not None  # prepare comes first
        if not callable(getattr(self.model, "predict_proba", None)):
            return None
        try:
            answer = self._asked(self._form, "predict_proba", columns)
            several = answer if isinstance(answer, list) else [answer]  # one of each target
            ties = [measure.undecided(np.asarray(one), tolerance) for one in several]
        except (FivefoldError, ValueError):
            return None
        return np.asarray(np.any(ties, axis=0)) if all(len(tie) == columns.rows for tie in ties) else None

    def _asked(self, form: InputForm, method: str, columns: Columns) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return getattr(self.model, method)(form.rows(columns))
            except Exception as err:  # the author's model may raise anything on a legal row
                raise BundleInvalid(
                    f"the model's {method} fails on a row that the contract allows: {type(err).__name__}: "
                    f"{first_line(err)}",
                    help="tighten the contract (enum, minimum, maximum, nullable), or give rows with --golden DATA",
                ) from err

    def _formed(self, contract: Contract, bound: Bind, probe: Columns, known: Layout) -> InputForm:
        """The first form of rows in which the model answers."""
        first: BundleInvalid | None = None
        for form in self._forms(contract, bound, known):
            try:
                self._answers(form, probe.slice(0, _FEW))
            except BundleInvalid as err:
                first = first or err
                continue
            return form
        assert first is not None  # there is always a form
        raise first

    def _forms(self, contract: Contract, bound: Bind, known: Layout) -> Iterator[InputForm]:
        """The forms to try, the likeliest first."""
        model, names = self.model, self.features()
        only = contract.inputs[0] if len(contract.inputs) == 1 else None
        order = bound.inputs.get(_BIND)
        if only is not None and (_reads_text(model) or len(only.shape) > 1):
            yield form_of_field(only, model)
            return
        count = _feature_count(model)
        if names is None and count is None and order is None:
            fields: tuple[Field, ...] = contract.inputs
        else:
            features = match(contract, names, count, order)
            if features.block:
                field = features.fields[0]
                yield form_of_field(field, model)
                return
            fields = features.fields
        if only is not None and only.shape:
            yield form_of_field(only, model)
        if names is not None:
            yield form_of_frame(fields, names, known, model)
            return
        arrays = all(not field.shape for field in fields)
        texts = any(field.kind in ("string", "bytes") for field in fields)
        if arrays and not texts:
            yield form_of_array(fields, known, model)
        yield form_of_frame(fields, None, known, model)
        if arrays and texts:
            yield form_of_array(fields, known, model)
        if only is not None and not only.shape:
            yield form_of_field(only, model)

    def _answers(self, form: InputForm, columns: Columns) -> list[WrappedAnswer]:
        """Every answer that the model has for these rows; raises where its first method fails."""
        found: list[WrappedAnswer] = []
        failed: BundleInvalid | None = None
        for method in METHODS:
            if not callable(getattr(self.model, method, None)):
                continue
            try:
                found += given_by.answers(self.model, method, self._asked(form, method, columns), columns.rows)
            except BundleInvalid as err:
                failed = failed or err
                if method == "predict":
                    raise
        if not found:
            raise failed or BundleInvalid("the model gives no answer that a contract can hold")
        return found


def _bound(contract: Contract, found: Sequence[WrappedAnswer], bound: Bind) -> dict[str, Ask]:
    """Which answer gives each output field: of what the model is asked for first, else of everything that it has."""
    given = [Port(field.name, field.dtype, (None, *field.shape)) for field in contract.inputs]
    spoken = {name: (_spoken(source, found), column) for name, (source, column) in bound.outputs.items()}
    wanted = {source for source, _ in spoken.values()}
    first = [answer for answer in found if answer in chief(found) or answer.name in wanted]
    try:
        binding = infer(contract, given, ports(first), Bind({}, spoken))
    except ContractInvalid:
        binding = infer(contract, given, ports(found), Bind({}, spoken))
    by_name = {answer.name: answer for answer in found}
    return {
        item.field: Ask(by_name[item.model_output].method, by_name[item.model_output].item, item.column)
        for item in binding.outputs
    }


def _opened(loaded: Loaded | None, model: Any) -> tuple[Opening, Any, bytes]:
    """How the file is opened in the bundle, the model itself, and the file's bytes."""
    if loaded is None:
        witness, booster = witness_of(model)
        return Opening("model.pkl", "memory", booster=booster), witness, require("cloudpickle").dumps(model)
    data = loaded.path.read_bytes()
    name = loaded.path.name
    if not _SEGMENT.match(name) or len(MODEL_DIRECTORY + name) > 100 or name.endswith(".py"):
        name = "model" + "".join(suffix for suffix in loaded.path.suffixes[-2:] if _SEGMENT.match(suffix[1:]))
    if loaded.way == "xgboost" and not name.endswith((".json", ".ubj")):
        name += ".ubj" if data.startswith(b"{L") else ".json"
    if loaded.way == "catboost" and data.startswith(b"{") and not name.endswith(".json"):
        name += ".json"
    if loaded.way in ("xgboost", "lightgbm", "catboost"):
        estimator, loader = estimator_of(loaded)
        witness, booster = (estimator, "") if loader else witness_of(estimator)
        return Opening(name, loaded.way, loader=loader, booster=booster), witness, data
    witness, booster = witness_of(loaded.model)
    opening = Opening(name, loaded.way, key=loaded.key, trusted=loaded.trusted, booster=booster)
    return opening, witness, data


def _kind(model: Any) -> str:
    """The library that a model is of, or its class where that is of none."""
    model = getattr(model, "booster", model) if type(model).__module__.startswith("fivefold.") else model
    roots = [cls.__module__.partition(".")[0] for cls in type(model).__mro__]
    known = next((_KINDS[root] for root in roots if root in _KINDS), None)
    return known or type(model).__name__


def _notes(loaded: Loaded | None, own: Sequence[str]) -> tuple[str, ...]:
    notes = []
    if loaded is not None and loaded.key:
        notes.append(f"the model is {loaded.path.name}{loaded.key}")
    if own:
        notes.append(f"taken along, since the model needs them: the modules {', '.join(own)}")
    return tuple(notes)


def _feature_names(model: Any) -> tuple[str, ...] | None:
    if type(model).__module__.partition(".")[0] == "catboost":
        known = [str(name) for name in model.feature_names_ or ()]
        # Of an array the columns' numbers are the names.
        return tuple(known) if known and known != [str(index) for index in range(len(known))] else None
    first = model.steps[0][1] if getattr(model, "steps", None) else model
    for step in (model, first):
        try:
            names = getattr(step, "feature_names_in_", None)
        except Exception:  # noqa: S112 - a property of the author's own
            continue
        if names is not None and len(names):
            return tuple(str(name) for name in names)
    return None


def _feature_count(model: Any) -> int | None:
    first = model.steps[0][1] if getattr(model, "steps", None) else model
    for step in (model, first):
        count = getattr(step, "n_features_in_", None)
        if isinstance(count, int | np.integer):
            return int(count)
    return None


def _reads_text(model: Any) -> bool:
    first = model.steps[0][1] if getattr(model, "steps", None) else model
    return hasattr(first, "build_analyzer")


def _spoken(source: str, answers: Sequence[WrappedAnswer]) -> str:
    """The answer that a `--bind` means, which may be named by its method too."""
    names = {answer.name for answer in answers}
    if source in names:
        return source
    methods: Mapping[str, str] = {answer.method: answer.name for answer in reversed(answers)}
    also = {
        "probability": "predict_proba",
        "output_probability": "predict_proba",
        "output_label": "predict",
        "label": "predict",
        "prediction": "predict",
        "score": "decision_function",
        "variable": "predict" if "predict" in methods else "transform",
    }
    return methods.get(also.get(source, source), source)
