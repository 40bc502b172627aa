"""Who is compared: each program, its environment, and the least ratio of rows a second that Fivefold wants over it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from loadtest.machine import command
from loadtest.machine.generated import FOREST, LINEAR
from loadtest.machine.programs import ENVIRONMENTS, PEERS
from loadtest.peers.batch import tables


@dataclass(frozen=True)
class BatchProgram:
    """One program. `goals` are by the model's name; `library` is whose version is told."""

    name: str
    title: str
    program: str = ""
    environment: str = ""
    arguments: tuple[str, ...] = ()
    library: str = ""
    goals: Mapping[str, float] = field(default_factory=dict)

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return ENVIRONMENTS / self.environment / "bin" / "python" if self.environment else Path(sys.executable)

    def command(self, bundle: Path, rows: Path, output: Path, workers: int) -> list[str]:
        """The command that scores a directory into another."""
        if not self.program:
            return command.score(bundle, rows, output, workers, "--columns", tables.KEY)
        return [str(self.python), str(PEERS / "batch" / self.program), *self.arguments]


FIVEFOLD: Final = BatchProgram("fivefold", "Fivefold", library="fivefold")
CONTENDERS: Final = (
    FIVEFOLD,
    BatchProgram(
        "loop",
        "The limit: the model runtime in a bare loop, one process a core",
        "loop_.py",
        library="onnxruntime",
        goals={FOREST.name: 0.8},
    ),
    BatchProgram(
        "raydata",
        "Ray Data, `map_batches` with actors",
        "raydata_.py",
        library="ray",
        goals={LINEAR.name: 1.5, FOREST.name: 1.0},
    ),
    BatchProgram(
        "raydata-tasks",
        "Ray Data, `map_batches` with tasks that read, score and write",
        "raydata_.py",
        arguments=("--tasks",),
        library="ray",
        goals={LINEAR.name: 1.5, FOREST.name: 1.0},
    ),
    BatchProgram(
        "pyspark",
        "PySpark, `local[2]`, `mapInArrow`",
        "pyspark_.py",
        environment="pyspark",
        library="pyspark",
        goals={LINEAR.name: 3.0, FOREST.name: 1.0},
    ),
    BatchProgram("pandas", "pandas, a loop over the files", "pandas_.py", library="pandas"),
)
