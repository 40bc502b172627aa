"""A judgement as SARIF 2.1.0 (OASIS, Static Analysis Results Interchange Format), for code scanning.

Every rule that was met is described once; accepted findings are there as suppressed ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from fivefold.evolution.changes import ChangeFinding
from fivefold.evolution.rule import Rule
from fivefold.evolution.verdict import Judgement, Mode

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"

_LEVELS = {"error": "error", "warning": "warning", "info": "note"}


def to_sarif(judgement: Judgement, mode: Mode, file: Path | None, line_of: Callable[[Path, str], int]) -> str:
    """The log of one run; `line_of` says where in `file`, the new contract, a path stands."""
    found = judgement.of(mode)
    rules = list(dict.fromkeys(one.rule for one in found))
    run = {
        "tool": {"driver": {"name": "fivefold", "rules": [_rule(rule) for rule in rules]}},
        "columnKind": "unicodeCodePoints",
        "properties": {"old": judgement.old, "new": judgement.new, "verdict": judgement.compatibility},
        "results": [_result(one, rules.index(one.rule), file, line_of) for one in found],
    }
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=2, ensure_ascii=False) + "\n"


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.says.partition(": ")[0].rstrip(".") + "."},
        "fullDescription": {"text": rule.says},
        "help": {"text": f"{rule.fix[0].upper()}{rule.fix[1:]}. See {rule.anchor}."},
        "defaultConfiguration": {"level": _LEVELS[rule.backward or rule.forward or "info"]},
    }


def _result(one: ChangeFinding, index: int, file: Path | None, line_of: Callable[[Path, str], int]) -> dict[str, Any]:
    text = one.says if one.example is None else f"{one.says}. Example: {one.example.outcome}, {one.example.says}"
    location: dict[str, Any] = {"logicalLocations": [{"fullyQualifiedName": one.path}]}
    if file is not None:
        region = {"startLine": line_of(file, one.path)}
        location["physicalLocation"] = {"artifactLocation": {"uri": file.as_posix()}, "region": region}
    mark = "\n".join((one.rule.id, one.path, one.direction, one.against or ""))
    out: dict[str, Any] = {
        "ruleId": one.rule.id,
        "ruleIndex": index,
        "level": _LEVELS[one.severity],
        "message": {"text": text},
        "locations": [location],
        "partialFingerprints": {"change/v1": sha256(mark.encode()).hexdigest()},
        "properties": {key: value for key, value in one.to_json().items() if key not in ("rule", "severity", "says")},
    }
    if one.allowed is not None:
        out["suppressions"] = [{"kind": "external", "justification": one.allowed}]
    return out
