"""Prometheus' own unit tests of rules: which series are there by the minute, and what is asked of them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support import programs


def promtool(
    directory: Path,
    specs: Sequence[Mapping[str, Any]],
    series: Mapping[str, str],
    questions: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    every: str,
) -> None:
    """Run promtool on the specs of PrometheusRules; `every`: how often their groups are evaluated, whatever they say.

    `series` has values by minute in promtool's notation, `questions` what a test of promtool asks beside them.
    """
    files = []
    for index, spec in enumerate(specs):
        files.append(directory / f"rules-{index}.json")
        files[-1].write_text(json.dumps(spec))
    given = [{"series": each, "values": values} for each, values in series.items()]
    test = {"interval": "1m", "input_series": given, **questions}
    document = {"rule_files": [str(file) for file in files], "evaluation_interval": every, "tests": [test]}
    (directory / "test.json").write_text(json.dumps(document))
    program = programs.needed("promtool", "the alerts' unit tests")
    assert program is not None

    done = subprocess.run(
        [program, "test", "rules", str(directory / "test.json")], capture_output=True, text=True, timeout=120
    )

    assert done.returncode == 0, done.stdout + done.stderr
