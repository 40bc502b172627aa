"""The typed `.proto` compiles, and its messages carry records without loss."""

from __future__ import annotations

from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.message import Message
from grpc_tools import protoc
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.support.contract_values import case_contracts, contracts, every_rule, good_rows

from fivefold.core.contract.contract import Contract
from fivefold.core.fields.field import Field
from fivefold.core.readers.records import Records
from fivefold.exports import export, proto_schema


def compiled(contract: Contract, directory: Path) -> descriptor_pb2.FileDescriptorProto:
    """What protoc makes of the export; an error of protoc's is the test's."""
    [(name, content)] = export(contract, "proto").items()
    (directory / name).write_bytes(content)
    out = directory / "out.pb"
    include = str(package_files("grpc_tools") / "_proto")
    code = protoc.main(
        ["protoc", f"-I{directory}", f"-I{include}", f"--descriptor_set_out={out}", str(directory / name)]
    )
    assert code == 0, content.decode()
    return descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file[0]


def record_type(file: descriptor_pb2.FileDescriptorProto) -> type[Message]:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)  # type: ignore[no-untyped-call]
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.Record"))


@pytest.mark.parametrize("contract", [every_rule(), *case_contracts()], ids=lambda contract: contract.name)
def test_protoc_reads_it(contract: Contract, tmp_path: Path) -> None:
    """Numbers follow field order, every scalar has presence and the contract's names are the JSON names."""
    messages = {message.name: message for message in compiled(contract, tmp_path).message_type}

    for name, fields in (("Record", contract.inputs), ("Prediction", contract.outputs)):
        members = messages[name].field
        assert [member.number for member in members] == list(range(1, len(fields) + 1))
        assert [member.json_name for member in members] == [field.name for field in fields]
        assert [member.proto3_optional for member in members] == [not field.shape for field in fields]


def test_presence_tells_absent_from_zero(tmp_path: Path) -> None:
    """A message in protobuf's JSON form is a record: a field that was not set is not there, a zero is."""
    contract = every_rule()
    message = record_type(compiled(contract, tmp_path))()
    json_format.ParseDict({"mean-radius": 0, "flag": False, "wide": [1.0] * 12}, message)

    assert json_format.MessageToDict(message) == {"mean-radius": 0.0, "flag": False, "wide": [1.0] * 12}


@pytest.mark.full
@settings(max_examples=40)
@given(data=st.data())
def test_records_survive_the_wire(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A legal record, set on a message and read back from its bytes, is the same row to the contract."""
    contract = data.draw(contracts())
    record = data.draw(good_rows(contract))
    assume(record is not None)
    before = Records(contract.inputs).read([record]).accept()
    names = proto_schema.field_names(contract.inputs)
    kind = record_type(compiled(contract, tmp_path_factory.mktemp("proto")))
    message: Any = kind()
    for field in contract.inputs:
        null = field.nullable and bool(before.nulls(field.name).any())
        if field.shape:
            getattr(message, names[field.name]).extend(before[field.name].ravel().tolist())
        elif not null:
            setattr(message, names[field.name], before[field.name].tolist()[0])

    again: Any = kind.FromString(message.SerializeToString())

    for field in contract.inputs:
        column = before[field.name].ravel()
        if field.shape:
            assert repr(list(getattr(again, names[field.name]))) == repr(column.tolist())
        elif again.HasField(names[field.name]):
            assert getattr(again, names[field.name]) == column.tolist()[0]
        else:
            assert before.nulls(field.name).all()


@pytest.mark.parametrize(
    ("dtype", "good", "bad"),
    [
        ("int8", -128, "1"),
        ("int32", -(2**31), 2**31),
        ("uint32", 2**32 - 1, -1),
        ("int64", 2**63 - 1, 2**63),
        ("uint64", 2**64 - 1, 2**64),
        ("float32", 1.5, "1"),
        ("float64", 1e308, "x"),
        ("bool", True, "true"),
        ("string", "é", 1),
        ("string", "é", b"\xff"),
        ("bytes", b"\xff", "text"),
    ],
)
def test_types_refuse_what_the_contract_refuses(dtype: str, good: Any, bad: Any, tmp_path: Path) -> None:
    """Protobuf refuses another family and what its own range excludes."""
    contract = Contract("one", "1.0.0", (Field("x", dtype),), (Field("y", "bool"),))
    kind = record_type(compiled(contract, tmp_path))
    kind().x = good

    with pytest.raises((TypeError, ValueError)):
        kind().x = bad


def test_names_never_collide(tmp_path: Path) -> None:
    """Names that differ only in case, dots or dashes become different identifiers in every generated language."""
    names = ("a-b", "a_b", "aB", "a.b", "A_B", "_", "__", "_1", "message", "optional", "reserved")
    contract = Contract("9lives", "1.0.0", tuple(Field(name, "bool") for name in names), (Field("y", "bool"),))
    file = compiled(contract, tmp_path)

    members = file.message_type[0].field
    assert [member.json_name for member in members] == list(names)
    assert len({member.name.replace("_", "").lower() for member in members}) == len(names)


def test_reserved_numbers_are_skipped() -> None:
    """A contract of twenty thousand fields does not use the numbers that protobuf keeps."""
    numbers = proto_schema.field_numbers([Field(f"f{place}", "bool") for place in range(20_000)])

    assert numbers[:2] == [1, 2]
    assert not set(numbers) & set(range(19_000, 20_000))
    assert len(set(numbers)) == 20_000


def test_the_law_stands_in_comments() -> None:
    """What proto cannot say is there for people."""
    text = export(every_rule(), "proto")["every_rule_v2.proto"].decode()

    assert "0 to 60.5 mm" in text
    assert "an element cannot be null, -1 is a value" in text
    assert "255 is null too" in text
