"""Which clients of other languages this machine has."""

from tests.support import programs

RUNS = {"java": ("Client.java",), "node": ("client.mjs",), "go": ("run", "client.go")}


def pytest_generate_tests(metafunc) -> None:  # type: ignore[no-untyped-def]  # pytest's own
    """One test for each program that is there."""
    if "program" in metafunc.fixturenames:
        found = {name: programs.needed(name, f"{name}'s HTTP client") for name in RUNS}
        given = [(path, *RUNS[name]) for name, path in found.items() if path]
        metafunc.parametrize("program", given, ids=[name for name, path in found.items() if path])
