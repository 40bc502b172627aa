"""The verdict is never weaker than `buf breaking`, wire and JSON, on the protobuf of the same contracts.

All cases of the table are one module of each version, each case a package of its own.
"""

from __future__ import annotations

import json
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest
from tests.support.evolution_cases import both, evolution_cases
from tests.support.programs import needed

from fivefold.evolution.changes import changes
from fivefold.evolution.rule import DIRECTIONS
from fivefold.exports import proto_schema

pytestmark = [pytest.mark.full, pytest.mark.rare]

CASES = [(id, case) for id, case in evolution_cases() if "options" not in case]
CONFIGURATION = '{"version": "v2", "breaking": {"use": ["WIRE_JSON"]}}'

_RENAMED = {"input-renamed", "output-renamed"}
_TYPES = {f"{side}-{group}" for side in ("input", "output") for group in ("type-widened", "type-narrowed")}
_TYPES |= {"input-rules-restated", "output-rules-restated"}

PROMISES: dict[str, tuple[set[str], str]] = {
    "FIELD_WIRE_JSON_COMPATIBLE_TYPE": (
        _TYPES,
        "servers read records and tensors, where values decide",
    ),
    "FIELD_SAME_NAME": (_RENAMED, "the old name is an alias"),
    "FIELD_SAME_JSON_NAME": (_RENAMED, "the old name is an alias"),
}
"""buf's rule -> rules of ours under which it is safe, and why."""


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_it_finds_nothing_that_breaks_in_what_is_safe(direction, tmp_path: Path) -> None:
    """Records and predictions of all cases."""
    program = needed("buf", "what buf says of two contracts")
    pairs = [both(case, name=f"case{number}") for number, (_, case) in enumerate(CASES)]
    folders = [tmp_path / "old", tmp_path / "new"]
    for at, folder in enumerate(folders):
        folder.mkdir()
        for pair in pairs:
            for name, content in proto_schema.files(pair[at]).items():
                (folder / name).write_bytes(content)
    before, after = folders if direction == "backward" else folders[::-1]
    words = ["breaking", after, "--against", before, "--config", CONFIGURATION, "--error-format", "json"]
    ran = subprocess.run([program, *words], capture_output=True, text=True)
    errors = defaultdict(set)
    for line in ran.stdout.splitlines():
        one = json.loads(line)
        errors[Path(one["path"]).name].add(one["type"])
    weaker = []
    for number, (id, _) in enumerate(CASES):
        found = [one for one in changes(*pairs[number], examples=False) if one.direction == direction]
        rules = {one.rule.id for one in found} or {""}
        if all(one.severity == "info" for one in found):
            said = errors[f"case{number}.proto"]
            weaker += [(id, each, rules) for each in said if not PROMISES.get(each, (set(), ""))[0] & rules]

    assert sum(map(len, errors.values())) > 10, ran.stderr
    assert not weaker
