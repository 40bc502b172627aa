"""What lies in a warehouse beside the data: each path is read once, refused, or passed over with a reason."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.support.batch_runs import answers, run

from fivefold.batch.storage import listing
from fivefold.batch.storage.sources import search
from fivefold.core.errors import AccessError, ContractError, FivefoldError, NotFound, ProtocolError, RunFailed

CSV = "a,note\n1,x\n"


def write(root: Path, *names: str, text: str = CSV) -> None:
    """Files at some depths."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def found(root: Path, *patterns: str) -> tuple[list[str], dict[str, str]]:
    """Files and what is passed over, relative to a directory."""
    inputs = search([str(root / pattern) for pattern in patterns])

    def short(path: str) -> str:
        return str(Path(path).relative_to(root))

    return [short(source.url) for source in inputs.sources], {short(path): why for path, why in inputs.passed_over}


def test_a_directory_that_spark_wrote(tmp_path: Path) -> None:
    """Named, matched by a pattern, or in a directory: its parts, and word of everything else."""
    table = "day/x.parquet"
    parts = [f"{table}/part-0000{at}-c000.snappy.parquet" for at in range(2)]
    others = [
        f"{table}/_SUCCESS",
        f"{table}/._SUCCESS.crc",
        f"{table}/.part-00000-c000.snappy.parquet.crc",
        f"{table}/_temporary",
        f"{table}/_committed_8123",
        f"{table}/_started_8123",
    ]
    write(tmp_path, *parts, *others[:3], f"{table}/_temporary/0/part-9.parquet", *others[4:])

    for pattern in (table, "day/*.parquet", "day", "*", "**/*.parquet", "day/**", f"{table}/*"):
        files, passed = found(tmp_path, pattern)
        assert files == parts, pattern
        assert set(passed.values()) <= {"hidden"}
        assert set(passed) <= set(others)
    assert set(found(tmp_path, table)[1]) == set(others)


def test_partitions_are_directories_too(tmp_path: Path) -> None:
    """Also where a key begins as a hidden name does."""
    write(tmp_path, "t/dt=1/h=0/a.csv", "t/dt=2/a.csv", "t/_k=3/a.csv", "t/_tmp/a.csv", "t/notes.txt")

    assert found(tmp_path, "t") == (
        ["t/_k=3/a.csv", "t/dt=1/h=0/a.csv", "t/dt=2/a.csv"],
        {"t/_tmp": "hidden", "t/notes.txt": "its name says no known format"},
    )
    assert found(tmp_path, "t/dt=*")[0] == ["t/dt=1/h=0/a.csv", "t/dt=2/a.csv"]


def test_one_file_under_many_names_is_scored_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spellings are one path; links are passed over, and say whose they are."""
    write(tmp_path, "a.csv", "d/b.csv")
    (tmp_path / "link.csv").symlink_to("a.csv")
    os.link(tmp_path / "a.csv", tmp_path / "twin.csv")
    (tmp_path / "e").symlink_to("d")
    monkeypatch.chdir(tmp_path)

    inputs = search(["a.csv", "./a.csv", str(tmp_path / "a.csv"), f"file://{tmp_path}/a.csv", "*.csv", "[a]*.csv", "."])
    same = f"the same file as {tmp_path / 'a.csv'}"
    assert [source.url for source in inputs.sources] == [str(tmp_path / "a.csv"), str(tmp_path / "d/b.csv")]
    assert dict(inputs.passed_over) == {
        str(tmp_path / "link.csv"): same,
        str(tmp_path / "twin.csv"): same,
        str(tmp_path / "e/b.csv"): f"the same file as {tmp_path / 'd/b.csv'}",
    }
    assert len(search(["d/../a.csv", "a.csv"]).sources) == 1


def test_linked_directories_are_followed_and_circles_are_not(tmp_path: Path) -> None:
    """A link is as good as a directory, and one back up ends."""
    write(tmp_path, "data/x/a.csv", "other/b.csv")
    (tmp_path / "data/y").symlink_to(tmp_path / "other")
    (tmp_path / "data/x/up").symlink_to(tmp_path / "data")

    for pattern in ("data", "data/**/*.csv", "data/**", "dat*"):
        files, passed = found(tmp_path, pattern)
        assert files == ["data/x/a.csv", "data/y/b.csv"], pattern
        assert passed == {"data/x/up": "a link back to a directory above it"}


def test_what_must_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never skipped: what is in it, nobody knows."""
    write(tmp_path, "data/a.csv", "data/locked/b.csv")
    real = os.scandir

    def scandir(path: Any) -> Any:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(listing.os, "scandir", scandir)
    for pattern in ("data", "data/**/*.csv", "data/*/*.csv", "data/*"):
        with pytest.raises(AccessError, match="locked: cannot be read: permission denied"):
            found(tmp_path, pattern)


def test_links_to_nothing_and_files_that_are_none(tmp_path: Path) -> None:
    """A link to data that is gone is refused; a pipe is passed over, and refused where it is named."""
    write(tmp_path, "data/a.csv")
    os.mkfifo(tmp_path / "data/p.csv")
    assert found(tmp_path, "data/*") == (["data/a.csv"], {"data/p.csv": "neither a file nor a directory"})
    with pytest.raises(RunFailed, match="expected a file, got a pipe"):
        found(tmp_path, "data/p.csv")
    (tmp_path / "data/b.csv").symlink_to("gone.csv")
    for pattern in ("data", "data/*.csv", "data/b.csv"):
        with pytest.raises(NotFound, match=r"b\.csv: the link leads nowhere"):
            found(tmp_path, pattern)


def test_a_pattern_without_a_file_fails(tmp_path: Path) -> None:
    """Whether nothing matches or everything is passed over, which it then says; a misspelt name has a suggestion."""
    write(tmp_path, "day/_a.csv", "day/_SUCCESS", "sales.csv", "day2/empty.csv")
    (tmp_path / "day2/empty.csv").write_text("")
    (tmp_path / "empty").mkdir()
    for pattern in ("x/*.csv", "day/*.parquet", "empty", "empty/*", "x.csv"):
        with pytest.raises(NotFound, match="no file matches"):
            found(tmp_path, "sales.csv", pattern)
    with pytest.raises(NotFound, match=r"2 passed over: .*/day/_SUCCESS \(hidden\), .*/day/_a\.csv \(hidden\)"):
        found(tmp_path, "sales.csv", "day")
    with pytest.raises(NotFound, match=r"1 passed over: .*no header"):
        found(tmp_path, "day2")
    with pytest.raises(NotFound) as misspelt:
        found(tmp_path, "sale.csv")
    assert "sales.csv" in str(misspelt.value.help)


@pytest.mark.parametrize(
    ("kind", "log"),
    [
        ("Delta", "_delta_log/00000000000000000000.json"),
        ("Hudi", ".hoodie/hoodie.properties"),
        ("Iceberg", "metadata/00000-8f.metadata.json"),
        ("Iceberg", "metadata/version-hint.text"),
    ],
)
def test_a_table_is_more_than_its_files(tmp_path: Path, kind: str, log: str) -> None:
    """However it is named, from its root or from a partition; the very files may be named."""
    write(tmp_path, f"t/{log}", "t/data/dt=1/a.csv", "t/b.csv", "u/c.csv")

    for pattern in ("t", "t/*.csv", "*", "**/*.csv", "t/data/dt=1", "t/data/*/*.csv", "t/data"):
        with pytest.raises(ProtocolError, match=f"/t: expected plain files, got an? {kind} table") as refused:
            found(tmp_path, pattern)
        assert refused.value.code == "not_implemented"
    assert found(tmp_path, "t/b.csv")[0] == ["t/b.csv"]
    assert found(tmp_path, "u")[0] == ["u/c.csv"]


def test_a_stream_of_sparks_counts_what_it_has_committed(tmp_path: Path) -> None:
    """By its log, compacted or not, in partitions too."""
    names = [f"dt={at % 2}/part-{at}.csv" for at in range(6)]
    write(tmp_path, *(f"s/{name}" for name in names))

    def batch(name: str, *entries: dict[str, Any]) -> None:
        text = "v1\n" + "\n".join(json.dumps(entry) for entry in entries)
        write(tmp_path, f"s/_spark_metadata/{name}", text=text)

    def entry(name: str, action: str = "add") -> dict[str, Any]:
        return {"path": f"file:///elsewhere/{name.replace('=', '%3D')}", "size": 1, "action": action}

    batch("0", entry(names[5]))
    batch("1.compact", entry(names[0]), entry(names[1]))
    batch("2", entry(names[2]), entry(names[1], "delete"))
    files, passed = found(tmp_path, "s")
    assert files == [f"s/{names[0]}", f"s/{names[2]}"]
    assert passed.pop("s/_spark_metadata") == "hidden"
    assert set(passed) == {f"s/{names[at]}" for at in (1, 3, 4, 5)}
    assert all(why.startswith("not committed") for why in passed.values())
    assert found(tmp_path, "s/*/*.csv")[0] == files


KEPT = ("_SUCCESS", "_ledger", "run.json", "quarantine")


@pytest.mark.parametrize("format", ["parquet", "jsonl", "csv"])
def test_the_output_of_a_run_as_input(tmp_path: Path, noted: Path, format: str) -> None:
    """Its answers alone: neither its report nor its quarantine, nor a part that does not count."""
    (tmp_path / "a.csv").write_text("id,a,note\n1,1,x\n2,999,y\n")
    run(noted, tmp_path / "a.csv", tmp_path / "out", format=format, max_bad_fraction=1)
    (part,) = (tmp_path / "out").glob("part-*")
    write(tmp_path, f"out/part-00007-dead.{format}")

    for pattern in ("out", "out/*", "out/**", f"out/**/*.{format}", "o*"):
        files, passed = found(tmp_path, pattern)
        assert files == [f"out/{part.name}"], pattern
        assert set(passed) <= {f"out/{name}" for name in (*KEPT, f"part-00007-dead.{format}")}
        assert passed[f"out/part-00007-dead.{format}"] == "not among the run's parts"
    assert found(tmp_path, "out")[1]["out/quarantine"] == "the quarantine of a run"
    (tmp_path / "out/_SUCCESS").unlink()
    with pytest.raises(RunFailed, match="not finished"):
        found(tmp_path, "out")


def test_a_name_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    """No report could say it."""
    os.close(os.open(os.fsencode(tmp_path) + b"/\xff.csv", os.O_CREAT))
    for pattern in (".", "*.csv"):
        with pytest.raises(ContractError, match=r"\\xff\.csv: the name is not UTF-8") as refused:
            found(tmp_path, pattern)
        assert refused.value.code == "not_utf8"


def test_the_report_says_what_was_passed_over(tmp_path: Path, noted: Path) -> None:
    """With the reason, and the rows of the others are scored once."""
    write(tmp_path, "in/a.csv", "in/notes.md", "in/_SUCCESS")
    pq.write_table(pa.table({"a": [2.0], "note": ["y"]}), tmp_path / "in/b.parquet")
    (tmp_path / "in/c.csv").symlink_to("a.csv")

    report = run(noted, [str(tmp_path / "in"), str(tmp_path / "in/*.csv")], tmp_path / "out").report
    assert report["passed_over"] == [
        {"path": str(tmp_path / "in/_SUCCESS"), "reason": "hidden"},
        {"path": str(tmp_path / "in/c.csv"), "reason": f"the same file as {tmp_path / 'in/a.csv'}"},
        {"path": str(tmp_path / "in/notes.md"), "reason": "its name says no known format"},
    ]
    assert [row["said"] for row in answers(tmp_path / "out")] == ["x", "y"]
    again = run(noted, [str(tmp_path / "in"), str(tmp_path / "in/*.csv")], tmp_path / "out")
    assert again.scored_now == 0


def test_a_file_of_another_kind_that_is_named_is_refused(tmp_path: Path) -> None:
    """By a pattern of files as by its name."""
    write(tmp_path, "a.csv", "b.txt")
    for pattern in ("*", "b.txt", "[ab].*"):
        with pytest.raises(FivefoldError, match=r"b\.txt: expected a file of"):
            found(tmp_path, pattern)
