"""The programs of others that are asked what breaks: only tests that are marked `full` run them."""

from __future__ import annotations

from tests.support import programs

_TESTS = {"oasdiff": "test_oasdiff.py", "buf": "test_buf.py"}

collect_ignore = [
    test
    for program, test in _TESTS.items()
    if programs.QUICK or programs.needed(program, f"what {program} says of two contracts") is None
]
