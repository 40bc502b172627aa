"""The public API: the names are there, and `import fivefold` costs nothing."""

from __future__ import annotations

import subprocess
import sys
from ast import literal_eval
from collections.abc import Collection, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.support.bundles import write_sum

import fivefold

HEAVY = ("numpy", "onnxruntime", "ray", "sklearn", "fastapi", "grpc", "pandas", "torch")


def test_every_name_of_the_public_api_is_there() -> None:
    """`from fivefold import Contract` works, and so does `dir`."""
    for name in fivefold.__all__:
        assert getattr(fivefold, name) is not None
        assert name in dir(fivefold)


def test_another_name_is_an_attribute_error() -> None:
    """Not an import error."""
    with pytest.raises(AttributeError, match="no attribute 'Bundel'"):
        fivefold.Bundel  # noqa: B018


@pytest.mark.parametrize(
    "statement",
    [
        "import fivefold",
        "import fivefold.cli",
        "import fivefold.cli; fivefold.cli._parser()",
        pytest.param("import fivefold.stream.worker_process, fivefold.stream.kafka_log", id="a worker and its log"),
    ],
)
def test_importing_loads_nothing_heavy(statement: str) -> None:
    """A device that asks for a version does not load a server, and a worker that comes back ends what it had begun on
    its log before it loads anything that takes long: readers wait for that."""
    code = f"{statement}; import sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ran.stdout.strip() == "[]"


SERVER = {"ray", "fastapi", "starlette", "uvicorn", "grpc", "httpx", "pydantic", "sklearn", "cryptography"}
TELEMETRY = {"prometheus_client", "opentelemetry"}
TABLES = {"pandas", "pyarrow"}
ABROAD = {"urllib.request", "http.client"}
"""What only bundles and metrics that are elsewhere need."""


def loaded(words: Sequence[str], names: Collection[str]) -> set[str]:
    """Which of the modules the process of a command has loaded when it has succeeded."""
    code = (
        "import sys; from fivefold.cli import main; status = main(sys.argv[1:])\n"
        f"print([name for name in {sorted(names)!r} if name in sys.modules], file=sys.stderr); sys.exit(status)"
    )
    ran = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return set(literal_eval(ran.stderr.splitlines()[-1]))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle, and rows for it in three formats."""
    home = tmp_path_factory.mktemp("demo")
    write_sum(home / "bundle")
    (home / "a.json").write_text('{"a": 1, "b": 2}')
    pq.write_table(pa.table({"a": [1.0, 2.0], "b": [2.0, 1.0]}), home / "a.parquet")
    return home


def test_a_prediction_loads_the_model_runtime_alone(demo: Path) -> None:
    """Neither what serves, nor what reads tables, nor what fetches bundles from elsewhere."""
    words = ["predict", str(demo / "bundle"), str(demo / "a.json")]

    assert loaded(words, {"onnxruntime"} | SERVER | TELEMETRY | TABLES | ABROAD) == {"onnxruntime"}


def test_scoring_loads_no_model_where_it_only_plans(demo: Path) -> None:
    """Nor a server, data frames, metrics that nobody asked for, or Arrow's functions, which take long."""
    words = ["score", "--model", str(demo / "bundle"), "--input", str(demo / "a.parquet"), "--output", str(demo / "o")]
    rest = SERVER | TELEMETRY | ABROAD | {"onnxruntime", "pandas", "pyarrow.compute"}

    assert loaded(words, {"pyarrow"} | rest) == {"pyarrow"}


def test_a_local_worker_loads_what_it_scores_with(demo: Path) -> None:
    """The model runtime and Arrow, and neither data frames nor Arrow's functions."""
    code = (
        "import io, sys\n"
        "from fivefold.batch.engine.inline import Inline\n"
        "from fivefold.batch.run.execute import score\n"
        "from fivefold.batch.run.preparation import RunOrder\n"
        "score(RunOrder(sys.argv[1], (sys.argv[2],), sys.argv[3]), out=io.StringIO(), actors=Inline)\n"
        f"names = {sorted(SERVER | TELEMETRY | ABROAD | {'pandas', 'pyarrow.compute'})!r}\n"
        "print([name for name in names if name in sys.modules])"
    )
    words = [str(demo / "bundle"), str(demo / "a.parquet"), str(demo / "inline")]
    ran = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)

    assert ran.stdout.strip() == "[]"


def test_a_local_run_knows_its_variables_without_loading_a_server() -> None:
    """Ray, which takes longest, is loaded by another process, and begins when these are known."""
    code = (
        "import sys\n"
        "from fivefold.online.local import environment, lifecycle\n"
        f"print([name for name in {sorted(SERVER | {'asyncio', 'onnxruntime'})!r} if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ran.stdout.strip() == "[]"
