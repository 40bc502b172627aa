"""The example of docs/edge/mobile.md, compiled and run as it stands there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from fivefold.edge.export.mobile import write
from tests.conformance.contract_readers import JAR
from tests.jvm.conftest import JAVAC
from tests.support.bundles import write_sum

DOCS = Path(__file__).parents[2] / "docs" / "edge" / "mobile.md"


def test_the_example_answers_and_refuses(tmp_path: Path) -> None:
    """Over what `fivefold export --to mobile` writes."""
    bundle = write_sum(tmp_path / "sum")
    write(bundle, tmp_path / "out")
    (source,) = re.findall(r"```java\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    (tmp_path / "Example.java").write_text(source, "utf-8")
    assert JAVAC is not None
    command = [JAVAC, "--release", "11", "-Xlint:all", "-Werror", "-cp", str(JAR), "Example.java"]
    subprocess.run(command, cwd=tmp_path, check=True)

    def run(record: str) -> str:
        command = ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{JAR}:.", "Example", "out", bundle.digest, record]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    assert run('{"a": 1, "b": 2}').startswith('{"predictions":[{"total":3.0,"label":1}],"metadata":{')
    assert run('{"a": 1, "b": 200}') == "out_of_range inputs.b[0]: expected a number of at most 100, got 200.0\n"
