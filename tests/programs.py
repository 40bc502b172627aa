"""Programs that some tests drive and that not every machine has."""

import os
import shutil

LEFT_OUT: list[str] = []


def needed(program: str, what: str, *others: str) -> str | None:
    """The path of a program, or None after noting that `what` is left out of this run.

    `FIVEFOLD_<PROGRAM>` names another path. Conftests call this while tests are collected, so a test that cannot run
    is not collected rather than skipped.
    """
    found = os.environ.get(f"FIVEFOLD_{program.upper()}") or next(
        filter(None, map(shutil.which, (program, *others))), None
    )
    if found is None:
        LEFT_OUT.append(f"{what}: no {program} on this machine")
    return found
