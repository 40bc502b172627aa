"""The demo model: gradient boosting on real patient data, honestly measured, packed like anybody's model.

The data is the Breast Cancer Wisconsin (Diagnostic) set that scikit-learn ships: 569 fine needle aspirates of breast
masses, each described by thirty numbers computed from a digitised image of the cell nuclei (W. N. Street, W. H. Wolberg
and O. L. Mangasarian, 1993). It shows the product and diagnoses nobody.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import BundleInvalid
from fivefold.packing.libraries import require

NAME = "breast-cancer"
TREES = 100

_MEASURES = (
    # name, unit, what it is, and the largest plausible mean, standard error and worst value
    ("radius", "image unit", "distance from a nucleus's centre to points on its perimeter", (60, 10, 80)),
    ("texture", "grey level", "standard deviation of the grey values inside a nucleus", (100, 15, 120)),
    ("perimeter", "image unit", "length of a nucleus's outline", (400, 60, 600)),
    ("area", "square image unit", "area of a nucleus", (6000, 1500, 10000)),
    ("smoothness", "1", "local variation of the radius lengths", (0.5, 0.1, 0.7)),
    ("compactness", "1", "perimeter squared over area, minus 1", (1, 0.5, 3)),
    ("concavity", "1", "severity of the outline's concave portions", (1, 1, 3)),
    ("concave_points", "1", "number of the outline's concave portions, scaled as in the source", (0.6, 0.2, 0.8)),
    ("symmetry", "1", "difference of lengths on both sides of the longest axis", (1, 0.3, 1.5)),
    ("fractal_dimension", "1", "coastline approximation of the outline's dimension, minus 1", (0.3, 0.1, 0.6)),
)
_STATISTICS = (
    ("mean_{}", "mean over the nuclei of the image"),
    ("{}_error", "standard error over the nuclei of the image"),
    ("worst_{}", "mean of the three largest values in the image"),
)


def contract() -> Contract:
    """The demo's contract: thirty float64 fields in the data set's order, a label and two probabilities.

    Maxima are two to four times the largest value of the data set: they refuse a slipped decimal point, not an unusual
    patient. The source gives no scale, so lengths are in its image units.
    """
    inputs = [
        {
            "name": pattern.format(name),
            "dtype": "float64",
            "minimum": 0,
            "maximum": highs[index],
            "unit": unit,
            "description": f"{what}; {statistic}",
        }
        for index, (pattern, statistic) in enumerate(_STATISTICS)
        for name, unit, what, highs in _MEASURES
    ]
    return Contract.from_json(
        {
            "format": 1,
            "name": NAME,
            "version": "1.0.0",
            "description": "Is a breast mass malignant? Thirty features of the cell nuclei in a digitised image of a "
            "fine needle aspirate. A demonstration on a public research set, not a medical device.",
            "inputs": inputs,
            "outputs": [
                {
                    "name": "label",
                    "dtype": "string",
                    "enum": ["malignant", "benign"],
                    "description": "the more probable class",
                },
                {
                    "name": "probability",
                    "dtype": "float32",
                    "shape": [2],
                    "labels": ["benign", "malignant"],
                    "minimum": 0,
                    "maximum": 1,
                    "description": "probability of each class, as the model estimates it",
                },
            ],
        }
    )


def demo(directory: str | Path, *, force: bool = False, say: Callable[[str], None] | None = None) -> Path:
    """Train and pack the demo model into `directory`; a demo bundle that stands there and is whole is left as it is.

    `say` gets the lines for people; `force` trains anew. Raises `BundleInvalid`, also where the directory holds
    something else.
    """
    target = Path(directory)
    say = say or (lambda _line: None)
    wanted = contract()
    if not force and (standing := _standing(target, wanted)) is not None:
        accuracy = standing.manifest.created_from.get("holdout_accuracy")
        say(f"{target} holds the demo model already (holdout accuracy {accuracy}); --force trains it anew")
        return target
    if not force and (other := _other(target)):
        raise BundleInvalid(f"{target} holds another bundle: {other}", help="name another directory, or --force")
    model, inputs, truth = _train()
    accuracy = round(float(model.score(inputs, truth)), 4)
    say(
        f"trained gradient boosting, {TREES} trees, on scikit-learn's breast cancer set: accuracy {accuracy:.1%} on "
        f"{len(truth)} held-out cases"
    )
    from fivefold.packing.assembly import pack

    facts = {"data": "scikit-learn breast cancer (569 x 30)", "holdout_accuracy": accuracy, "holdout_rows": len(truth)}
    report = pack(model, wanted, target, golden_from=inputs, facts=facts, force=True)
    for line in report.lines():
        say(line)
    return target


def events(file: str | Path) -> int:
    """Write every patient of the data set as a line that `fivefold log append` reads, and give their number.

    The key is `patient-N`, by the row, and the value the record that the demo's contract takes.
    """
    names = [field.name for field in contract().inputs]
    data = require("sklearn.datasets").load_breast_cancer().data
    lines = (
        json.dumps({"key": f"patient-{number}", "value": dict(zip(names, row, strict=True))})
        for number, row in enumerate(data.tolist())
    )
    Path(file).write_text("".join(f"{line}\n" for line in lines))
    return len(data)


def _standing(target: Path, wanted: Contract) -> Bundle | None:
    if not target.exists():
        return None
    try:
        found = Bundle.open(target)
    except BundleInvalid:
        return None
    return found if found.name == NAME and found.contract.digest == wanted.digest else None


def _other(target: Path) -> str:
    """The bundle of another model that stands there; empty for none, and for a demo that is older or damaged."""
    try:
        found = Bundle.open(target) if target.exists() else None
    except BundleInvalid:
        return ""
    return f"{found.name}@{found.version}" if found is not None and found.name != NAME else ""


def _train() -> tuple[Any, Any, Any]:
    """The fitted model, and the rows and labels that it has not seen."""
    frame = require("sklearn.datasets").load_breast_cancer(as_frame=True)
    labels = frame.target_names[frame.target]
    split = require("sklearn.model_selection").train_test_split(
        frame.data, labels, test_size=0.2, random_state=0, stratify=labels
    )
    train, held_out, train_labels, held_out_labels = split
    model = require("sklearn.ensemble").GradientBoostingClassifier(n_estimators=TREES, random_state=0)
    return model.fit(train, train_labels), held_out, held_out_labels
