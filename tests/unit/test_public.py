"""The public API: the names are there, and `import fivefold` costs nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
