"""The rules about values: what a field allows became less or more, or means something else."""

from __future__ import annotations

from collections.abc import Iterator

from fivefold.evolution.rule import Rule, Side

_SIDES: tuple[tuple[Side, str], ...] = (("inputs", "input"), ("outputs", "output"))

_NARROWING = {
    "type": ("dtype", "holds fewer numbers", "holds more numbers, or finer ones"),
    "range": ("range", "is smaller at one end", "is larger at one end"),
    "enum": ("enumeration", "has fewer members", "has more members"),
    "length": ("permitted length", "is smaller at one end", "is larger at one end"),
    "pattern": ("pattern", "finds fewer texts", "finds more texts"),
    "nullable": ("null", "is no longer allowed", "is allowed now"),
    "nan": ("NaN or an infinity", "is no longer allowed", "is allowed now"),
}


def value_rules() -> Iterator[Rule]:
    for side, noun in _SIDES:
        for group, (what, less, more) in _NARROWING.items():
            if group == "nan" and noun == "output":
                continue
            subject = f"The {what} of an {noun}" if group not in ("nullable", "nan") else f"{what[0].upper()}{what[1:]}"
            where = "" if group not in ("nullable", "nan") else f" in an {noun}"
            if noun == "input":
                yield Rule(
                    f"input-{group}-narrowed",
                    "inputs",
                    "error",
                    "info",
                    f"{subject} {less}{where}: values that old callers send are refused, or changed.",
                    "keep the wider one; what the model cannot take it can answer with null or a value of its own",
                )
                yield Rule(
                    f"input-{group}-widened",
                    "inputs",
                    "info",
                    "error",
                    f"{subject} {more}{where}: values that new callers may send are refused, or changed, by the old "
                    f"model.",
                    "let callers send the new values once no old model can come back",
                )
            else:
                yield Rule(
                    f"output-{group}-widened",
                    "outputs",
                    "error",
                    "info",
                    f"{subject} {more}{where}: old callers may get values that their version rules out.",
                    "keep answers within the old limits, or answer the new values in an output of their own"
                    if group != "enum"
                    else "declare an `unknown` member before there are new ones, or answer them in another output",
                )
                yield Rule(
                    f"output-{group}-narrowed",
                    "outputs",
                    "info",
                    "error",
                    f"{subject} {less}{where}: old callers are served; the old model may answer values that the new "
                    f"version rules out.",
                    "let callers rely on it once no old model can come back",
                )
        yield from _meaning_rules(side, noun)


def _meaning_rules(side: Side, noun: str) -> Iterator[Rule]:
    beside = f"leave it and add an {noun} beside it"
    yield Rule(
        f"{noun}-type-changed",
        side,
        "error",
        "error",
        f"The type of an {noun} is another one: values do not convert, or not without loss, in either direction.",
        beside,
    )
    yield Rule(
        f"{noun}-shape-changed",
        side,
        "error",
        "error",
        f"The shape of an {noun} is another one: arrays of one do not fit the other.",
        beside,
    )
    yield Rule(
        f"{noun}-unit-changed",
        side,
        "error",
        "error",
        f"The unit of an {noun} is another one: the same number means something else.",
        beside,
    )
    yield Rule(
        f"{noun}-unit-stated",
        side,
        "warning",
        "warning",
        f"Only one version names the unit of an {noun}: whether it always was that one nobody can say.",
        "accept it once somebody has looked: --allow FILE",
    )
    yield Rule(
        f"{noun}-labels-changed",
        side,
        "error",
        "error",
        f"The labels of an {noun}'s numbers are others, or in another order: a number stands under another label.",
        "keep their order"
        if noun == "input"
        else "keep their order; for more labels to come declare an `unknown` one first",
    )
    yield Rule(
        f"{noun}-labels-stated",
        side,
        "warning",
        "warning",
        f"Only one version names the labels of an {noun}'s numbers: whether they always were these nobody can say.",
        "accept it once somebody has looked: --allow FILE",
    )
    yield Rule(
        f"{noun}-rules-restated",
        side,
        "info",
        "info",
        f"The rules of an {noun} are written in another way and allow the same values.",
        "nothing",
    )
