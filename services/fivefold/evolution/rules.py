"""The table of rules: every sort of change, how bad it is in each direction, why, and what to do about it.

Backward asks for callers of the old version on the new model, forward for callers of the new version on the old model.
A verdict assumes callers that name their version and an adapter that renames by alias, fills in defaults and widens;
rules that are `kept` are stricter, because files, events and callers that name no version have no adapter. Which rule
a change falls under is left to `changes`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fivefold.evolution.rule import Rule
from fivefold.evolution.value_rules import value_rules


def _input_rules() -> Iterator[Rule]:
    yield Rule(
        "input-added-required",
        "inputs",
        "error",
        "error",
        "A required input is new: old callers do not send it, and the old model does not know it.",
        "give it a default, or serve the new contract under another name beside the old one",
    )
    yield Rule(
        "input-added-optional",
        "inputs",
        "info",
        "warning",
        "An optional input is new: its default is filled in for old callers, but rows without names are one value "
        "short where the caller names no version. The old model drops it, and says so in X-Contract-Ignored.",
        "nothing, if its default means what its absence meant",
        strict=("forward",),
    )
    yield Rule(
        "input-removed-required",
        "inputs",
        "warning",
        "error",
        "A required input is gone: what old callers send is ignored and reported, and the old model misses it.",
        "keep it with a default until nobody sends it and no old model can come back",
        strict=("backward",),
    )
    yield Rule(
        "input-removed-optional",
        "inputs",
        "warning",
        "info",
        "An optional input is gone: what old callers send is ignored and reported. The old model fills in its default.",
        "see by the counter of ignored inputs that nobody sends it any more",
        strict=("backward",),
    )
    yield Rule(
        "input-renamed",
        "inputs",
        "info",
        "info",
        "An input has another name and the old one is an alias: both are read.",
        "keep the alias until nobody sends the old name",
    )
    yield Rule(
        "input-alias-added",
        "inputs",
        "info",
        "info",
        "An input is read under one more name.",
        "nothing",
    )
    yield Rule(
        "input-alias-removed",
        "inputs",
        "error",
        None,
        "A name under which an input was read is gone: whoever sends it is refused.",
        "keep it among the aliases until nobody sends it",
        kept=True,
    )
    yield Rule(
        "input-made-required",
        "inputs",
        "error",
        "info",
        "An optional input lost its default: old callers may leave it out.",
        "keep the default, or pack the new bundle so that it carries the old version",
        kept=True,
    )
    yield Rule(
        "input-made-optional",
        "inputs",
        "info",
        "error",
        "A required input got a default: new callers may leave it out, which the old model refuses.",
        "release the model first and let callers leave the input out once no old model can come back",
        kept=True,
    )
    yield Rule(
        "input-default-changed",
        "inputs",
        "error",
        "error",
        "The default of an input is another one: a row that leaves it out means something else, quietly.",
        "keep the default, or pack the new bundle so that it carries the old version",
        kept=True,
    )
    yield Rule(
        "input-null-value-changed",
        "inputs",
        "error",
        "error",
        "Another number or text stands for null: tensors and gRPC have no other null, so an old caller's null is a "
        "value now, or refused.",
        "keep null_value, or pack the new bundle so that it carries the old version",
        kept=True,
    )
    yield Rule(
        "inputs-reordered",
        "inputs",
        "error",
        "error",
        "Inputs stand in another order, or one was put before others: rows without names are read into the wrong "
        "fields, and the numbers of the exported proto move.",
        "append new inputs at the end, or pack the new bundle so that it carries the old version",
        kept=True,
    )


def _output_rules() -> Iterator[Rule]:
    yield Rule(
        "output-added",
        "outputs",
        "info",
        "error",
        "An output is new: old callers do not get it, and new callers miss it on the old model.",
        "let callers do without it until no old model can come back",
    )
    yield Rule(
        "output-removed",
        "outputs",
        "error",
        "info",
        "An output is gone that old callers read.",
        "keep answering it, or give its name as an alias to the output that says the same",
    )
    yield Rule(
        "output-renamed",
        "outputs",
        "info",
        "info",
        "An output has another name and the old one is an alias: each caller gets it under the name it knows.",
        "keep the alias until nobody reads the old name",
    )
    yield Rule("output-alias-added", "outputs", "info", "info", "An output is answered under one more name.", "nothing")
    yield Rule(
        "output-alias-removed",
        "outputs",
        "warning",
        None,
        "A name under which an output was answered is gone. Callers of the old version know its other name, those of "
        "versions before it may not.",
        "check against the versions before it: --transitive DIR",
    )
    yield Rule(
        "output-null-value-changed",
        "outputs",
        "error",
        "error",
        "Another number or text stands for null in tensors and gRPC: old callers take it for a value.",
        "keep null_value, or pack the new bundle so that it carries the old version",
        kept=True,
    )
    yield Rule(
        "output-unknown-changed",
        "outputs",
        "info",
        "info",
        "Another member stands for what a caller does not know. Each caller gets that of the version it names.",
        "nothing",
    )
    yield Rule(
        "output-enum-covered",
        "outputs",
        "info",
        "info",
        "The model may answer a value that the caller's version does not know, and that version says what it gets "
        "instead: its `unknown` member.",
        "nothing",
    )
    yield Rule(
        "output-labels-covered",
        "outputs",
        "info",
        "info",
        "The caller's version knows fewer labels, or others in their order, and says where the rest is added: to its "
        "`unknown` label.",
        "nothing",
    )
    yield Rule(
        "outputs-reordered",
        "outputs",
        "error",
        "error",
        "Outputs stand in another order, or one was put before others: whoever reads them by place reads another one, "
        "and the numbers of the exported proto move.",
        "append new outputs at the end, or pack the new bundle so that it carries the old version",
        kept=True,
    )


def _contract_rules() -> Iterator[Rule]:
    yield Rule(
        "contract-renamed",
        "contract",
        "error",
        "error",
        "The contract has another name: it is another model's.",
        "keep the name, or serve the model beside the old one",
    )
    yield Rule(
        "version-unchanged",
        "contract",
        "warning",
        "warning",
        "The contract changed and its version did not: nobody can name the one they mean.",
        "give it another version; the report says which part should move",
    )
    yield Rule("description-changed", "contract", "info", "info", "A description changed.", "nothing")
    yield Rule(
        "model-changed",
        "contract",
        "info",
        "info",
        "The contract is the same and the model is another one: callers survive, their answers may differ.",
        "compare answers on golden rows before all callers get them",
    )
    yield Rule(
        "allowance-expired",
        "contract",
        "error",
        "error",
        "The day is over until which a finding was accepted.",
        "mend what was accepted, or accept it again with a new day and reason",
    )
    yield Rule(
        "allowance-unused",
        "contract",
        "info",
        "info",
        "A finding was accepted that there is not.",
        "take the entry out of the file",
    )


RULES: Mapping[str, Rule] = {
    rule.id: rule for rules in (_input_rules, _output_rules, value_rules, _contract_rules) for rule in rules()
}
"""Every rule by its id."""
