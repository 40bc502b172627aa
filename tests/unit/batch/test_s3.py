"""Runs whose files are objects, over a real S3 server (versitygw)."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.unit.batch.world import answers, run
from tests.unit.delivery.test_s3 import ACCESS, SECRET, until_open

from fivefold.batch.places import Bucket
from fivefold.batch.sources import find
from fivefold.core.errors import NotFound, RunFailed


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Its address, and the directory with its buckets."""
    program = os.environ.get("FIVEFOLD_VERSITYGW") or shutil.which("versitygw")
    assert program
    root = tmp_path_factory.mktemp("s3")
    (root / "data" / "in").mkdir(parents=True)
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{trial.getsockname()[1]}"
    words = [program, "--access", ACCESS, "--secret", SECRET, "--port", address, "--quiet", "posix", str(root)]
    sidecar = tmp_path_factory.mktemp("about")
    words[-1:] = ["--sidecar", str(sidecar), str(root)]
    with (root.parent / "s3.log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log)
    try:
        until_open(address, process)
        yield f"http://{address}", root
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture(autouse=True)
def account(server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual variables, and none of the machine's own."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server[0])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_REGION", "us-east-1")


@pytest.fixture
def data(server: tuple[str, Path], tmp_path: Path) -> Path:
    """Three files, on the disk and in the bucket."""
    home = tmp_path / "data"
    home.mkdir()
    (home / "a.csv").write_text("a,note\n" + "".join(f"{row % 90},n{row}\n" for row in range(2000)))
    (home / "b.jsonl").write_text("".join(json.dumps({"a": row % 110, "note": "x"}) + "\n" for row in range(2000)))
    table = pa.table({"a": [float(row % 90) for row in range(2000)], "note": ["x"] * 2000})
    pq.write_table(table, home / "c.parquet", row_group_size=500)
    store = Bucket("s3://data/in", clear=True)
    for path in home.iterdir():
        copy = tmp_path / "copy"
        shutil.copy(path, copy)
        store.put(copy, path.name)
    return home


def test_a_run_from_objects_to_objects(data: Path, noted: Path, tmp_path: Path) -> None:
    """What is written is what is written on a disk, and it is finished there."""
    settings: dict[str, Any] = {"fragment_bytes": 5000, "max_bad_fraction": 0.2}
    result = run(noted, "s3://data/in/*", "s3://data/out", store_http=True, **settings)
    again = run(noted, "s3://data/in/*", "s3://data/out", store_http=True, **settings)
    run(noted, data, tmp_path / "out", **settings)

    store = Bucket("s3://data/out", clear=True)
    assert store.read("_SUCCESS") == b""
    assert (result.report["rows"], result.report["scored"]) == (6000, 6000 - result.report["quarantined"])
    assert result.report["quarantined"] == 2000 // 110 * 9
    assert again.scored_now == 0
    assert again.report == result.report
    mine = []
    for part in result.report["parts"]:
        mine += pq.read_table(pa.BufferReader(store.read(part["part"]))).to_pylist()
    assert mine == answers(tmp_path / "out")


def test_a_name_is_given_once_there_too(data: Path) -> None:
    """By the store."""
    store = Bucket("s3://data/once", clear=True)

    assert store.create("_ledger/x.json", b"first")
    assert not store.create("_ledger/x.json", b"second")
    assert store.read("_ledger/x.json") == b"first"
    assert store.names("_ledger") == ["x.json"]
    assert store.names("none") == []


def test_an_object_that_is_replaced_is_noticed(data: Path, tmp_path: Path) -> None:
    """Each read asks for the version that was planned."""
    (source,) = find(["s3://data/in/a.csv"], clear=True)
    store = Bucket("s3://data/in", clear=True)
    (tmp_path / "other").write_text("a,note\n" + "9,y\n" * 3000)
    store.put(tmp_path / "other", "a.csv")

    with pytest.raises(RunFailed, match="changed since the run was planned"), source.open(clear=True) as stream:
        stream.read()


def test_what_is_not_there(data: Path) -> None:
    """Named as it was asked for."""
    with pytest.raises(NotFound, match=r"no file matches s3://data/none/\*"):
        find(["s3://data/none/*"], clear=True)
    with pytest.raises(RunFailed, match="s3://nowhere") as refused:
        find(["s3://nowhere/*.csv"], clear=True)
    assert refused.value.code == "storage_failed"


def test_an_endpoint_without_https_has_to_be_allowed(data: Path) -> None:
    """What is read would be read on the way, too."""
    with pytest.raises(RunFailed) as refused:
        find(["s3://data/in/*"])
    assert refused.value.code == "storage_failed"
