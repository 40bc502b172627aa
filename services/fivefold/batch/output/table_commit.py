"""Publishing into a table: the run's Parquet files become one commit of a Delta or an Iceberg table, once.

No row is copied: the table points to the files where they lie. The commit carries the run's id, and a table that has it
is left alone, so that a publishing that died is done again without harm. Readers of the table see all of a run or
nothing of it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow.parquet as pq

from fivefold.batch.output.ledger import Record, part_name
from fivefold.batch.plan.planning import Plan
from fivefold.batch.storage.output_storage import Storage
from fivefold.core.errors import ProtocolError, RunFailed, first_line

RUN_ID = "run_id"
"""The property of an Iceberg snapshot, and the application id of a Delta transaction is its value."""


def check(format: str, output: str, delta: str, iceberg: str) -> None:
    """Refuse what cannot be published before anything is scored: `ProtocolError` `not_implemented`."""
    if (delta or iceberg) and format != "parquet":
        raise ProtocolError("not_implemented", f"a table is made of Parquet, got --format {format}")
    if delta and _below(delta, output) is None:
        raise ProtocolError(
            "not_implemented",
            f"expected an output in the table's own directory {delta}, got {output}",
            help=f"a Delta table names its files relatively: --output {delta.rstrip('/')}/runs/today",
        )


def to_delta(table: str, storage: Storage, plan: Plan, records: Mapping[str, Record], options: dict[str, str]) -> bool:
    """Add a run to the Delta table in a directory or at a URL, which is made where there is none.

    False where the table has the run already. Needs `deltalake`. Raises `RunFailed` where the table refuses.
    """
    from deltalake import CommitProperties, DeltaTable, Schema, Transaction
    from deltalake.transaction import AddAction

    prefix = _below(table, storage.url)
    assert prefix is not None  # `check` was called
    parts = _parts(plan, records)
    if not parts:
        return False

    def commit() -> bool:
        schema = Schema.from_arrow(_schema(storage, next(iter(parts))))
        found = DeltaTable.create(table, schema, mode="ignore", storage_options=options)
        if found.transaction_version(plan.run_id) is not None:
            return False
        now = int(time.time() * 1000)
        actions: list[Any] = [
            AddAction(f"{prefix}{name}", each.bytes, {}, now, True, json.dumps({"numRecords": each.scored}))
            for name, each in parts.items()
        ]
        properties = CommitProperties(app_transactions=[Transaction(plan.run_id, 1)])
        found.create_write_transaction(actions, "append", schema, commit_properties=properties)
        return True

    return _refusing(table, commit)


def to_iceberg(table: str, storage: Storage, plan: Plan, records: Mapping[str, Record]) -> bool:
    """Add a run to an Iceberg table `CATALOG.NAMESPACE.TABLE`, which is made where there is none.

    Where the catalog is, pyiceberg's own configuration says. False where the table has the run already. Needs
    `pyiceberg`. Raises `RunFailed` where the catalog or the table refuses.
    """
    from pyiceberg.catalog import load_catalog

    catalog_name, _, identifier = table.partition(".")
    parts = _parts(plan, records)
    if not parts:
        return False

    def commit() -> bool:
        catalog = load_catalog(catalog_name)
        catalog.create_namespace_if_not_exists(identifier.rpartition(".")[0])
        found = catalog.create_table_if_not_exists(identifier, schema=_schema(storage, next(iter(parts))))
        if any(snapshot.summary and snapshot.summary[RUN_ID] == plan.run_id for snapshot in found.snapshots()):
            return False
        found.add_files([f"{storage.url}/{name}" for name in parts], snapshot_properties={RUN_ID: plan.run_id})
        return True

    return _refusing(table, commit)


def _refusing(table: str, commit: Callable[[], bool]) -> bool:
    try:
        return commit()
    except Exception as err:  # the libraries raise a dozen unrelated classes
        help = "the run is scored; once the table takes it, the same command publishes it"
        raise RunFailed(
            "storage_failed", f"the table cannot be written: {first_line(err)}", path=table, help=help
        ) from err


def _parts(plan: Plan, records: Mapping[str, Record]) -> dict[str, Record]:
    """The files that have rows, in the input's order."""
    found = [records[fragment.id] for fragment in plan.fragments]
    return {part_name(each.fragment, "parquet"): each for each in found if each.scored}


def _schema(storage: Storage, name: str) -> Any:
    with storage.open(name) as stream:
        return pq.read_schema(stream)


def _below(table: str, output: str) -> str | None:
    """The output's path in the table's directory, with a `/` behind it unless it is that; None where it is outside."""
    table, output = table.rstrip("/"), output.rstrip("/")
    if output == table:
        return ""
    return f"{output.removeprefix(f'{table}/')}/" if output.startswith(f"{table}/") else None
