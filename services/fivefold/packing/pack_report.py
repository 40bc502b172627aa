"""What packing did, as facts, lines and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

_FILES = 8
"""Files of a bundle that a person is shown."""


@dataclass(frozen=True)
class PackReport:
    """What packing did, in facts: for people by `lines`, for programs by `to_json`."""

    path: Path
    name: str
    version: str
    digest: str
    kind: str
    runtime: str
    contract: str
    tolerance: float
    difference: float
    where: str
    measured_rows: int
    ties: int
    golden_rows: int
    golden_source: str
    floats: str
    signed: bool
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    tried: tuple[str, ...] = ()
    measured: str = ""
    unreached: tuple[str, ...] = ()
    drafted: Path | None = None
    draft: str = ""
    """What of a drafted contract is the data's own, in words."""
    files: Mapping[str, int] = field(default_factory=dict)
    """The bundle's files, and their sizes in bytes."""
    libraries: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        out = asdict(self)
        out.update(path=str(self.path), drafted=None if self.drafted is None else str(self.drafted))
        return out

    def lines(self) -> list[str]:
        """The report as lines for a terminal, most important first."""
        floats = f", {self.floats}" if self.floats else ""
        out = [
            f"packed   {self.name}@{self.version} from {self.kind} as {self.runtime}{floats} into {self.path}",
            f"contract {self.contract}",
            *(f"input    {line}" for line in self.inputs),
            *(f"output   {line}" for line in self.outputs),
            f"golden   {self.golden_rows} rows, {self.golden_source}",
            f"largest difference from the original on {self.measured_rows} rows: {self.difference:.3g}"
            f"{f' ({self.where})' if self.where else ''}; tolerance {self.tolerance:g}",
        ]
        if self.measured:
            out.append(f"         {self.measured}")
        if self.ties:
            out.append(f"         {self.ties} rows are ties, on which the original's own label hangs on rounding")
        if self.files:
            shown = [f"{name} {size:,}" for name, size in list(self.files.items())[:_FILES]]
            more = f", and {len(self.files) - _FILES} more files" if len(self.files) > _FILES else ", and bundle.json"
            out.append(f"wrote    {self.path}: {', '.join(shown)} bytes{more}")
        out.append(f"bundle   {self.digest}{', signed' if self.signed else ''}")
        if len(self.tried) > 1:
            out += [f"tried    {text}" for text in self.tried]
        out += [f"note: {text}" for text in self.notes]
        out += [f"note: {text}" for text in self.unreached]
        out += [f"warning: {text}" for text in self.warnings]
        if self.drafted is not None:
            out += [
                f"drafted  {self.drafted}: {self.draft}",
                "         correct them, add units and descriptions, then pack again with --contract "
                f"{self.drafted} --force instead of --draft-from",
            ]
        return out
