"""Who does a run's work: what was asked for, or what finishes it first."""

from __future__ import annotations

from typing import Any

import pytest

from fivefold.batch.engine.actors import Actors
from fivefold.batch.engine.cost import Cost, ray_pays
from fivefold.batch.engine.engine_choice import workers_of
from fivefold.batch.engine.local_first import LocalFirst
from fivefold.batch.engine.local_process import LocalProcess
from fivefold.batch.engine.ray_cluster import ADDRESS
from fivefold.batch.formats.chunk import Range
from fivefold.batch.plan.planning import Fragment, Plan
from fivefold.batch.plan.settings import BatchSettings
from fivefold.batch.storage.sources import SourceFile
from fivefold.batch.work.task import RunTask
from fivefold.core.settings import SettingsError
from fivefold.delivery.settings import DeliverySettings

MEGABYTE = 10**6


def fragments(count: int, megabytes: int, format: str = "csv", compressed: str = "", rows: int | None = 1000) -> Any:
    """So many fragments of one file that is so large together."""
    file = SourceFile("f", format, compressed, megabytes * MEGABYTE, "x")
    step = 1 if format == "parquet" else file.size // count
    each = None if rows is None else rows // count
    return tuple(Fragment(str(i), file, Range(i * step, (i + 1) * step, 0, each)) for i in range(count))


def chosen(found: Any, **settings: Any) -> Any:
    """The workers of a run over some fragments."""
    task = RunTask("model", "digest", "out", BatchSettings(**settings), DeliverySettings())
    return workers_of(task, Plan("run", {}, (), found), found)


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine alone."""
    monkeypatch.delenv(ADDRESS, raising=False)
    monkeypatch.setattr("fivefold.local.processes.cores", lambda: 2)


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (fragments(1, 1), LocalProcess),
        (fragments(1, 90_000), LocalProcess),
        (fragments(8, 1), LocalFirst),
        (fragments(8, 100), LocalFirst),
        (fragments(8, 1_000), Actors),
        (fragments(8, 100, "jsonl", ".gz", rows=None), Actors),
        (fragments(8, 500, "parquet"), LocalFirst),
        (fragments(8, 5_000, "parquet"), Actors),
    ],
)
def test_a_machine_alone(found: Any, wanted: type) -> None:
    """One fragment is one process's, however large; many are Ray's where reading them alone is worth its start."""
    assert type(chosen(found)) is wanted


def test_a_cluster_s_job_is_the_cluster_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """However small, unless one process was asked for."""
    monkeypatch.setenv(ADDRESS, "127.0.0.1:6379")

    assert type(chosen(fragments(1, 1))) is Actors
    assert type(chosen(fragments(1, 1), engine="local")) is LocalProcess


def test_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Is what works; one worker needs no Ray, and one process is not two."""
    assert type(chosen(fragments(1, 1), engine="ray")) is Actors
    assert type(chosen(fragments(8, 90_000), engine="local")) is LocalProcess
    assert type(chosen(fragments(8, 90_000), workers=1)) is LocalProcess
    monkeypatch.setattr("fivefold.local.processes.cores", lambda: 1)
    assert type(chosen(fragments(8, 90_000))) is LocalProcess
    with pytest.raises(SettingsError, match="the engine local is one process, got 2"):
        BatchSettings(engine="local", workers=2)


def test_the_cost_of_a_row_counts() -> None:
    """In proportion to the rows; a row group has its rows' share of its file."""
    text, table = (Cost(fragments(4, 40, format)) for format in ("csv", "parquet"))

    assert text.of(fragments(4, 40)[:1]) == pytest.approx(1 / 3)
    assert table.of(fragments(4, 40, "parquet")[:1]) == pytest.approx(0.04)
    text.row_seconds = 0.01
    assert text.of(fragments(4, 40)) == pytest.approx(4 / 3 + 10)


@pytest.mark.parametrize(
    ("seconds", "workers", "pays"), [(1e9, 1, False), (5.9, 2, False), (6.1, 2, True), (3.1, 64, True), (3, 64, False)]
)
def test_ray_pays_where_it_saves_more_than_its_start(seconds: float, workers: int, pays: bool) -> None:
    """More workers need less work for that; one never saves anything."""
    assert ray_pays(seconds, workers) is pays
