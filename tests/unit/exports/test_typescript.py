"""The TypeScript export parses, types every field, and calls a server; the compiler itself agrees in `test-full`."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import tree_sitter_typescript
from tests.support.contract_values import case_contracts, every_rule
from tree_sitter import Language, Node, Parser

from fivefold.core.contract.contract import Contract
from fivefold.exports import export

PARSER = Parser(Language(tree_sitter_typescript.language_typescript()))


def source(contract: Contract) -> bytes:
    [content] = export(contract, "typescript").values()
    return content


def walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from walk(child)


def members(root: Node, interface: str) -> dict[str, str]:
    """The members of one interface: name, with its optional mark, to type."""
    out = {}
    for node in walk(root):
        if node.type == "interface_declaration" and _text(node.child_by_field_name("name")) == interface:
            for member in walk(node):
                if member.type == "property_signature":
                    kind = _text(member.child_by_field_name("type")).removeprefix(": ")
                    name = _text(member.child_by_field_name("name")).strip('"')
                    out[name + ("?" if any(child.type == "?" for child in member.children) else "")] = kind
    return out


def _text(node: Node | None) -> str:
    assert node is not None
    assert node.text is not None
    return node.text.decode()


@pytest.mark.parametrize("contract", [every_rule(), *case_contracts()], ids=lambda contract: contract.name)
def test_it_parses(contract: Contract) -> None:
    """The file is TypeScript, and every output field is a required member."""
    root = PARSER.parse(source(contract)).root_node
    [prefix] = {
        _text(node.child_by_field_name("name")).removesuffix("Prediction")
        for node in walk(root)
        if node.type == "interface_declaration" and _text(node.child_by_field_name("name")).endswith("Prediction")
    }

    assert not root.has_error
    assert list(members(root, f"{prefix}Prediction")) == [field.name for field in contract.outputs]


def test_every_rule_has_its_type() -> None:
    """Optional fields, nulls, enums, shapes and both spellings of an array are in the types."""
    root = PARSER.parse(source(every_rule())).root_node

    assert members(root, "EveryRuleV2Fields") == {
        "mean-radius": "number",
        "mean_radius": "number | null",
        "grade": '"1" | "two three" | "" | null',
        "code": "string",
        "note?": "string | null",
        "count?": "number | null",
        "big?": "number",
        "id": "number",
        "flag?": "boolean",
        "blob?": "string",
        "image?": "number[][] | number[]",
        "wide": "number[]",
    }
    assert members(root, "EveryRuleV2Prediction") == {
        "label": '"benign" | "malignant"',
        "probability": "[number, number]",
        "score": "number | null",
        "raw": "string",
        "rank": "number | null",
    }


def test_the_law_stands_in_jsdoc() -> None:
    """Units and ranges are there for editors, and no text of the contract ends a comment."""
    text = source(every_rule()).decode()

    assert "/** float64, 0 to 60.5 mm */" in text
    assert "every keyword *\\/ once" in text


USES = """
import { EveryRuleV2Record, EveryRuleV2Error, predict } from "./every_rule_v2";

const good: EveryRuleV2Record = {
  "mean-radius": 1, mean_radius: null, mr: 2, grade: "1", code: "AB-123", id: 5, wide: [1, 2], side: "left",
  class: [[1, 2, 3], [4, null, 6]], image: [1, 2, 3],
};
// @ts-expect-error a required field is missing
const missing: EveryRuleV2Record = { mean_radius: null, mr: 2, grade: "1", code: "AB-123", id: 5, wide: [1, 2] };
// @ts-expect-error the same field under two names
const twice: EveryRuleV2Record = { ...good, mr: 2, meanRadius: 2 };
// @ts-expect-error not in the enum
const middle: EveryRuleV2Record = { ...good, side: "middle" };
// @ts-expect-error null where none is allowed
const none: EveryRuleV2Record = { ...good, code: null };
// @ts-expect-error a wrong shape
const shape: EveryRuleV2Record = { ...good, class: [[1, 2], [3, 4]] };
const unknown: EveryRuleV2Record = {
  "mean-radius": 1, mean_radius: null, mr: 2, grade: "1", code: "AB-123", id: 5, wide: [1, 2],
  // @ts-expect-error an unknown field
  unheard: 1,
};

export async function use(): Promise<string | undefined> {
  try {
    const answer = await predict("http://127.0.0.1:8000/", [good], { version: "1" });
    const label: "benign" | "malignant" = answer.predictions[0]!.label;
    return label + answer.metadata.request_id;
  } catch (error) {
    return error instanceof EveryRuleV2Error ? error.problem?.details?.[0]?.code : undefined;
  }
}
"""


@pytest.mark.full
def test_the_compiler_agrees(tmp_path: Path) -> None:
    """TypeScript's own compiler takes the file under its strictest rules, and refuses what the contract refuses."""
    (tmp_path / "every_rule_v2.ts").write_bytes(source(every_rule()))
    (tmp_path / "uses.ts").write_text(USES)
    rules = ["--strict", "--noUncheckedIndexedAccess", "--exactOptionalPropertyTypes", "--noEmit"]
    command = ["npx", "--yes", "--package", "typescript@5.9", "--", "tsc", *rules]
    command += ["--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler", "uses.ts"]

    out = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert out.returncode == 0, out.stdout + out.stderr
