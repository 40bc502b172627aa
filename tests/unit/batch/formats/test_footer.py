"""Footers of Parquet files: what is read of them is what Arrow reads, and no damage to them ends the process."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.support.score_commands import environment

from fivefold.batch.formats import footer
from fivefold.core.errors import ContractError

ROWS = 2000

TABLES: dict[str, tuple[Any, dict[str, Any]]] = {
    "flat": (pa.table({"a": range(ROWS), "b": ["x"] * ROWS}), {}),
    "one column": (pa.table({"a": range(ROWS)}), {"row_group_size": 7}),
    "nested": (pa.table({"a": range(ROWS), "l": [[1, 2], [], None, [3]] * (ROWS // 4)}), {"row_group_size": 333}),
    "lists alone": (pa.table({"l": [[1, 2], [], None, [3]] * (ROWS // 4)}), {}),
    "structures": (pa.table({"s": [{"a": 1, "b": [{"c": "x"}]}] * ROWS}), {"row_group_size": 500}),
    "no rows": (pa.table({"a": pa.array([], pa.int64())}), {}),
    "sorted, with indexes and checksums": (
        pa.table({"a": range(ROWS), "b": [1.5] * ROWS}),
        {
            "write_page_index": True,
            "write_page_checksum": True,
            "sorting_columns": [pq.SortingColumn(0)],
            "compression": "zstd",
            "bloom_filter_options": {"a": {"ndv": 10, "fpp": 0.1}},
        },
    ),
    "many columns": (pa.table({f"c{at}": range(50) for at in range(300)}), {"row_group_size": 10}),
    "with metadata": (pa.table({"a": range(ROWS)}).replace_schema_metadata({"k": "v" * 100_000}), {}),
    "version 1": (pa.table({"a": range(ROWS)}), {"version": "1.0", "data_page_version": "2.0"}),
}


@pytest.mark.parametrize("kind", TABLES)
def test_row_groups_are_arrow_s(tmp_path: Path, kind: str) -> None:
    """Rows and stored bytes, of every writer's options."""
    table, options = TABLES[kind]
    path = tmp_path / "a.parquet"
    try:
        pq.write_table(table, path, **options)
    except TypeError:
        # An older Arrow writes no such filter.
        options = {name: value for name, value in options.items() if name != "bloom_filter_options"}
        pq.write_table(table, path, **options)
    metadata = pq.read_metadata(path)
    repeated = [metadata.schema.column(at).max_repetition_level > 0 for at in range(metadata.num_columns)]

    with path.open("rb") as stream:
        found = footer.groups(stream, path.stat().st_size, str(path), repeated)

    wanted = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
    assert [group.rows for group in found] == [each.num_rows for each in wanted]
    assert [group.size for group in found] == [
        sum(each.column(at).total_compressed_size for at in range(each.num_columns)) for each in wanted
    ]


CHILD = """
import sys
from fivefold.batch import formats
from fivefold.batch.formats.chunk import BrokenUnit, ReadRequest
from fivefold.batch.storage.sources import find
from fivefold.core.errors import FivefoldError
from tests.support.batch_runs import CONTRACT
for path in sys.argv[1:]:
    reader = formats.of("parquet", ReadRequest(CONTRACT.inputs[:1], ("id",)))
    (source,) = find([path])
    try:
        reader.check_layout(source)
        for part in reader.ranges(source, 1 << 20):
            try:
                for chunk in reader.read(source, part):
                    pass
            except BrokenUnit:
                pass
    except FivefoldError as error:
        assert error.code in ("malformed", "missing_field", "duplicate_field", "not_utf8"), error
print("alive")
"""


@pytest.mark.full
def test_no_flipped_bit_ends_the_process(tmp_path: Path) -> None:
    """Nor is one an error that nobody foresaw: a file is read, or refused."""
    seed = random.Random(15)
    table = pa.table({"a": [1.0, 2.0, 3.0] * 50, "id": [b"ab"] * 150, "l": [[1]] * 150})
    pq.write_table(table, tmp_path / "base.parquet", row_group_size=60)
    data = (tmp_path / "base.parquet").read_bytes()
    length = int.from_bytes(data[-8:-4], "little")
    paths = []
    for index in range(300):
        spoiled = bytearray(data)
        for _ in range(seed.choice([1, 1, 2, 4])):
            spoiled[len(data) - 8 - length + seed.randrange(length)] ^= 1 << seed.randrange(8)
        paths.append(tmp_path / f"{index}.parquet")
        paths[-1].write_bytes(spoiled)
    root = Path(__file__).parents[4]

    done = subprocess.run(
        [sys.executable, "-c", CHILD, *map(str, paths)],
        cwd=root,
        env=environment() | {"PYTHONPATH": f"{root / 'services'}:{root}"},
        capture_output=True,
        text=True,
    )

    assert done.stdout == "alive\n", done.stderr[-2000:]


@pytest.mark.parametrize("at", range(0, 64, 7))
def test_a_footer_that_breaks_off(tmp_path: Path, at: int) -> None:
    """Is refused where it is read."""
    pq.write_table(pa.table({"a": range(9)}), tmp_path / "a.parquet", store_schema=False)
    data = (tmp_path / "a.parquet").read_bytes()
    length = int.from_bytes(data[-8:-4], "little")
    cut = data[: -8 - length + at] + at.to_bytes(4, "little") + b"PAR1"
    (tmp_path / "b.parquet").write_bytes(cut)

    with (tmp_path / "b.parquet").open("rb") as stream, pytest.raises(ContractError, match="expected a Parquet file"):
        footer.groups(stream, len(cut), "b", [False])
