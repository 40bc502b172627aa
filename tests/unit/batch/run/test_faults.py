"""Faults of files, of readers and of workers: each ends as a refusal with its file's name, none as a defect of ours."""

from __future__ import annotations

import base64
import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as encryption
import pytest
from tests.support.batch_runs import answers, quarantined, records, run
from tests.support.bundles import write_python
from tests.support.score_commands import environment

from fivefold.batch.engine.inline import Inline
from fivefold.batch.formats.jsonl import JsonLines
from fivefold.batch.formats.parquet import Parquet
from fivefold.batch.plan.planning import Fragment
from fivefold.batch.plan.settings import BatchSettings
from fivefold.batch.run.execute import score
from fivefold.batch.run.preparation import RunOrder
from fivefold.batch.work.task import FragmentOutcome
from fivefold.cli import EXIT
from fivefold.core.errors import ContractError, FivefoldError, RunFailed


class Keys(encryption.KmsClient):
    """Keys that wrap nothing."""

    def __init__(self, _: Any) -> None:
        super().__init__()

    def wrap_key(self, key_bytes: bytes, _: str) -> bytes:
        """As it is."""
        return base64.b64encode(key_bytes)

    def unwrap_key(self, wrapped_key: bytes, _: str) -> bytes:
        """As it was."""
        return base64.b64decode(wrapped_key)


@pytest.mark.parametrize("plain_footer", [True, False])
def test_encrypted_parquet_is_refused(tmp_path: Path, noted: Path, plain_footer: bool) -> None:
    """Before Arrow meets a column that it has no key for, where it ends the process."""
    table = pa.table({"a": [1.0], "note": ["x"]})
    secret = encryption.EncryptionConfiguration(footer_key="f", column_keys={"k": ["a"]}, plaintext_footer=plain_footer)
    properties = encryption.CryptoFactory(Keys).file_encryption_properties(encryption.KmsConnectionConfig(), secret)
    with pq.ParquetWriter(tmp_path / "a.parquet", table.schema, encryption_properties=properties) as writer:
        writer.write_table(table)
    code = "import sys; from tests.support.batch_runs import run; run(*sys.argv[1:])"
    root = Path(__file__).parents[4]

    with pytest.raises(ContractError, match="got an encrypted one") as refused:
        run(noted, tmp_path / "a.parquet", tmp_path / "out")
    assert refused.value.path == str(tmp_path / "a.parquet")
    done = subprocess.run(
        [sys.executable, "-c", code, str(noted), str(tmp_path / "a.parquet"), str(tmp_path / "out")],
        cwd=root,
        env=environment() | {"PYTHONPATH": f"{root / 'services'}:{root}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "encrypted" in done.stderr


def counted(path: Path, rows: int, alike: bool) -> None:
    """A Parquet file whose footer says another number of rows than its pages have, its columns `alike` or not."""
    table = pa.table({"a": [1.0, 2.0, 3.0], "note": ["x", "y", "z"]})
    pq.write_table(table, path, store_schema=False)
    data = bytearray(path.read_bytes())
    size = int.from_bytes(data[-8:-4], "little")
    footer = bytes(data[-8 - size : -8])
    # Thrift's compact protocol: the file's and the row group's number of rows are zigzag i64 fields of three rows.
    zigzag, out = (rows << 1) ^ (rows >> 63), bytearray()
    zigzag &= 2**64 - 1
    while True:
        out.append(zigzag & 0x7F | (0x80 if zigzag > 0x7F else 0))
        zigzag >>= 7
        if not zigzag:
            break
    chunks = footer.split(b"\x16\x06")
    odd, even = b"\x16" + bytes(out), (b"\x16" + bytes(out)) if alike else b"\x16\x06"
    # The file's own number comes first, the row group's last, the columns' values between.
    changed = odd.join([chunks[0], even.join(chunks[1:-1]), chunks[-1]])
    path.write_bytes(bytes(data[: -8 - size]) + changed + len(changed).to_bytes(4, "little") + b"PAR1")


@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("rows", [-1, -(2**62), 2, 4, 2**31, 2**40, 2**62, 2**63 - 1])
def test_a_footer_that_says_another_number_of_rows(tmp_path: Path, noted: Path, rows: int, alike: bool) -> None:
    """Is refused, or its row group is: at once and in little memory, and never with an answer that is not one."""
    counted(tmp_path / "a.parquet", rows, alike)
    if alike and rows == 2:
        # Then these are its rows, for every reader.
        assert run(noted, tmp_path / "a.parquet", tmp_path / "out").report["scored"] == 2
        return

    with pytest.raises(FivefoldError) as refused:
        run(noted, tmp_path / "a.parquet", tmp_path / "out")
    assert EXIT[refused.value.code] == 3
    assert not (tmp_path / "out" / "_SUCCESS").exists()


def test_files_without_rows_and_without_columns(tmp_path: Path, noted: Path) -> None:
    """No rows are valid and give none; no columns are no table."""
    pq.write_table(
        pa.table({"a": pa.array([], pa.float64()), "note": pa.array([], pa.string())}), tmp_path / "a.parquet"
    )
    report = run(noted, tmp_path / "a.parquet", tmp_path / "out").report
    assert (report["rows"], report["scored"]) == (0, 0)

    pq.write_table(pa.table({}), tmp_path / "b.parquet")
    with pytest.raises(ContractError, match="a file that has none"):
        run(noted, tmp_path / "b.parquet", tmp_path / "other")


def test_rows_are_counted_where_no_column_is_known(tmp_path: Path) -> None:
    """All fields have defaults: a footer alone does not make rows."""
    from tests.support.optional_bundle import write_optional

    model = write_optional(tmp_path / "model")
    pq.write_table(pa.table({"other": [1, 2, 3]}), tmp_path / "a.parquet")
    assert run(model, tmp_path / "a.parquet", tmp_path / "out", columns=("other",)).report["scored"] == 3
    pq.write_table(pa.table({"other": [1]}).select([]), tmp_path / "b.parquet")
    with pytest.raises(ContractError, match="a file that has none"):
        run(model, tmp_path / "b.parquet", tmp_path / "none")


ODD = (ValueError("odd"), KeyError("x"), OverflowError("big"), UnicodeError("no"), pa.ArrowInvalid("bad"))


@pytest.mark.parametrize("error", ODD)
@pytest.mark.parametrize("reader", [Parquet, JsonLines])
def test_what_a_reader_fails_on_is_its_file_s_fault(
    tmp_path: Path, noted: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, reader: Any
) -> None:
    """And named, with exit status 3."""
    path = tmp_path / ("a.parquet" if reader is Parquet else "a.jsonl")
    pq.write_table(pa.table({"a": [1.0], "note": ["x"]}), tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_text('{"a": 1, "note": "x"}\n')

    def fails(*_: Any, **__: Any) -> Iterator[Any]:
        raise error
        yield

    monkeypatch.setattr(reader, "read", fails)
    with pytest.raises(ContractError, match="cannot be read") as refused:
        run(noted, path, tmp_path / "out")
    assert (refused.value.code, refused.value.path) == ("malformed", str(path))


def test_a_disk_that_cannot_be_read_is_the_input_s(
    tmp_path: Path, noted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the output's, whose directory would be looked at in vain."""
    (tmp_path / "a.jsonl").write_text('{"a": 1, "note": "x"}\n')

    def fails(*_: Any, **__: Any) -> Iterator[Any]:
        raise OSError(5, "Input/output error")
        yield

    monkeypatch.setattr(JsonLines, "read", fails)
    with pytest.raises(RunFailed, match="cannot read: Input/output error") as refused:
        run(noted, tmp_path / "a.jsonl", tmp_path / "out")
    assert refused.value.path == str(tmp_path / "a.jsonl")


@pytest.mark.parametrize("given", [1, 3])
def test_a_reader_that_gives_another_number_of_rows_than_it_said(
    tmp_path: Path, noted: Path, monkeypatch: pytest.MonkeyPatch, given: int
) -> None:
    """Fewer or more: nothing of the fragment counts."""
    (tmp_path / "a.jsonl").write_text('{"a": 1, "note": "x"}\n' * 2)
    real = JsonLines.read

    def other(self: Any, *rest: Any) -> Iterator[Any]:
        chunks = list(real(self, *rest))
        if given == 1:
            for chunk in chunks:
                yield type(chunk)(chunk.columns.slice(0, 1), chunk.numbers[:1], {})
        else:
            yield from chunks
            (chunk,) = chunks
            yield type(chunk)(chunk.columns.slice(0, 1), chunk.numbers[:1] + 2, {})

    monkeypatch.setattr(JsonLines, "read", other)
    with pytest.raises(ContractError, match=f"expected 2 rows .*, got {given}") as refused:
        run(noted, tmp_path / "a.jsonl", tmp_path / "out")
    assert refused.value.path == str(tmp_path / "a.jsonl")
    assert records(tmp_path / "out") == []


QUITS = b'''
import sys

class Sum:
    """Adds two columns, and ends everything at a 7."""

    def predict(self, columns):
        if (columns["a"] == 7).any():
            sys.exit(3)
        total = columns["a"] + columns["b"]
        return {"total": total, "label": (total > 0).astype("int64")}
'''


def test_a_model_that_wants_to_end_the_process(tmp_path: Path) -> None:
    """Fails on that row, like any other model that fails; with the columns that were asked for."""
    model = write_python(tmp_path / "model", QUITS).path
    (tmp_path / "a.jsonl").write_text("".join(f'{{"a": {row}, "b": 1, "id": "r{row}"}}\n' for row in range(20)))

    run(model, tmp_path / "a.jsonl", tmp_path / "out", max_bad_fraction=1, columns=("id", "b"))

    (record,) = quarantined(tmp_path / "out")
    assert (record["row"], record["code"]) == (7, "model_failed")
    assert record["columns"] == {"b": 1.0, "id": "r7"}
    assert len(answers(tmp_path / "out")) == 19


class Deadly(Inline):
    """Inline work that dies over one row, however often it is replaced, and remembers what else was in work."""

    row = 0
    order: list[tuple[int, int]] = []

    def wait(self, seconds: float) -> Iterator[tuple[Fragment | None, FragmentOutcome | None]]:
        """Die over that fragment."""
        if self._work is not None:
            fragment, attempt, _ = self._work
            type(self).order.append((fragment.range.row, attempt))
            if fragment.range.row == type(self).row:
                self._work = None
                yield fragment, None
                return
        yield from super().wait(seconds)


@pytest.mark.parametrize("attempts", [1, 2, 3])
def test_a_deadly_fragment_is_tried_last_and_alone(
    tmp_path: Path, noted: Path, monkeypatch: pytest.MonkeyPatch, attempts: int
) -> None:
    """So often and no more; with more than one attempt, all others are finished by then."""
    (tmp_path / "a.jsonl").write_text('{"a": 1, "note": "x"}\n' * 100)
    monkeypatch.setattr(Deadly, "order", [])
    order = RunOrder(str(noted), (str(tmp_path / "a.jsonl"),), str(tmp_path / "out"))

    with pytest.raises(RunFailed, match=f"{attempts} workers? died over fragment") as lost:
        score(order, BatchSettings(fragment_bytes=200, attempts=attempts), out=io.StringIO(), actors=Deadly)

    assert (lost.value.code, lost.value.path) == ("worker_lost", str(tmp_path / "a.jsonl"))
    tries = [attempt for row, attempt in Deadly.order if row == 0]
    assert tries == list(range(1, attempts + 1))
    if attempts > 1:
        assert Deadly.order[-1] == (0, attempts)
        assert len(records(tmp_path / "out")) == len({row for row, _ in Deadly.order}) - 1
