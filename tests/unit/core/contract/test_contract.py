"""Contracts: parsing, exact refusals, canonical form."""

import json
import pickle

import pytest

from fivefold.core.contract.contract import Contract
from fivefold.core.errors import ContractInvalid
from fivefold.core.fields.field import ABSENT, Field
from fivefold.core.readers.records import Records


def contract(*inputs, **top):
    """A contract around some input fields."""
    fields = list(inputs) or [{"name": "x", "dtype": "float64"}]
    return {
        "format": 1,
        "name": "t",
        "version": "1.0.0",
        "inputs": fields,
        "outputs": [{"name": "y", "dtype": "float32"}],
        **top,
    }


def field(**keywords):
    """A float64 input field with keywords."""
    return contract({"name": "x", "dtype": "float64", **keywords})


def test_round_trip_keeps_every_keyword():
    """What a contract says survives its canonical form, defaults of null and zero bounds included."""
    source = contract(
        {
            "name": "a",
            "dtype": "float32",
            "minimum": 0,
            "maximum": 0.5,
            "unit": "mm",
            "description": "d",
            "aliases": ["b"],
        },
        {"name": "n", "dtype": "int8", "nullable": True, "null_value": 0, "default": None},
        {"name": "flag", "dtype": "bool", "default": False},
        {
            "name": "s",
            "dtype": "string",
            "minLength": 0,
            "maxLength": 4,
            "pattern": "^a?$",
            "enum": ["", "a"],
            "default": "",
        },
        {"name": "p", "dtype": "float64", "shape": [2], "labels": ["u", "v"], "default": [1, 2], "allow_nan": True},
        description="all of it",
    )

    parsed = Contract.from_json(source)

    assert parsed.to_json()["inputs"] == [
        {**source["inputs"][0]},
        {**source["inputs"][1]},
        {**source["inputs"][2]},
        {**source["inputs"][3]},
        {**source["inputs"][4]},
    ]
    assert Contract.from_json(parsed.to_bytes()) == parsed
    assert Contract.from_json(parsed.to_bytes()).digest == parsed.digest
    assert pickle.loads(pickle.dumps(parsed)) == parsed


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (b"{", ""),
        (b"\xff", ""),
        ("[1]", ""),
        ('{"format": NaN}', ""),
        (contract(format=2), "format"),
        (contract(format=True), "format"),
        (contract(name=""), "name"),
        (contract(name="a b"), "name"),
        (contract(name=3), "name"),
        (contract(version="1/0"), "version"),
        (contract(extra=1), "extra"),
        (contract(inputs=[]), "inputs"),
        (contract(inputs={}), "inputs"),
        (contract(outputs=[]), "outputs"),
        (contract(3), "inputs[0]"),
        (contract({"dtype": "float64"}), "inputs[0].name"),
        (contract({"name": "x"}), "inputs[0].dtype"),
        (contract({"name": "x", "dtype": "double"}), "inputs[0].dtype"),
        (contract({"name": "1x", "dtype": "bool"}), "inputs[0].name"),
        (field(minimun=0), "inputs[0].minimun"),
        (field(minimum="0"), "inputs[0].minimum"),
        (field(minimum=True), "inputs[0].minimum"),
        (field(minimum=2, maximum=1), "inputs[0].minimum"),
        (field(dtype="float32", maximum=1e300), "inputs[0].maximum"),
        (field(dtype="int8", maximum=300), "inputs[0].maximum"),
        (field(dtype="int8", maximum=0.5), "inputs[0].maximum"),
        (field(dtype="string", maximum=1), "inputs[0].maximum"),
        (field(shape=[-1]), "inputs[0].shape[0]"),
        (field(shape=[0]), "inputs[0].shape[0]"),
        (field(shape=[True]), "inputs[0].shape[0]"),
        (field(shape=3), "inputs[0].shape"),
        (field(shape=[2**20, 2**20]), "inputs[0].shape"),
        (field(enum=[]), "inputs[0].enum"),
        (field(enum=[1, 1.0]), "inputs[0].enum"),
        (field(enum=["a"]), "inputs[0].enum[0]"),
        (field(dtype="bool", enum=[True]), "inputs[0].enum"),
        (field(nullable=1), "inputs[0].nullable"),
        (field(dtype="int32", nullable=True), "inputs[0].null_value"),
        (field(null_value=0), "inputs[0].null_value"),
        (field(nullable=True, null_value=0), "inputs[0].null_value"),
        (field(dtype="int8", nullable=True, null_value=999), "inputs[0].null_value"),
        (field(dtype="int8", allow_nan=True), "inputs[0].allow_nan"),
        (field(allow_nan=True, enum=[1]), "inputs[0].allow_nan"),
        (field(default=None), "inputs[0].default"),
        (field(default="x"), "inputs[0].default"),
        (field(default=5, maximum=1), "inputs[0].default"),
        (field(default=[1], shape=[2]), "inputs[0].default"),
        (field(dtype="string", default="x", enum=["y"]), "inputs[0].default"),
        (field(minLength=1), "inputs[0].minLength"),
        (field(dtype="string", minLength=-1), "inputs[0].minLength"),
        (field(dtype="string", minLength=3, maxLength=2), "inputs[0].minLength"),
        (field(dtype="string", pattern="a*"), "inputs[0].pattern"),
        (field(pattern="a"), "inputs[0].pattern"),
        (field(aliases="b"), "inputs[0].aliases"),
        (field(aliases=["x"]), "inputs[0]"),
        (field(aliases=["a", "a"]), "inputs[0].aliases"),
        (field(labels=["a"]), "inputs[0].labels"),
        (field(shape=[2], labels=["a"]), "inputs[0].labels"),
        (field(unit=3), "inputs[0].unit"),
        (field(dtype="bytes", nullable=True, null_value="not base64!"), "inputs[0].null_value"),
        (field(dtype="string", nullable=True, null_value="\ud800"), "inputs[0].null_value"),
        (contract({"name": "x", "dtype": "bool"}, {"name": "x", "dtype": "bool"}), "inputs[1]"),
        (contract({"name": "x", "dtype": "bool"}, {"name": "y", "dtype": "bool", "aliases": ["x"]}), "inputs[1]"),
        (contract(outputs=[{"name": "y", "dtype": "float32", "default": 1}]), "outputs[0].default"),
        (contract(outputs=[{"name": "y", "dtype": "float32", "allow_nan": True}]), "outputs[0].allow_nan"),
    ],
)
def test_bad_contracts_are_refused_at_their_path(data, path):
    """A contract that cannot be enforced is refused, with the path of what is wrong and a sentence."""
    with pytest.raises(ContractInvalid) as caught:
        Contract.from_json(data)

    assert caught.value.code == "contract_invalid"
    assert caught.value.path == path
    assert len(caught.value.message) > 8


def test_a_misspelt_keyword_names_the_known_one():
    """Help names the nearest keyword."""
    with pytest.raises(ContractInvalid) as caught:
        Contract.from_json(field(maximun=3))

    assert caught.value.help is not None
    assert caught.value.help.startswith("did you mean 'maximum'? allowed: name, dtype, shape, minimum, ")


def test_warnings_name_what_a_browser_cannot_hold():
    """int64 without bounds is legal and warned about, with the fix."""
    assert Contract.from_json(field(dtype="int64")).warnings()[0].startswith("inputs.x: int64 without bounds")
    assert Contract.from_json(field(dtype="int64", minimum=0, maximum=10)).warnings() == []
    assert Contract.from_json(field(dtype="int64", enum=[-1, 1])).warnings() == []
    assert Contract.from_json(field(dtype="uint64", enum=[0, 2**53])).warnings() != []


def test_an_alias_is_any_text():
    """The header of somebody's table is no name, and is found all the same; the empty text is none."""
    given = Contract.from_json(field(aliases=["年", "x y"]))
    reading = Records(given.inputs).read([{"年": 1}, {"x y": 2}, {"x": 3}])

    assert reading.columns["x"].tolist() == [1, 2, 3]
    assert Contract.from_json(given.to_bytes()) == given
    with pytest.raises(ContractInvalid) as caught:
        Contract.from_json(field(aliases=["a", ""]))
    assert caught.value.path == "inputs[0].aliases[1]"


def test_file_that_cannot_be_read(tmp_path):
    """A missing file is a contract error, not a traceback."""
    with pytest.raises(ContractInvalid, match="cannot read"):
        Contract.load(tmp_path / "contract.json")


def test_bounds_round_with_the_dtype():
    """A float32 bound is the float32 nearest to the number written."""
    limits = Field("x", "float32", maximum=0.1).limits

    assert float(limits.high) == pytest.approx(0.1, abs=1e-8)
    assert limits.high.dtype == "float32"


def test_required_means_without_default():
    """`nullable` alone does not make a field optional."""
    assert Field("x", "float64", nullable=True).required
    assert not Field("x", "float64", nullable=True, default=None).required
    assert Field("x", "float64").default is ABSENT
    assert json.loads(Contract.from_json(field(nullable=True, default=None)).to_bytes())["inputs"][0]["default"] is None
