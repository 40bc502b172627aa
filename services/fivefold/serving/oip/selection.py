"""Which outputs a request of the Open Inference Protocol wants, over HTTP and gRPC alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from fivefold.core.check.findings import shown_name
from fivefold.core.errors import ContractError, ProtocolError
from fivefold.core.fields.suggestion import nearest

if TYPE_CHECKING:
    from fivefold.core.fields.field import Field

ELSEWHERE: Final = ("shared_memory_region", "shared_memory_byte_size", "shared_memory_offset", "classification")
"""Parameters of tensors, as other servers have them, that ask for an answer we cannot give."""


class NamedTensor(Protocol):
    """A tensor that a request gives or asks for, as its transport's parser has it."""

    @property
    def name(self) -> str:
        """The tensor's name."""

    @property
    def parameters(self) -> Mapping[str, Any] | None:
        """Its parameters; one that is None counts as absent."""


P = TypeVar("P", bound=NamedTensor)


def refuse_elsewhere(side: str, parts: Iterable[NamedTensor] | None) -> None:
    """Raise `not_implemented` for tensors with parameters of `ELSEWHERE`: to ignore those would be a wrong answer.

    `side` is `inputs` or `outputs`.
    """
    for part in parts or ():
        parameters = part.parameters
        if not parameters:
            continue
        for name in ELSEWHERE:
            if parameters.get(name) is not None:
                path = f"{side}.{shown_name(part.name)}"
                raise ProtocolError("not_implemented", f"{name} is not served here", path=path)


def select(fields: Sequence[Field], asked: Iterable[P]) -> list[tuple[Field, P]]:
    """The asked outputs with their fields, each once, in the order asked for; raises `ContractError` `unknown_field`.

    One that is asked for again has its place already: no schema can tell a client that it may not be.
    """
    known = {field.name: field for field in fields}
    out: dict[str, tuple[Field, P]] = {}
    for part in asked:
        field = known.get(part.name)
        if field is None:
            path = f"outputs.{shown_name(part.name)}"
            raise ContractError("unknown_field", "no such output", path=path, help=nearest(part.name, known))
        out.setdefault(part.name, (field, part))
    return list(out.values())
