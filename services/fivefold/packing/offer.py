"""The way on where a model cannot be converted: the exact words that pack it as it is."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fivefold.packing.loading import find
from fivefold.packing.source_model import Unconverted


@contextlib.contextmanager
def offering(source: Any, contract: Any, draft_from: Any, output: Path) -> Iterator[None]:
    """While it holds, a refusal to convert the source says the command, or the call, that needs no conversion."""
    try:
        yield
    except Unconverted as err:
        way = _way(source, contract, draft_from, output)
        if way is None:
            raise
        rest = f"; or {err.help}" if err.help and "--as python" not in err.help else ""
        raise Unconverted(err.message, path=err.path, help=f"pack the model as it is: {way}{rest}") from err


def _way(source: Any, contract: Any, draft_from: Any, output: Path) -> str | None:
    if source is None:
        return None
    if not isinstance(source, str | Path):
        roots = {cls.__module__.partition(".")[0] for cls in type(source).__mro__}
        known = isinstance(source, bytes | type) or roots & {"torch", "onnx"}
        return None if known else 'pack(…, as_="python")'
    path = Path(source)
    if not path.exists() or find(path).way in ("onnx", "torch"):
        return None
    given = [("--contract", contract)] if contract is not None else [("--draft-from", draft_from)]
    parts = ["fivefold", "pack", str(source), "--as", "python"]
    for option, value in (*given, ("--output", output)):
        parts += [option, str(value) if isinstance(value, str | Path) else "FILE"]
    return shlex.join(parts)
