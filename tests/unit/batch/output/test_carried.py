"""Carried columns of every type that a file may have: in each format of the output, and in the quarantine."""

from __future__ import annotations

import csv
import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.support.batch_runs import answers, quarantined, run

from fivefold.core.errors import ContractError, ContractInvalid

ZONE = pa.timestamp("us", "Europe/Berlin")

TYPES: dict[str, tuple[Any, Any, str]] = {
    "fixed-size binary": (pa.array([b"\x00\xff", None], pa.binary(2)), "AP8=", "AP8="),
    "binary": (pa.array([b"\x00\xff", None], pa.binary()), "AP8=", "AP8="),
    "large binary": (pa.array([b"\x00\xff", None], pa.large_binary()), "AP8=", "AP8="),
    "a view of bytes": (pa.array([b"\x00\xff", None], pa.binary_view()), "AP8=", "AP8="),
    "a view of text": (pa.array(["é", None], pa.string_view()), "é", "é"),
    "large text": (pa.array(["é", None], pa.large_string()), "é", "é"),
    "decimal": (pa.array([Decimal("9007199254740993.10"), None], pa.decimal128(20, 2)),) + ("9007199254740993.10",) * 2,
    "wide decimal": (pa.array([Decimal(3), None], pa.decimal256(50, 2)), "3.00", "3.00"),
    "date": (pa.array([dt.date(2024, 2, 29), None]), "2024-02-29", "2024-02-29"),
    "a date beyond Python's": (pa.array([2**30, None], pa.date32()),) + ("<value out of range: 1073741824>",) * 2,
    "time": (pa.array([1, None], pa.time64("ns")), "00:00:00.000000001", "00:00:00.000000001"),
    "nanoseconds": (
        pa.array([1, None], pa.timestamp("ns")),
        "1970-01-01T00:00:00.000000001",
        "1970-01-01 00:00:00.000000001",
    ),
    "zone": (pa.array([0, None], ZONE), "1970-01-01T00:00:00.000000Z", "1970-01-01 00:00:00.000000Z"),
    "a zone that is none": (
        pa.array([0, None], pa.timestamp("us", "No/Where")),
        "1970-01-01T00:00:00.000000Z",
        "1970-01-01 00:00:00.000000Z",
    ),
    "duration": (pa.array([-1500, None], pa.duration("ms")), "-PT1.5S", "-PT1.5S"),
    "dictionary": (pa.array(["a", None]).dictionary_encode(), "a", "a"),
    "dictionary of numbers": (pa.array([7, None]).dictionary_encode(), 7, "7"),
    "null": (pa.nulls(2), None, ""),
    "structure": (pa.array([{"a": 2**60, "b": [b"\xff"]}, None]), {"a": 2**60, "b": ["/w=="]}, "json"),
    "list": (pa.array([[1, None], None]), [1, None], "json"),
    "list of moments": (pa.array([[0], None], pa.list_(pa.timestamp("s"))), ["1970-01-01T00:00:00.000"], "json"),
    "fixed-size list": (pa.array([[1, 2], None], pa.list_(pa.int8(), 2)), [1, 2], "json"),
    "map": (pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())), [{"key": "k", "value": 1}], "json"),
    "unsigned": (pa.array([2**64 - 1, None], pa.uint64()), 2**64 - 1, str(2**64 - 1)),
    "half float": (pa.array([1.5, None], pa.float16()), 1.5, "1.5"),
    "truth": (pa.array([True, None]), True, "true"),
    "uuid": (pa.array([bytes(16), None], pa.uuid()),) + ("00000000-0000-0000-0000-000000000000",) * 2,
    "truth in a byte": (pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, None], pa.int8())), True, "true"),
    "JSON": (pa.array(["[1]", None], pa.json_()), "[1]", "[1]"),
}


def write(home: Path, more: Any) -> Path:
    """Two good rows, and one that is refused, with a column beside the contract."""
    whole = pa.chunked_array([more, more.slice(0, 1)], more.type)
    table = pa.table({"a": [1.0, 2.0, 999.0], "note": ["x", "y", "z"], "more": whole})
    pq.write_table(table, home / "a.parquet")
    return home / "a.parquet"


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_comes_along(tmp_path: Path, noted: Path, kind: str) -> None:
    """Parquet keeps type and value; CSV and JSON have the text that says the value exactly; so has the quarantine."""
    values, as_json, as_csv = TYPES[kind]
    path = write(tmp_path, values)
    for format in ("parquet", "csv", "jsonl"):
        out = tmp_path / format
        report = run(noted, path, out, columns=("more",), format=format, max_bad_fraction=1).report

        assert (report["scored"], report["quarantined"]) == (2, 1)
        part = out / report["parts"][0]["part"]
        if format == "parquet":
            found = pq.read_table(part).column("more").combine_chunks()
            wanted = pq.read_table(path).column("more").slice(0, 2).combine_chunks()
            assert values.type.id in LOOSE or found.type == wanted.type
            try:
                assert found.to_pylist() == wanted.to_pylist()
            except (OverflowError, pa.ArrowInvalid):
                assert found.equals(wanted)
        elif format == "csv":
            with part.open(newline="", encoding="utf-8") as file:
                (_, first, second) = [row[3] for row in csv.reader(file)]
            assert json.loads(first) == as_json if as_csv == "json" else first == as_csv
            assert second == ""
        else:
            assert [row["more"] for row in answers(out)] == [as_json, None]
        (record,) = quarantined(out)
        assert set(record["columns"]) == {"more"}


LOOSE = {
    kind.id
    for kind in (
        *(pa.string_view(), pa.binary_view(), pa.large_string(), pa.large_binary(), pa.struct([])),
        *(pa.list_(pa.int8()), pa.list_(pa.int8(), 2), pa.dictionary(pa.int32(), pa.string())),
    )
}
"""Of which Parquet keeps the values, and not Arrow's way to hold them."""


def test_a_dictionary_that_holds_null(tmp_path: Path, noted: Path) -> None:
    """As Arrow may have it, and Parquet not."""
    from fivefold.batch.formats.carried_values import for_csv, for_parquet, json_values

    values = pa.DictionaryArray.from_arrays(pa.array([0, 1, None]), pa.array(["x", None]))

    assert [each.to_pylist() for each in (for_parquet(values), for_csv(values))] == [["x", None, None]] * 2
    assert json_values(values) == ["x", None, None]
    assert not pa.types.is_dictionary(for_parquet(values).type)


@pytest.mark.parametrize("format", ["parquet", "csv", "jsonl"])
@pytest.mark.parametrize("value", ['"\\ud800"', '["x", {"\\udfff": 1}]', '{"a": "\\ud83d"}'])
def test_a_lone_surrogate_refuses_its_row(tmp_path: Path, noted: Path, format: str, value: str) -> None:
    """No output can hold it, so nothing stands in for it; the row is located like any other."""
    lines = ['{"a": 1, "note": "x", "id": "good"}', f'{{"a": 1, "note": "x", "id": {value}}}']
    (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n")

    run(noted, tmp_path / "a.jsonl", tmp_path / "out", columns=("id",), format=format, max_bad_fraction=1)

    (record,) = quarantined(tmp_path / "out")
    assert (record["row"], record["line"], record["code"], record["path"]) == (1, 2, "not_utf8", "inputs.id[0]")
    assert record["raw"] == lines[1]


@pytest.mark.parametrize("format", ["parquet", "csv", "jsonl"])
def test_text_that_is_none_refuses_its_row(tmp_path: Path, noted: Path, format: str) -> None:
    """In Parquet too, also inside a list; the others are scored."""
    text = pa.array([b"good", b"\xff", b"fine"]).view(pa.string())
    inside = pa.ListArray.from_arrays(pa.array([0, 1, 2, 3]), pa.array([b"a", b"b", b"\xc3"]).view(pa.string()))
    table = pa.table({"a": [1.0, 2.0, 3.0], "note": ["x"] * 3, "id": text, "tags": inside})
    pq.write_table(table, tmp_path / "a.parquet")

    run(noted, tmp_path / "a.parquet", tmp_path / "out", columns=("id", "tags"), format=format, max_bad_fraction=1)

    found = [(record["row"], record["code"], record["path"]) for record in quarantined(tmp_path / "out")]
    assert found == [(1, "not_utf8", "inputs.id[0]"), (2, "not_utf8", "inputs.tags[0]")]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_a_record_has_the_columns_that_were_asked_for(tmp_path: Path, noted: Path, name: str) -> None:
    """The same in every format, a field's and another's, whatever the row is refused for; one row number says where."""
    path = tmp_path / name
    rows: list[dict[str, Any]] = [{"id": "r0", "a": 1, "note": "x"}, {"id": "r1", "a": 999, "note": "y"}]
    rows.append({"id": "r2", "a": 1, "note": "a note of many letters"})
    if name == "a.csv":
        path.write_text("id,a,note\n" + "".join(f"{row['id']},{row['a']},{row['note']}\n" for row in rows) + "r3\n")
    elif name == "a.jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"id": "r3", \n')
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)

    run(noted, path, tmp_path / "out", columns=("id", "note"), max_bad_fraction=1)

    found = quarantined(tmp_path / "out")
    assert [(record["row"], record["columns"]) for record in found[:2]] == [
        (1, {"note": "y", "id": "r1"}),
        (2, {"note": "a note of many letters", "id": "r2"}),
    ]
    assert [record["row"] for record in found[2:]] == ([] if name == "a.parquet" else [3])


def test_names_that_are_taken(tmp_path: Path, noted: Path) -> None:
    """By the output's own columns or by an answer: said before anything is read."""
    pq.write_table(pa.table({"a": [1.0], "note": ["x"], "_row": [1], "total": [1]}), tmp_path / "a.parquet")
    for name in ("_row", "_model", "_contract", "total", "said"):
        with pytest.raises(ContractInvalid, match=f"two columns '{name}'"):
            run(noted, tmp_path / "a.parquet", tmp_path / "out", columns=(name,))


@pytest.mark.parametrize("name", ["id", "a"])
@pytest.mark.parametrize("format", ["parquet", "csv"])
def test_a_column_that_a_file_has_twice(tmp_path: Path, noted: Path, name: str, format: str) -> None:
    """Which one is meant, nobody can say; one that nobody asked for may stand as often as it likes."""
    arrays = [pa.array([1.0]), pa.array(["x"]), pa.array([1.0]), pa.array([1.0])]
    names = ["a", "note", name, "id"]
    path = tmp_path / f"a.{format}"
    if format == "parquet":
        pq.write_table(pa.Table.from_arrays(arrays, names), path)
    else:
        path.write_text(f"{','.join(names)}\n1.0,x,1.0,1.0\n")

    with pytest.raises(ContractError, match="twice") as refused:
        run(noted, path, tmp_path / "out", columns=("id",))
    assert refused.value.code == "duplicate_field"
    if name == "id":
        assert run(noted, path, tmp_path / "out").report["scored"] == 1


def test_names_with_odd_letters(tmp_path: Path, noted: Path) -> None:
    """Line ends, commas, quotes, dots, and a long one."""
    names = ["a\nb", 'q"q', "x,y", "a.b", "é" * 500]
    table = pa.table({"a": [1.0], "note": ["x"]} | {name: [name] for name in names})
    pq.write_table(table, tmp_path / "a.parquet")
    for format in ("parquet", "csv", "jsonl"):
        out = tmp_path / format
        run(noted, tmp_path / "a.parquet", out, columns=tuple(names), format=format)
        (part,) = out.glob("part-*")
        if format == "csv":
            with part.open(newline="", encoding="utf-8") as file:
                (row,) = csv.DictReader(file)
        else:
            (row,) = answers(out)
        assert [row[name] for name in names] == names
