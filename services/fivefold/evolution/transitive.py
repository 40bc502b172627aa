"""One new contract against all that are still served or stored, not only the last one.

Compatibility is not transitive: a default that came with one version may go with the next. Which versions are still
somewhere is left to whoever keeps the directory.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from fivefold.core.contract.contract import Contract
from fivefold.evolution.changes import ChangeFinding
from fivefold.evolution.contract_places import ContractAt
from fivefold.evolution.verdict import Judgement, judge, ordered, shown


def against_all(
    first: Judgement,
    old: Contract,
    new: Contract,
    others: Iterable[ContractAt],
    *,
    strict: bool = False,
    carried: Collection[str] = (),
) -> Judgement:
    """The findings of `first` and those against each of `others`, which name the contract that they were found against.

    The old contract itself, the new one, and what is equal to either, are not asked twice. Contracts of another name
    are left out: they are of other models.
    """
    found = list(first.findings)
    seen = {old.digest, new.digest}
    compared: list[str] = []
    for other in others:
        contract = other.contract
        name = shown(contract)
        if contract.name != new.name or contract.digest in seen:
            continue
        seen.add(contract.digest)
        judged = judge(contract, new, strict=strict, carried=carried)
        compared.append(name)
        found += (replace(one, against=name) for one in judged.findings if not _known(one, first.findings))
    return replace(first, findings=ordered(found), others=tuple(compared))


def _known(found: ChangeFinding, findings: Iterable[ChangeFinding]) -> bool:
    """Whether the same was found against the old contract already, word for word."""
    place = (found.rule.id, found.path, found.direction, found.severity, found.says)
    return any(place == (one.rule.id, one.path, one.direction, one.severity, one.says) for one in findings)
