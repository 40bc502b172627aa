"""What patterns match in an object store: the rules of `test_listing`, over a store in memory."""

from __future__ import annotations

import json
from typing import Any

import pytest
from obstore.store import MemoryStore

from fivefold.batch.storage.sources import search
from fivefold.core.errors import NotFound, ProtocolError, RunFailed
from fivefold.stores import object_store

CSV = b"a,note\n1,x\n"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty one, which is every bucket."""
    memory = MemoryStore()
    monkeypatch.setattr(object_store, "store", lambda url, allow_http: memory)
    return memory


def put(bucket: Any, *keys: str, data: bytes = CSV) -> None:
    """Objects."""
    for key in keys:
        bucket.put(key, data)


def found(*patterns: str) -> tuple[list[str], dict[str, str]]:
    """Keys, and what is passed over."""
    inputs = search([f"s3://b/{pattern}" for pattern in patterns])
    return [source.url.removeprefix("s3://b/") for source in inputs.sources], {
        path.removeprefix("s3://b/"): why for path, why in inputs.passed_over
    }


def test_a_prefix_that_spark_wrote(bucket: Any) -> None:
    """Named, matched by a pattern, or below a prefix."""
    parts = [f"day/x.parquet/part-{at}.parquet" for at in range(2)]
    others = [
        "day/x.parquet/_SUCCESS",
        "day/x.parquet/_temporary/0/part-9.parquet",
        "day/x.parquet/.part-0.parquet.crc",
    ]
    put(bucket, *parts, *others, "elsewhere/a.csv")
    put(bucket, "day/x.parquet_$folder$", data=b"")

    for pattern in ("day/x.parquet", "day/x.parquet/", "day/*.parquet", "day", "da*", "day/**/*.parquet", "day/*/*"):
        files, passed = found(pattern)
        assert files == parts, pattern
        assert set(passed.values()) <= {"hidden"}
        assert set(passed) <= set(others)
    assert set(found("day")[1]) == set(others)
    assert found("day/x.parquet/_temporary/0/part-9.parquet")[0] == [others[1]]
    assert found("day/x.parquet/_temporary/*/*.parquet")[0] == [others[1]]
    assert found("day", "day/*.parquet", parts[0])[0] == parts


def test_other_names_and_nothing(bucket: Any) -> None:
    """Passed over below a prefix, refused by a pattern; a pattern without an object fails."""
    put(bucket, "d/a.csv", "d/notes.txt")
    put(bucket, "d/empty.csv", data=b"")
    assert found("d") == (
        ["d/a.csv"],
        {"d/notes.txt": "its name says no known format", "d/empty.csv": "empty: it has no header, and no rows"},
    )
    with pytest.raises(ProtocolError, match=r"notes\.txt"):
        found("d/*")
    for pattern in ("e", "d/*.parquet", "d/x.csv"):
        with pytest.raises(NotFound, match="no file matches"):
            found("d/a.csv", pattern)


@pytest.mark.parametrize(
    ("kind", "log"), [("Delta", "_delta_log/0.json"), ("Iceberg", "metadata/v1.metadata.json"), ("Hudi", ".hoodie/x")]
)
def test_a_table_is_more_than_its_objects(bucket: Any, kind: str, log: str) -> None:
    """Also where only a partition of it is named."""
    put(bucket, f"t/{log}", "t/data/dt=1/a.csv", "t/b.csv", "u/c.csv")
    for pattern in ("t", "t/*.csv", "*", "t/data/dt=1", "t/data/dt=1/*.csv", "**/*.csv"):
        with pytest.raises(ProtocolError, match=f"s3://b/t: expected plain files, got an? {kind} table"):
            found(pattern)
    assert found("t/b.csv")[0] == ["t/b.csv"]
    assert found("u")[0] == ["u/c.csv"]


def test_logs_of_runs_and_streams(bucket: Any) -> None:
    """What they do not name does not count."""
    put(bucket, "out/part-1.csv", "out/part-dead.csv", "out/quarantine/part-1.jsonl", "out/_ledger/plan.json")
    report = json.dumps({"parts": [{"part": "part-1.csv"}]}).encode()
    put(bucket, "out/run.json", data=report)
    with pytest.raises(RunFailed, match="not finished"):
        found("out")
    put(bucket, "out/_SUCCESS", data=b"")
    for pattern in ("out", "out/*", "out/**"):
        files, passed = found(pattern)
        assert files == ["out/part-1.csv"], pattern
        assert passed["out/part-dead.csv"] == "not among the run's parts"
    assert passed["out/quarantine/part-1.jsonl"] == "the quarantine of a run"

    put(bucket, "s/dt=1/part-1.csv", "s/dt=1/part-2.csv")
    put(bucket, "s/_spark_metadata/0", data=b'v1\n{"path": "s3://b/s/dt=1/part-1.csv"}')
    assert found("s")[0] == ["s/dt=1/part-1.csv"]
    assert found("s")[1]["s/dt=1/part-2.csv"].startswith("not committed")
