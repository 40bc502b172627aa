"""Recorded requests, replayed: how many that the old contract accepted the new one refuses or changes.

A file holds one request a line: a record, or `{"inputs": record, "contract": "NAME@VERSION"}`. A request that names its
version is adapted as a bundle that carries that version does; one that names none meets the new contract as it is, but
for inputs that are gone, which are ignored. Records are held in memory a chunk at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from fivefold.core.contract.contract import Contract
from fivefold.core.errors import ContractError, ContractInvalid
from fivefold.core.evolution.pairing import pairs
from fivefold.core.readers.exact_json import loads
from fivefold.core.readers.recorded_lines import recorded_line
from fivefold.core.readers.records import Records
from fivefold.evolution.changes import ChangeFinding
from fivefold.evolution.counter_example import same
from fivefold.evolution.verdict import Judgement, Replays, ordered

_CHUNK = 1_000


def replay(judgement: Judgement, old: Contract, new: Contract, path: str | Path) -> Judgement:
    """The judgement with the requests that each backward finding hits.

    A warning that recorded requests run into is an error. Raises `ContractInvalid` for a file that cannot be read or a
    line that is not JSON.
    """
    counted = _Replay(old, new, judgement.findings)
    for chunk in _chunks(Path(path)):
        counted.add(chunk)
    findings = []
    for one in judgement.findings:
        if one.direction == "backward" and one.path.startswith("inputs") and one.against is None:
            hit = counted.of(one)
            worse = one.severity == "warning" and hit and not one.rule.id.startswith("input-removed")
            one = replace(one, traffic=hit, severity="error" if worse else one.severity)
        findings.append(one)
    return replace(judgement, findings=ordered(findings), replayed=counted.replays())


class _Replay:
    """Both readers, and what came of the requests so far."""

    def __init__(self, old: Contract, new: Contract, findings: Iterable[ChangeFinding]) -> None:
        self._old, self._new = old, new
        self._reads, self._takes = Records(old.inputs), Records(new.inputs)
        self._pairing = pairs(old.inputs, new.inputs)
        self._findings = [one for one in findings if one.direction == "backward" and one.against is None]
        self._gone = {name for field in self._pairing.unreceived for name in (field.name, *field.aliases)}
        self._gone -= {name for field in new.inputs for name in (field.name, *field.aliases)}
        self._hits: Counter[tuple[str, str]] = Counter()
        self._read = self._hit = self._foreign = 0

    def add(self, lines: list[tuple[Any, str | None]]) -> None:
        """Replay some requests: each a record and the contract it names."""
        for record, contract in lines:
            # Another model's contract may have the same number.
            if contract in (None, self._old.version, f"{self._old.name}@{self._old.version}"):
                self._one(record, contract is None)
            else:
                self._foreign += 1

    def of(self, found: ChangeFinding) -> int:
        """The requests that a finding was right about."""
        return self._hits[found.rule.id, found.path]

    def replays(self) -> Replays:
        places = tuple((rule, path, count) for (rule, path), count in sorted(self._hits.items()))
        return Replays(self._read, self._hit, self._foreign, places)

    def _one(self, record: Any, bare: bool) -> None:
        reading = self._reads.read([record])
        if reading.violations:
            self._foreign += 1
            return
        self._read += 1
        whole = reading.columns.to_records()[0]
        hits: set[str] = set()
        ignored = {field.name for field in self._pairing.unreceived}
        if bare and isinstance(record, dict):
            hits |= {f"inputs.{field.name}" for field in self._pairing.unreceived if _gives(record, field)}
            offered: Any = {name: value for name, value in record.items() if name not in self._gone}
        elif bare:
            offered = record
        else:
            hits |= {f"inputs.{name}" for name in ignored if isinstance(record, dict) and name in record}
            offered = {receiver.name: whole[sender.name] for sender, receiver in self._pairing.matched}
        got = self._takes.read([offered])
        refused = {self._place(violation.path, violation.code) for violation in got.violations}
        if not got.violations:
            taken = got.columns.to_records()[0]
            refused |= {
                f"inputs.{receiver.name}"
                for sender, receiver in self._pairing.matched
                if not same(whole[sender.name], taken[receiver.name])
            }
        self._hit += bool(refused)
        for path in refused | hits:
            self._count(path, path in refused)

    def _place(self, path: str, code: str) -> str:
        """The path of a finding for that of a violation."""
        name = path.partition("[")[0].removeprefix("inputs.")
        if code == "malformed":
            return "inputs"
        if code in ("unknown_field", "duplicate_field"):
            for sender, receiver in self._pairing.matched:
                if name in (sender.name, *sender.aliases):
                    return f"inputs.{receiver.name}"
        return f"inputs.{name}"

    def _count(self, path: str, refused: bool) -> None:
        """Count for every finding of that place that may refuse or ignore a value."""
        rules = [
            one.rule.id
            for one in self._findings
            if one.path == path
            and (one.severity != "info" or one.kept)
            and refused != one.rule.id.startswith("input-removed")
        ]
        for rule in rules or [""]:
            self._hits[rule, path] += 1


def _gives(record: dict[str, Any], field: Any) -> bool:
    return any(name in record for name in (field.name, *field.aliases))


def _chunks(path: Path) -> Iterator[list[tuple[Any, str | None]]]:
    try:
        with path.open("rb") as file:
            lines = _requests(path, file)
            while chunk := list(islice(lines, _CHUNK)):
                yield chunk
    except OSError as err:
        raise ContractInvalid(f"cannot read {path}: {err.strerror}") from err


def _requests(path: Path, lines: Iterable[bytes]) -> Iterator[tuple[Any, str | None]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            contract, record = recorded_line(line)
            yield loads(record), contract
        except ContractError as err:
            raise ContractInvalid(f"{path}, line {number}: {err.message}", path=err.path) from err
