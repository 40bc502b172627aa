"""Patterns and what they match."""

from __future__ import annotations

import glob
import os
from pathlib import Path

import pytest

from fivefold.batch.storage.names import matcher
from fivefold.batch.storage.sources import find, format_of


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files at some depths."""
    for name in (
        "a.csv",
        "b/c.parquet",
        "b/d.jsonl.gz",
        "b/_e.csv",
        "b/.f.csv",
        "_g/h.csv",
        "b/i/j.ndjson",
        "readme.md",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["."], ["a.csv", "b/c.parquet", "b/d.jsonl.gz", "b/i/j.ndjson"]),
        (["*.csv"], ["a.csv"]),
        (["a.csv", "*.csv"], ["a.csv"]),
        (["b/*.[pj]*"], ["b/c.parquet", "b/d.jsonl.gz"]),
        (["**/*.ndjson", "b"], ["b/c.parquet", "b/d.jsonl.gz", "b/i/j.ndjson"]),
        (["b/_e.csv"], ["b/_e.csv"]),
    ],
)
def test_files_of_patterns(tree: Path, patterns: list[str], names: list[str]) -> None:
    """Sorted, each once; in a directory without the hidden ones, which can be named."""
    assert [source.url for source in find(patterns)] == [str(tree / name) for name in names]


def test_a_file_is_another_one_when_it_changes(tree: Path) -> None:
    """By size and time, or by content."""
    (before,), (content,) = find(["a.csv"]), find(["a.csv"], digests=True)
    os.utime(tree / "a.csv", ns=(1, 1))
    (after,), (same,) = find(["a.csv"]), find(["a.csv"], digests=True)

    assert before.identity != after.identity
    assert content.identity == same.identity


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.parquet", ("parquet", "")),
        ("A.CSV.GZ", ("csv", ".gz")),
        ("a.ndjson.zst", ("jsonl", ".zst")),
        ("t/part-00000-8d-c000.json", ("jsonl", "")),
        ("part-00000-8d-c000.json.gz", ("jsonl", ".gz")),
        ("a.json", None),
        ("part-1/a.json", None),
        ("a.parquet.gz", None),
        ("csv", None),
        ("a.b", None),
    ],
)
def test_a_name_says_the_format(name: str, expected: tuple[str, str] | None) -> None:
    """By its suffixes."""
    assert format_of(name) == expected


@pytest.mark.parametrize("pattern", ["*.csv", "**/*.csv", "b/**/*", "b/?.parquet", "[!b]*.csv", "b/[a-c]*", "b/**"])
def test_patterns_of_stores_are_those_of_files(tree: Path, pattern: str) -> None:
    """What a shell's pattern matches on a disk, it matches in a bucket; hidden names may match there."""
    every = [str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file()]
    found = glob.glob(pattern, recursive=True, include_hidden=True)  # noqa: PTH207  # what a user's pattern goes through
    on_disk = {name for name in found if Path(name).is_file()}

    assert {name for name in every if matcher(pattern).fullmatch(name)} == on_disk
