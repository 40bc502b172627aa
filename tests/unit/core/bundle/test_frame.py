"""The data frame that a Python model was trained on, and what such a model is told of null."""

import math
from importlib import metadata

import numpy as np
import pandas as pd
import pytest
from tests.support.bundles import contract, field, write_sum

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.bundle.frame import FrameColumn, default_layout, frame
from fivefold.core.bundle.manifest import Manifest
from fivefold.core.columns import Columns
from fivefold.core.errors import BundleInvalid, ContractError
from fivefold.core.readers.records import Records
from fivefold.core.runtime.scorer import Scorer

CONTRACT = contract(
    [
        field("i", "int16", nullable=True, null_value=-1),
        field("u", "uint8", nullable=True, null_value=255),
        field("b", "bool", nullable=True, null_value=False),
        field("s", "string", nullable=True, null_value=""),
        field("f", "float32", nullable=True),
        field("y", "bytes", nullable=True, null_value=""),
        field("p", "int64"),
        field("a", "int8", shape=[2], nullable=True, null_value=0),
    ],
    [field("z")],
)
ROWS = [
    {"i": None, "u": None, "b": None, "s": None, "f": None, "y": None, "p": 1, "a": [None, 0]},
    {"i": -1, "u": 255, "b": False, "s": "", "f": 0.5, "y": "", "p": 2**53 + 1, "a": [0, 7]},
]
NA, NAN = "NA", "NaN"


def columns(rows=ROWS):
    return Records(CONTRACT.inputs).read(rows).accept()


def shown(values):
    """The values of a column with each sort of missing value by its name."""
    return [NA if v is pd.NA else NAN if isinstance(v, float) and math.isnan(v) else v for v in values]


@pytest.mark.parametrize(
    ("name", "dtype", "null", "made", "values"),
    [
        ("i", "Int64", "nan", "Int64", [NA, -1]),
        ("i", "Int8", "nan", "Int8", [NA, -1]),
        ("i", "float64", "nan", "float64", [NAN, -1.0]),
        ("i", "float32", "none", "float32", [NAN, -1.0]),
        ("i", "int64", "nan", "float64", [NAN, -1.0]),
        ("i", "Float64", "nan", "Float64", [NA, -1.0]),
        ("i", "object", "none", "object", [None, -1]),
        ("i", "object", "na", "object", [NA, -1]),
        ("u", "UInt8", "nan", "UInt8", [NA, 255]),
        ("u", "Int8", "nan", "UInt8", [NA, 255]),
        ("b", "boolean", "nan", "boolean", [NA, False]),
        ("b", "bool", "nan", "object", [NAN, False]),
        ("b", "object", "none", "object", [None, False]),
        ("b", "object", "nan", "object", [NAN, False]),
        ("b", "float64", "nan", "float64", [NAN, 0.0]),
        ("s", "object", "nan", "object", [NAN, ""]),
        ("s", "object", "none", "object", [None, ""]),
        ("s", "string", "none", "string", [NA, ""]),
        ("s", "str", "none", str(pd.array(["a"], dtype="str").dtype), [NAN, ""]),
        ("f", "float64", "nan", "float64", [NAN, 0.5]),
        ("f", "Float32", "nan", "Float32", [NA, 0.5]),
        ("f", "object", "none", "object", [None, 0.5]),
        ("y", "object", "none", "object", [None, b""]),
        ("p", "int64", "nan", "int64", [1, 2**53 + 1]),
        ("p", "int32", "nan", "int64", [1, 2**53 + 1]),
        ("p", "Int64", "nan", "Int64", [1, 2**53 + 1]),
    ],
)
def test_null_is_what_the_dtype_has_for_it(name, dtype, null, made, values):
    """By the dtype of the training frame, under its name for the column; null_value itself stays a value."""
    found = frame(columns(), [FrameColumn(name, "A column", dtype, null)])

    assert list(found.columns) == ["A column"]
    assert str(found.dtypes.iloc[0]) == made
    assert shown(found.iloc[:, 0].tolist()) == values


def test_categories_keep_their_codes():
    """Null has no code, values have those of the training frame's categories, whichever of them the rows hold."""
    layout = [
        FrameColumn("s", "s", "category", categories=("b", "", "a"), ordered=True),
        FrameColumn("b", "b", "category", categories=(False, True)),
        FrameColumn("f", "f", "category", categories=(0.1, 0.5)),
    ]
    found = frame(columns([*ROWS, ROWS[0] | {"f": 0.1, "b": True, "s": "a"}]), layout)

    assert [found[name].cat.codes.tolist() for name in "sbf"] == [[-1, 1, 2], [-1, 0, 1], [-1, 1, 0]]
    assert found["s"].cat.ordered
    assert not found["b"].cat.ordered
    assert found["s"].cat.categories.tolist() == ["b", "", "a"]


def test_a_value_outside_of_the_categories_is_refused():
    """pandas would make it null without a word."""
    with pytest.raises(ContractError) as refused:
        frame(columns(), [FrameColumn("i", "i", "category", categories=(1, 2))])

    assert refused.value.code == "not_in_enum"
    assert refused.value.path == "inputs.i[1]"


def test_arrays_are_objects():
    """A row's array is an array; null in one of its elements is NaN where it holds numbers."""
    found = frame(columns(), [FrameColumn("a", "a", "object")])["a"]

    assert found.dtype == object
    assert [value.dtype for value in found] == [np.float64, np.float64]
    assert shown(found[0]) == [NAN, 0.0]
    assert shown(found[1]) == [0.0, 7.0]


def test_the_default_layout_loses_nothing():
    """Fields under their own names, in dtypes that tell null from every value; no rows give the same dtypes."""
    layout = default_layout(CONTRACT.inputs)
    found = frame(columns(), layout)

    assert [column.dtype for column in layout] == [
        *("Int16", "UInt8", "boolean", "object", "float32", "object", "int64", "object")
    ]
    assert list(found.columns) == [*"iubsfypa"]
    assert shown([found[name].tolist()[0] for name in "iubsfyp"]) == [NA, NA, NA, None, NAN, None, 1]
    empty = frame(columns([]), layout)
    assert (len(empty), empty.dtypes.tolist()) == (0, found.dtypes.tolist())


def test_the_frame_is_the_caller_s_own():
    """A model that writes into its frame does not write into the rows."""
    given = Columns(CONTRACT.inputs[6:7], {"p": np.array([1, 2])}, 2)
    found = frame(given, default_layout(given.fields))
    found["p"] = found["p"] * 2
    found.loc[0, "p"] = 9

    assert given["p"].tolist() == [1, 2]


# ------------------------------------------------------------------------------------------------ bundles

MODEL = b'''
import numpy as np


class Model:
    """Says what it was told of null, and what its frame holds."""

    def predict(self, inputs):
        assert isinstance(inputs, dict)
        frame = inputs.frame()
        rows = [repr(row) for row in frame.astype(object).values.tolist()]
        text = [f"{list(frame.columns)} {list(map(str, frame.dtypes))} {row}" for row in rows]
        for mask in inputs.nulls.values():
            mask |= True
        return {"b": inputs["b"], "told": inputs.nulls["b"] ^ True, "text": text}


class Nulls:
    def predict(self, inputs):
        return {"b": inputs["b"], "told": inputs.nulls["b"], "text": [str(sorted(inputs.nulls))] * len(inputs["b"])}
'''
INPUTS = [field("b", "bool", nullable=True, null_value=False, default=None), field("s", "string", default="x")]
OUTPUTS = [field("b", "bool"), field("told", "bool"), field("text", "string")]


def written(directory, entry="model:Nulls", answer=None, **more):
    """A bundle of one of the classes."""
    told = answer or {"b": False, "told": True, "text": "['b', 's']"}
    common = {"contract": contract(INPUTS, OUTPUTS), "runtime": "python", "golden": ([{}], [told]), "tolerance": 0.0}
    return Bundle.write(directory, model={"model/model.py": MODEL}, entry=entry, **common | more)


def asked(bundle, *records):
    with Scorer.open(bundle) as scorer:
        return scorer.score(Records(bundle.contract.inputs).read(list(records)).accept()).to_records()


def test_a_python_model_is_told_of_null(tmp_path):
    """The arrays hold null_value under null, as ever, and `nulls` tells the two apart."""
    found = asked(written(tmp_path / "bundle"), {"b": False}, {"b": None}, {}, {"b": True})

    assert [(row["b"], row["told"]) for row in found] == [(False, False), (False, True), (False, True), (True, False)]


@pytest.mark.parametrize(
    ("layout", "text"),
    [
        (None, "['b', 's'] ['boolean', 'object'] [<NA>, 'x']"),
        (
            [FrameColumn("s", "The S", "object"), FrameColumn("b", "The B", "object", "none")],
            "['The S', 'The B'] ['object', 'object'] ['x', None]",
        ),
        ([FrameColumn("b", "s", "float64")], "['s'] ['float64'] [nan]"),
        (
            [FrameColumn("s", "c", "category", categories=("x", "y"), ordered=True)],
            "['c'] ['category'] ['x']",
        ),
    ],
)
def test_a_python_model_gets_the_frame_of_its_training(tmp_path, layout, text):
    """As the manifest says, or as the contract does; the layout survives the way through bundle.json."""
    bundle = written(tmp_path / "bundle", "model:Model", {"b": False, "told": False, "text": text}, frame=layout)

    assert Bundle.open(tmp_path / "bundle").manifest.frame == (None if layout is None else tuple(layout))
    assert asked(bundle, {})[0]["text"] == text


@pytest.mark.parametrize(
    ("layout", "where"),
    [
        ([FrameColumn("c", "c", "object")], "frame[0].field"),
        ([FrameColumn("b", "b", "object"), FrameColumn("b", "c", "object")], "frame[1].field"),
        ([FrameColumn("b", "c", "object"), FrameColumn("s", "c", "object")], "frame[1].name"),
        ([FrameColumn("s", "c", "category")], "frame[0].categories"),
        ([FrameColumn("s", "c", "object", categories=("a",))], "frame[0].categories"),
        ([FrameColumn("s", "c", "category", categories=("a", "a"))], "frame[0].categories"),
    ],
)
def test_a_frame_that_does_not_fit_is_refused(tmp_path, layout, where):
    """When the bundle is written and when it is opened."""
    with pytest.raises(BundleInvalid) as refused:
        written(tmp_path / "bundle", frame=layout)

    assert str(refused.value).startswith(f"bundle.json: {where}: ")


def test_an_onnx_bundle_has_no_frame_and_no_packages(tmp_path):
    """What only a Python model could use is refused elsewhere."""

    for more, where in (
        ({"frame": [FrameColumn("a", "a", "object")]}, "frame"),
        ({"packages": {"a": "1"}}, "packages"),
    ):
        with pytest.raises(BundleInvalid, match=f"bundle.json: {where}: an ONNX model"):
            write_sum(tmp_path / "sum", **more)


def test_a_manifest_without_them_has_the_bytes_that_it_had(tmp_path):
    """Bundles that were packed before there was a frame keep their digest."""
    raw = written(tmp_path / "bundle").read("bundle.json")

    assert b'"frame"' not in raw
    assert b'"packages"' not in raw
    assert Manifest.from_json(raw).to_bytes() == raw


# ------------------------------------------------------------------------------------------------ packages


@pytest.fixture
def installed(monkeypatch):
    """Packages that are installed, by name and version."""
    versions = {"some-package": "1.4.2", "odd": "unknown", "epochal": "1!2.0"}

    def version(name):
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr("fivefold.core.runtime.packages.metadata.version", version)


@pytest.mark.parametrize("wanted", ["1.4.2", "1.4.0", "1.4", "1.4.2rc1", "1.4.9+cpu"])
@pytest.mark.usefixtures("installed")
def test_another_patch_release_may_open_a_bundle(tmp_path, wanted):
    """The golden rows prove the rest."""
    bundle = written(tmp_path / "bundle", packages={"some-package": wanted})

    assert bundle.manifest.packages == {"some-package": wanted}
    Scorer.open(bundle).close()


@pytest.mark.parametrize(
    ("name", "wanted", "said", "help"),
    [
        ("some-package", "1.5.0", "packed with some-package 1.5.0, and 1.4.2 is installed", "pack the model again"),
        ("some-package", "2.4.2", "packed with some-package 2.4.2, and 1.4.2 is installed", "==2.4.2, or pack"),
        ("epochal", "2.0", "packed with epochal 2.0, and 1!2.0 is installed", "pip install epochal==2.0"),
        ("odd", "1.0", "packed with odd 1.0, and unknown is installed", "pip install odd==1.0"),
        ("absent", "3.1.0", "the model needs absent 3.1.0, which is not installed", "pip install absent==3.1.0"),
    ],
)
@pytest.mark.usefixtures("installed")
def test_a_package_that_is_absent_or_too_different_is_refused(tmp_path, name, wanted, said, help):
    """Before any of the bundle's code runs, with the way on; verifying the bundle needs none of its packages."""
    bundle = written(tmp_path / "bundle", packages={"some-package": "1.4.2", name: wanted})
    with pytest.raises(BundleInvalid) as refused:
        Scorer.open(bundle)

    assert f"packages.{name}: " in str(refused.value)
    assert said in str(refused.value)
    assert help in refused.value.help
    assert Bundle.open(tmp_path / "bundle").digest == bundle.digest


@pytest.mark.parametrize("packages", [{"a b": "1"}, {"-x": "1"}, {"a": ""}, {"a": "1; rm"}, {"a": "-e ."}])
def test_a_help_line_never_holds_more_than_a_name_and_a_version(tmp_path, packages):
    """A manifest cannot put options of pip into the line that people paste."""
    with pytest.raises(BundleInvalid, match="packages"):
        written(tmp_path / "bundle", packages=packages)


def test_the_order_of_packages_does_not_matter(tmp_path):
    """The same packages, the same bytes."""
    one = written(tmp_path / "one", packages={"a": "1", "b": "2"})
    two = written(tmp_path / "two", packages={"b": "2", "a": "1"})

    assert one.digest == two.digest
