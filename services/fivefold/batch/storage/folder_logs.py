"""What the logs in a folder say about the files beside them: those that count, and tables that are more than files.

The same for a disk and an object store, which are walked by `listing` and `buckets`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import unquote

from fivefold.batch.storage.names import LEDGER, QUARANTINE, REPORT, SPARK_LOG, SUCCESS, Found
from fivefold.core.errors import ProtocolError, RunFailed


class Folder(Protocol):
    """A directory, or a prefix of an object store, as far as its logs are concerned."""

    url: str

    @property
    def name(self) -> str:
        """The last part of its path."""

    @property
    def parent(self) -> Folder | None:
        """The folder above; None where there is none."""

    @property
    def logged(self) -> bool:
        """Whether it may have a log: False spares reading one."""

    @property
    def holds_answers(self) -> bool:
        """Whether it is the output of a run that is finished."""

    def read(self, name: str) -> bytes | None:
        """A file's bytes; None where there is none."""

    def names(self, folder: str) -> list[str]:
        """The names in a folder of it; none where there is none."""


@dataclass(frozen=True, slots=True)
class Log:
    """What a directory's log says about its files: those that count. `answers` where it is the output of a run."""

    counted: frozenset[str]
    answers: bool

    def reason(self, name: str, *, file: bool) -> str | None:
        """Why a name is passed over; None where it is not."""
        if self.answers:
            if name in _KEPT:
                return _KEPT[name]
            return "not among the run's parts" if name.startswith("part-") and name not in self.counted else None
        return None if not file or name in self.counted else f"not committed: {SPARK_LOG} does not name it"

    @classmethod
    def of(cls, folder: Folder) -> Log | None:
        """The log of a directory, where it has one. Raises `RunFailed` for the output of a run that is not finished."""
        if folder.read(f"{LEDGER}/plan.json") is None:
            batches = folder.names(SPARK_LOG)
            return cls(_committed(folder, batches), False) if batches else None
        report = folder.read(REPORT)
        if report is None or folder.read(SUCCESS) is None:
            raise RunFailed(
                "run_conflict",
                "the input is the output of a run that is not finished",
                path=folder.url,
                help="finish it first: fivefold batch resume",
            )
        try:
            return cls(frozenset(part["part"] for part in json.loads(report)["parts"]), True)
        except (ValueError, TypeError, KeyError) as err:
            raise RunFailed("run_conflict", "the report of the run cannot be read", path=folder.url) from err


class FolderLogs:
    """The logs on one pattern's way, each read once."""

    def __init__(self, found: Found) -> None:
        self._found = found
        self._logs: dict[str, Log | None] = {}

    def of(self, folder: Folder) -> Log | None:
        """The log of a folder; that of a stream speaks of the partitions below its own folder, too."""
        if folder.url not in self._logs:
            log = Log.of(folder) if folder.logged else None
            parent = folder.parent
            if log is None and parent is not None and "=" in folder.name:
                above = self.of(parent)
                log = None if above is None or above.answers else above
            self._logs[folder.url] = log
        return self._logs[folder.url]

    def refuse_table(self, folder: Folder) -> None:
        """Refuse a folder in a table. Raises `ProtocolError` `not_implemented`."""
        here: Folder | None = folder
        # The answers of a run may lie in a table's directory, and have a report of their own.
        while here is not None and here.url not in self._found.plain and not here.holds_answers:
            _refuse_table(here)
            self._found.plain.add(here.url)
            here = here.parent


def _refuse_table(folder: Folder) -> None:
    """Refuse a folder that is a table of more than its files."""
    kind = (
        "Delta"
        if folder.names("_delta_log")
        else "Hudi"
        if folder.names(".hoodie")
        else "Iceberg"
        if any(name.endswith(".metadata.json") or name == "version-hint.text" for name in folder.names("metadata"))
        else None
    )
    if kind is not None:
        raise ProtocolError(
            "not_implemented",
            f"expected plain files, got a {kind} table: its directory holds rows that the table no longer has",
            path=folder.url,
            help=f"write the table's current rows into files first, with what reads {kind}, or name the very files",
        )


_KEPT = {REPORT: "the report of a run", QUARANTINE: "the quarantine of a run"}
_BATCH = re.compile(r"([0-9]+)(\.compact)?\Z")


def _committed(folder: Folder, names: list[str]) -> frozenset[str]:
    """The names that a sink of Spark's streams has committed: the newest compacted batch, and all behind it."""
    found = [match for match in map(_BATCH.match, names) if match]
    compacted = max((int(match[1]) for match in found if match[2]), default=-1)
    out: set[str] = set()
    for match in sorted(found, key=lambda match: int(match[1])):
        if int(match[1]) < compacted or (int(match[1]) == compacted and not match[2]):
            continue
        try:
            for line in (folder.read(f"{SPARK_LOG}/{match[0]}") or b"").decode().splitlines()[1:]:
                entry = json.loads(line)
                name = unquote(entry["path"]).rpartition("/")[2]
                (out.discard if entry.get("action", "add") == "delete" else out.add)(name)
        except (ValueError, TypeError, KeyError) as err:
            url = f"{folder.url}/{SPARK_LOG}/{match[0]}"
            raise RunFailed("run_conflict", "the log of the stream cannot be read", path=url) from err
    return frozenset(out)
