"""Writes docs/evolution/rules.md: every rule with an example that was run while it was written.

    python -m fivefold.evolution.rules_page [FILE]

`make generate` writes it, `make check` holds it against the code.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from fivefold.core.errors import ContractInvalid
from fivefold.evolution.changes import ChangeFinding, changes
from fivefold.evolution.rule import DIRECTIONS, PAGE, Rule
from fivefold.evolution.rule_examples import RULE_EXAMPLES, RuleExample
from fivefold.evolution.rules import RULES

_HEAD = """\
# The rules of `fivefold check`

Written by `python -m fivefold.evolution.rules_page`; every example was run.

`fivefold check OLD NEW` holds two versions of a contract against each other. **Backward** asks for callers of the old
version on the new model (and for stored events and batch files), **forward** for callers of the new version on the old
model (and for devices on an old bundle). An *error* breaks somebody, a *warning* is for a person to decide, *info* is
safe. Whether values fit is not guessed from keywords: an error about values carries a record that one version's reader
accepts and the other's refuses or changes.

Callers that name their version are adapted: inputs are renamed by alias, defaults filled in, numbers widened. Where a
rule is **kept by the adapter**, a bundle that carries the caller's version keeps the promise, and the finding is info.

| rule | backward | forward |
|--|--|--|
"""


def page() -> str:
    """The page as Markdown."""
    rows = [f"| [{rule.id}](#{rule.id}) | {rule.backward or '–'} | {rule.forward or '–'} |" for rule in RULES.values()]
    return _HEAD + "\n".join([*rows, *(line for rule in RULES.values() for line in _section(rule))]) + "\n"


def _section(rule: Rule) -> Iterator[str]:
    yield from ("", f"## {rule.id}", "", rule.says, "")
    for direction in DIRECTIONS:
        severity = rule.severity(direction)
        if severity is not None:
            strict = ", an error with `--strict`" if direction in rule.strict else ""
            yield f"- {direction}: {severity}{strict}; {', '.join(rule.who(direction))}"
    if rule.fix != "nothing":
        yield f"- what to do: {rule.fix}"
    if rule.kept:
        yield "- kept by the adapter of a bundle that carries the caller's version"
    example = RULE_EXAMPLES.get(rule.id)
    if example is not None:
        yield from _run(rule, example)


def _run(rule: Rule, example: RuleExample) -> Iterator[str]:
    try:
        old, new = example.contracts()
    except ContractInvalid as err:
        raise ValueError(f"the example of {rule.id} is no contract: {err}") from err
    found = [one for one in changes(old, new) if one.rule is rule]
    if not found:
        raise ValueError(f"the example of {rule.id} does not show it")
    yield from ("", "```json")
    for word, part in (("old", example.old), ("new", example.new)):
        yield json.dumps({word: part if example.side == "contract" else {example.side: part}}, ensure_ascii=False)
    yield from ("```", "", "```text")
    for one in found:
        yield from _said(one)
    yield "```"


def _said(one: ChangeFinding) -> Iterator[str]:
    yield f"{one.severity:<8}  {one.direction:<8}  {one.says}"
    if one.example is not None:
        record = json.dumps(one.example.record, ensure_ascii=False)
        yield f"{'':8}  {record} is {one.example.outcome}: {one.example.says}"


def main() -> None:
    """Write the page."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[3] / PAGE
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
