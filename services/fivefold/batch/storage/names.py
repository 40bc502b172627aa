"""What names in a directory or below a prefix say about the files beside them: hidden ones, logs, tables, runs of ours.

The same for a disk and an object store, which are walked by `listing` and `buckets`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Protocol
from urllib.parse import unquote

from fivefold.core.errors import ContractError, ProtocolError, RunFailed

HIDDEN = ("_", ".")

REPORT, LEDGER, SUCCESS, QUARANTINE = "run.json", "_ledger", "_SUCCESS", "quarantine"
SPARK_LOG = "_spark_metadata"

_HIVE = re.compile(r"([^=/]+)=([^/]*)\Z")
_NULL = "__HIVE_DEFAULT_PARTITION__"


@dataclass(slots=True)
class Found:
    """Files so far, each with whether a pattern names it rather than its directory; and paths that are passed over."""

    files: dict[str, bool] = field(default_factory=dict)
    passed: dict[str, str] = field(default_factory=dict)
    plain: set[str] = field(default_factory=set)
    """Directories that are no table's."""
    added: int = 0
    """How often a file was added."""

    def add(self, path: str, *, named: bool) -> None:
        """One more file."""
        undecodable(path)
        self.files[path] = named or self.files.get(path, False)
        self.added += 1

    def pass_over(self, path: str, reason: str) -> None:
        """A path that is not read."""
        shown = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        self.passed.setdefault(shown, reason)


def hidden(name: str) -> bool:
    """Whether a name is no data by the custom of Hadoop; a partition's key may begin with an underscore."""
    return name[:1] in HIDDEN and not _HIVE.match(name)


def partitions(url: str) -> dict[str, str | None]:
    """The values that the directories of a path give, as Hive writes them; null is None."""
    out: dict[str, str | None] = {}
    for part in PurePosixPath(url).parts[:-1]:
        match = _HIVE.match(part)
        if match is not None:
            value = unquote(match[2])
            out[unquote(match[1])] = None if value == _NULL else value
    return out


def undecodable(path: str) -> None:
    """Refuse a name that is no UTF-8: neither a report nor a record could say it."""
    try:
        path.encode()
    except UnicodeEncodeError as err:
        # A surrogate that stands for no byte is no name of a file, but may have been asked for.
        escaped = all("\udc80" <= each <= "\udcff" for each in path if "\ud800" <= each <= "\udfff")
        raw = path.encode("utf-8", "surrogateescape" if escaped else "surrogatepass")
        shown = raw.decode("utf-8", "backslashreplace")
        raise ContractError("not_utf8", "the name is not UTF-8", path=shown, help="rename it") from err


def refuse_table(url: str, folder: Folder) -> None:
    """Refuse a directory that is a table of more than its files. Raises `ProtocolError` `not_implemented`."""
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
            path=url,
            help=f"write the table's current rows into files first, with what reads {kind}, or name the very files",
        )


class Folder(Protocol):
    """A directory, or a prefix of an object store, as far as its logs are concerned."""

    url: str

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


def matcher(pattern: str) -> re.Pattern[str]:
    """A pattern of paths as a regular expression: `*` and `?` stay within a folder, `**/` is any number of them."""
    out, at = "", 0
    while at < len(pattern):
        if pattern.startswith("**/", at):
            out, at = out + "(?:[^/]+/)*", at + 3
        elif pattern.startswith("**", at):
            out, at = out + ".*", at + 2
        elif pattern[at] == "[" and "]" in pattern[at + 2 :]:
            end = pattern.index("]", at + 2)
            inside = pattern[at + 1 : end].replace("\\", r"\\")
            out, at = out + f"[{'^' + inside[1:] if inside[0] == '!' else inside}]", end + 1
        else:
            out += {"*": "[^/]*", "?": "[^/]"}.get(pattern[at], re.escape(pattern[at]))
            at += 1
    return re.compile(out, re.DOTALL)
