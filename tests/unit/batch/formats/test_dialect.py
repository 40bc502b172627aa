"""Text as people have it: delimiters, words for null, true and false, encodings; and what is named instead of read."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as cases
from hypothesis import strategies as st
from tests.support.batch_runs import answers, quarantined, run
from tests.unit.batch.formats.test_formats import FIELDS, bad, good, read

from fivefold.batch.formats.csv import _cells
from fivefold.batch.formats.dialect import TextDialect
from fivefold.batch.plan.settings import BatchSettings
from fivefold.core.errors import ContractError, RunFailed
from fivefold.core.readers.text import Text
from fivefold.core.settings import SettingsError

DIALECT = TextDialect(";", ("NA", "N/A", "-999", "\\N"), ("True", "False"))

cell = st.sampled_from(
    ["0", "1", "-999", "1.5", "NA", "N/A", "\\N", "True", "False", "true", "", "a", "a,b", "na", "nan"]
)
quoting = st.sampled_from(["{}", '"{}"'])


@pytest.mark.full
@cases(max_examples=60)
@given(st.lists(st.lists(st.tuples(cell, quoting), min_size=5, max_size=6), min_size=1, max_size=8))
def test_a_dialect_is_what_its_words_mean(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[tuple[str, str]]]
) -> None:
    """Each row is the one that is written with commas, empty cells, `true` and `false`."""
    lines = [";".join(quote.format(text) for text, quote in row) for row in rows]
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_text("\n".join(["f;d;i;t;s", *lines]) + "\n", encoding="utf-8", newline="")
    chunks = read(path, FIELDS, dialect=DIALECT)

    expected_good, expected_bad = [], []
    for row, line in enumerate(lines):
        cells = _cells(line.encode(), ";")
        assert cells is not None
        plain = [
            None if quote == "{}" and text in DIALECT.na else found
            for (text, quote), found in zip(rows[row], cells, strict=True)
        ]
        plain[3] = {"True": "true", "False": "false"}.get(plain[3] or "", plain[3])
        try:
            expected_good.append((row, Text(FIELDS).read(["f", "d", "i", "t", "s"], [plain]).accept().to_records()[0]))
        except ContractError as error:
            expected_bad.append((row, error.code, error.path))
    assert repr(good(chunks)) == repr(expected_good)
    assert bad(chunks) == expected_bad


@pytest.mark.parametrize(
    ("name", "mark"), [("tab", "\t"), ("\\t", "\t"), (";", ";"), ("|", "|"), ("^", "^"), (" ", " ")]
)
def test_delimiters(tmp_path: Path, noted: Path, name: str, mark: str) -> None:
    """Commas are text then, and quotes still hold what they hold, wherever the file is cut."""
    rows = "".join(f'{row}{mark}"x,{mark}""{row}"{mark}id{row}\n' for row in range(40))
    (tmp_path / "a.csv").write_text(mark.join(["a", "note", "id"]) + "\n" + rows)

    run(noted, tmp_path / "a.csv", tmp_path / "out", delimiter=name, columns=("id",), fragment_bytes=100)
    assert [(row["total"], row["said"], row["id"]) for row in answers(tmp_path / "out")] == [
        (row + 0.5, f'x,{mark}"{row}', f"id{row}") for row in range(40)
    ]


def test_words_for_null_are_null_in_what_is_carried_too(tmp_path: Path, noted: Path) -> None:
    """Where they are bare; and a null that a field does not allow is one."""
    (tmp_path / "a.csv").write_text('a,note,id\n1,NA,NA\n2,"NA","NA"\n3,x,NULL\nNA,x,1\n')

    run(noted, tmp_path / "a.csv", tmp_path / "out", na=("NA", "NULL"), columns=("id",), max_bad_fraction=1)
    assert [(row["said"], row["id"]) for row in answers(tmp_path / "out")] == [
        ("none", None),
        ("NA", "NA"),
        ("x", None),
    ]
    assert [record["code"] for record in quarantined(tmp_path / "out")] == ["null_not_allowed"]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-16-le", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.jsonl"])
def test_encodings(tmp_path: Path, noted: Path, name: str, encoding: str) -> None:
    """The characters are the same; numbers of lines too."""
    rows = [(row, "né" if row % 2 else "x") for row in range(30)]
    text = (
        "".join(f'{{"a": {a}, "note": "{note}"}}\n' for a, note in rows)
        if "json" in name
        else "a,note\n" + "".join(f"{a},{note}\n" for a, note in rows)
    )
    data = (text + text.splitlines()[-1].replace("29", "999") + "\n").encode(encoding)
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)

    run(noted, tmp_path / name, tmp_path / "out", encoding=encoding, fragment_bytes=50, max_bad_fraction=1)
    assert [(row["total"], row["said"]) for row in answers(tmp_path / "out")] == [(a + 0.5, note) for a, note in rows]
    (record,) = quarantined(tmp_path / "out")
    assert (record["code"], record["line"]) == ("out_of_range", 31 if "json" in name else 32)


def test_bytes_that_an_encoding_does_not_have(tmp_path: Path, noted: Path) -> None:
    """Break their own row; a stream that breaks off does so in every encoding."""
    (tmp_path / "a.csv").write_bytes(b"a,note\n1,x\n2,\x81\n3,\xe9\n")
    run(noted, tmp_path / "a.csv", tmp_path / "out", encoding="cp1252", max_bad_fraction=1)
    assert [row["said"] for row in answers(tmp_path / "out")] == ["x", "é"]
    assert [(record["row"], record["code"]) for record in quarantined(tmp_path / "out")] == [(1, "malformed")]

    packed = gzip.compress("a,note\n1,é\n2,é\n3".encode("latin-1"))
    (tmp_path / "b.csv.gz").write_bytes(packed[:-8])
    with pytest.raises(RunFailed, match="row 2, byte"):
        run(noted, tmp_path / "b.csv.gz", tmp_path / "b", encoding="latin-1")
    report = run(noted, tmp_path / "b.csv.gz", tmp_path / "b", encoding="latin-1", allow_torn=True).report
    assert (report["scored"], report["quarantined"]) == (2, 1)


STRANGE = {
    "a.csv": "a,note\n1,x\n".encode("utf-16"),
    "le.csv": "a,note\n1,x\n".encode("utf-16-le"),
    "be.jsonl": '{"a": 1, "note": "x"}\n'.encode("utf-16-be"),
    "b.jsonl": '{"a": 1, "note": "x"}\n'.encode("utf-16"),
    "c.csv": "a,note\n1,x\n".encode("utf-32"),
    "cr.csv": b"a,note\r1,x\r2,y\r",
    "cr.jsonl": b'{"a": 1, "note": "x"}\r{"a": 2, "note": "y"}\r',
}


@pytest.mark.parametrize("name", STRANGE)
def test_other_text_is_named_before_anything_is_scored(tmp_path: Path, noted: Path, name: str) -> None:
    """With what to do about it."""
    (tmp_path / name).write_bytes(STRANGE[name])
    expected = "carriage returns alone" if name.startswith("cr") else "UTF-"
    with pytest.raises(ContractError, match=f"{name}: .*{expected}") as refused:
        run(noted, tmp_path / name, tmp_path / "out")
    help = str(refused.value.help)
    assert "tr " in help if name.startswith("cr") else help.startswith("--encoding utf-")
    if not name.startswith("cr"):
        run(noted, tmp_path / name, tmp_path / "out", encoding=help.partition(" ")[2])
        assert [row["said"] for row in answers(tmp_path / "out")] == ["x"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"delimiter": ""},
        {"delimiter": ";;"},
        {"delimiter": '"'},
        {"delimiter": "\n"},
        {"delimiter": "."},
        {"delimiter": "1"},
        {"na": ("a,b",)},
        {"booleans": ("yes",)},
        {"booleans": ("yes", "yes")},
        {"booleans": ("false", "true")},
        {"booleans": ("Y", "N"), "na": ("N",)},
        {"encoding": "utf-9"},
        {"encoding": "base64"},
    ],
)
def test_what_is_no_dialect(wrong: dict[str, Any]) -> None:
    """Is refused with the settings."""
    with pytest.raises(SettingsError):
        BatchSettings(**wrong)


def test_another_dialect_is_another_run(tmp_path: Path, noted: Path) -> None:
    """What decides the rows decides the run."""
    (tmp_path / "a.csv").write_text("a,note\n1,NA\n")
    run(noted, tmp_path / "a.csv", tmp_path / "out")
    with pytest.raises(RunFailed, match="another run stands here: dialect"):
        run(noted, tmp_path / "a.csv", tmp_path / "out", na=("NA",))
    run(noted, tmp_path / "a.csv", tmp_path / "na", na=("NA",))
    assert run(noted, tmp_path / "a.csv", tmp_path / "na", na=("NA",)).scored_now == 0
    with pytest.raises(RunFailed, match="another run stands here: dialect"):
        run(noted, tmp_path / "a.csv", tmp_path / "na")
