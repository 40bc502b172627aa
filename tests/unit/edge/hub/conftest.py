"""The stores that this machine has, each empty."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from loadtest.stream import kafka_broker
from tests.support import programs
from tests.support.hubs import RunningHub, running_hub
from tests.support.postgres_server import PostgresServer, postgres_server

from fivefold.edge.hub.database import HubDatabase
from fivefold.edge.hub.store_opening import open_database

KFAKE = programs.needed("kfake", "the hub and a Kafka")
KAFKA = programs.jars(f"kafka-{kafka_broker.VERSION}", "the hub and the real Kafka")
collect_ignore = [] if KFAKE or KAFKA else ["test_forwarding_to_kafka.py"]
POSTGRES = programs.needed("postgres", "the hub on Postgres")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A Postgres, which tests leave running."""
    assert POSTGRES is not None
    with postgres_server(POSTGRES) as server:
        yield server


@pytest.fixture(params=["sqlite", *(["postgres"] if POSTGRES else [])])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HubDatabase]:
    """Each store in turn."""
    url = None if request.param == "sqlite" else request.getfixturevalue("postgres").database()
    with closing(open_database(str(tmp_path / "hub"), url)) as made:
        yield made


@pytest.fixture
def local(tmp_path: Path) -> Iterator[HubDatabase]:
    """The store of a directory, where which one it is does not matter."""
    with closing(open_database(str(tmp_path / "hub"), None)) as made:
        yield made


@pytest.fixture
def hub(local: HubDatabase) -> Iterator[RunningHub]:
    """A hub that answers."""
    with running_hub(local) as made:
        yield made
