"""Comparing what a driver answers with what a case expects, for every test that puts cases."""

from __future__ import annotations

import hashlib

from fivefold.core.bundle.bundle import Bundle
from tests.conformance.cases import Case, expected_columns, expected_outputs
from tests.conformance.drivers import Driver, Outcome, Refusal


def disagreement(case: Case, answer: Outcome | Refusal) -> str | None:
    """A sentence on the first difference, or None where the answer is the expected one."""
    if isinstance(answer, Refusal):
        if case.refused is None:
            return f"refused with {list(answer.violations)}"
        if answer.violations != case.refused:
            return f"expected {list(case.refused)}, got {list(answer.violations)}"
        return None
    if case.refused is not None:
        return f"expected {list(case.refused)}, got the outputs {dict(answer.outputs)}"
    if answer.columns is not None and dict(answer.columns) != (columns := expected_columns(case)):
        wrong = [name for name in columns if answer.columns.get(name) != columns[name]]
        return "; ".join(f"column {name}: expected {columns[name]}, got {answer.columns.get(name)}" for name in wrong)
    if dict(answer.outputs) != (outputs := expected_outputs(case)):
        wrong = [name for name in outputs if answer.outputs.get(name) != outputs[name]]
        return "; ".join(f"output {name}: expected {outputs[name]}, got {answer.outputs.get(name)}" for name in wrong)
    return None


def request_id(case: Case, spelling: str) -> str:
    """The id that an ask carries and that its answer must carry back."""
    return f"{case.id}/{spelling}".replace(" ", "")


def metadata(bundle: Bundle, transport: str, identity: str) -> dict[str, str]:
    """What every answer of the bundle says about itself."""
    return {
        "model": bundle.name,
        "version": bundle.version,
        "bundle": hashlib.sha256(bundle.read("bundle.json")).hexdigest(),
        "contract": f"{bundle.contract.name}@{bundle.contract.version}",
        "transport": transport,
        "request_id": identity,
    }


def check(driver: Driver, case: Case, bundle: Bundle | None = None) -> None:
    """Put a case in every spelling that the driver has, and fail with all that differ.

    With a `bundle` the answers' metadata is compared too: one vocabulary, the same values on every transport.
    """
    found = []
    for spelling in driver.asks(case):
        answer = driver.ask(case, spelling)
        problem = disagreement(case, answer)
        if problem:
            found.append(f"{spelling}: {problem}")
        if bundle is not None and isinstance(answer, Outcome):
            expected = metadata(bundle, driver.transport, request_id(case, spelling))
            if dict(answer.metadata) != expected:
                found.append(f"{spelling}: expected the metadata {expected}, got {dict(answer.metadata)}")

    assert not found, "\n".join([f"{case.id} ({case.why})", *found])
