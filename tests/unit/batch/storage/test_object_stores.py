"""Runs whose files are objects, over real servers: S3 (versitygw) and Google Cloud Storage (fake-gcs-server)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.support import s3_server
from tests.support.batch_runs import answers, run
from tests.unit.batch.conftest import STORES

from fivefold.batch.storage.output_storage import BucketStorage
from fivefold.batch.storage.sources import find
from fivefold.core.errors import NotFound, RunFailed


@pytest.fixture(scope="module", params=STORES)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Any]]:
    """A store's scheme, and the variables that lead to its server."""
    with s3_server.store(request.param, tmp_path_factory.mktemp(request.param)) as variables:
        yield request.param, variables


@pytest.fixture
def root(server: tuple[str, Any], monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a bucket of a server that the environment names."""
    s3_server.chosen(monkeypatch, server[1])
    return f"{server[0]}://data"


@pytest.fixture
def data(root: str, tmp_path: Path) -> Path:
    """Three files, on the disk and in the bucket."""
    home = tmp_path / "data"
    home.mkdir()
    (home / "a.csv").write_text("a,note\n" + "".join(f"{row % 90},n{row}\n" for row in range(2000)))
    (home / "b.jsonl").write_text("".join(json.dumps({"a": row % 110, "note": "x"}) + "\n" for row in range(2000)))
    table = pa.table({"a": [float(row % 90) for row in range(2000)], "note": ["x"] * 2000})
    pq.write_table(table, home / "c.parquet", row_group_size=500)
    store = BucketStorage(f"{root}/in", allow_http=True)
    for path in home.iterdir():
        copy = tmp_path / "copy"
        shutil.copy(path, copy)
        store.put(copy, path.name)
    return home


def test_a_run_from_objects_to_objects(root: str, data: Path, noted: Path, tmp_path: Path) -> None:
    """What is written is what is written on a disk, and it is finished there."""
    settings: dict[str, Any] = {"fragment_bytes": 5000, "max_bad_fraction": 0.2}
    result = run(noted, f"{root}/in/*", f"{root}/out", store_http=True, **settings)
    again = run(noted, f"{root}/in/*", f"{root}/out", store_http=True, **settings)
    run(noted, data, tmp_path / "out", **settings)

    store = BucketStorage(f"{root}/out", allow_http=True)
    assert store.read("_SUCCESS") == b""
    assert (result.report["rows"], result.report["scored"]) == (6000, 6000 - result.report["quarantined"])
    assert result.report["quarantined"] == 2000 // 110 * 9
    assert again.scored_now == 0
    assert again.report == result.report
    mine = []
    for part in result.report["parts"]:
        mine += pq.read_table(pa.BufferReader(store.read(part["part"]))).to_pylist()
    assert mine == answers(tmp_path / "out")


def test_a_name_is_given_once_there_too(root: str, data: Path) -> None:
    """By the store."""
    store = BucketStorage(f"{root}/once", allow_http=True)

    assert store.create("_ledger/x.json", b"first")
    assert not store.create("_ledger/x.json", b"second")
    assert store.read("_ledger/x.json") == b"first"
    assert store.names("_ledger") == ["x.json"]
    assert store.names("none") == []


if "s3" in STORES:  # the server of the other one takes no parts

    @pytest.mark.parametrize("server", ["s3"], indirect=True)
    def test_a_large_file_goes_up_in_parts(root: str, tmp_path: Path) -> None:
        """And is one object after the last of them."""
        (tmp_path / "large").write_bytes(large := bytes(range(256)) * 50_000)
        store = BucketStorage(f"{root}/large", allow_http=True)
        store.put(tmp_path / "large", "one")

        assert store.read("one") == large
        assert store.names("") == ["one"]


def test_an_object_that_is_replaced_is_noticed(root: str, data: Path, tmp_path: Path) -> None:
    """Each read asks for the version that was planned, and sees whether it got it where the server ignores that."""
    (source,) = find([f"{root}/in/a.csv"], allow_http=True)
    store = BucketStorage(f"{root}/in", allow_http=True)
    (tmp_path / "other").write_text("a,note\n" + "9,y\n" * 9000)
    store.put(tmp_path / "other", "a.csv")

    with pytest.raises(RunFailed, match="changed since the run was planned"), source.open(allow_http=True) as stream:
        stream.read()


def test_what_is_not_there(root: str, data: Path) -> None:
    """Named as it was asked for."""
    with pytest.raises(NotFound, match=rf"no file matches {root}/none/\*"):
        find([f"{root}/none/*"], allow_http=True)
    nowhere = root.replace("data", "nowhere")
    with pytest.raises(RunFailed, match=nowhere) as refused:
        find([f"{nowhere}/*.csv"], allow_http=True)
    assert refused.value.code == "storage_failed"


def test_an_endpoint_without_https_has_to_be_allowed(root: str, data: Path) -> None:
    """What is read would be read on the way, too."""
    with pytest.raises(RunFailed) as refused:
        find([f"{root}/in/*"])
    assert refused.value.code == "storage_failed"
